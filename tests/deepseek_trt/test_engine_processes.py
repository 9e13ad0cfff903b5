"""Builds in several processes: one builds, dead ones leave nothing, each wait has a limit."""

import os
import signal
import time
from pathlib import Path

import pytest
from trt_caches import MODEL, Fakes

from deepseek_trt.building.build import build
from deepseek_trt.cache.lock import held, release, take
from deepseek_trt.errors import BuildFailed, CacheBusy
from deepseek_trt.options import BuildOptions

LONG_S = 60


@pytest.fixture
def fakes(tmp_path, monkeypatch) -> Fakes:
    return Fakes(tmp_path, monkeypatch)


def wait_for(condition) -> None:
    end_s = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_two_processes_build_once(fakes):
    fakes.says(wait_s=1.0)
    both = [fakes.process("print(made().from_cache)") for _ in range(2)]
    said = sorted(process.communicate(timeout=LONG_S)[0].strip() for process in both)
    assert (said, fakes.calls) == (["False", "True"], 1)
    assert len(fakes.files()) == 2


def test_a_killed_builder_leaves_nothing_and_the_next_one_builds(fakes):
    fakes.says(wait_s=LONG_S)
    process = fakes.process("made()")
    wait_for(lambda: fakes.calls == 1)
    builder = int(fakes.calls_file.read_text())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_for(lambda: not is_running(builder))  # it does not outlive its parent
    assert not [name for name in fakes.files() if not name.endswith(".lock")]
    fakes.says()
    assert not fakes.build().from_cache
    assert len(fakes.files()) == 2


def test_ctrl_c_ends_the_builder_and_frees_the_lock(fakes):
    fakes.says(wait_s=LONG_S)
    process = fakes.process("made()")
    wait_for(lambda: fakes.calls == 1)
    builder = int(fakes.calls_file.read_text())
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=LONG_S)[1]
    assert not is_running(builder)
    assert fakes.files() == []


def test_a_build_that_hangs_is_ended_at_its_limit(fakes):
    fakes.says(wait_s=LONG_S)
    with pytest.raises(BuildFailed, match=r"did not build within 1 s") as told:
        fakes.build(options=BuildOptions(targets="8.6", time_limit_s=1))
    assert "simulated" in told.value.log
    assert not is_running(int(fakes.calls_file.read_text()))


def test_a_build_that_crashes_is_an_error_with_its_last_words(fakes):
    fakes.says(fail="crash")
    with pytest.raises(BuildFailed, match="SIGABRT"):
        fakes.build()
    assert fakes.files() == []


def test_a_build_that_fails_is_not_kept(fakes):
    fakes.says(fail="no kernel")
    with pytest.raises(BuildFailed, match="no kernel"):
        fakes.build()
    fakes.says()
    assert not fakes.build().from_cache


def test_somebody_else_who_builds_for_long_is_not_waited_for_without_limit(fakes):
    key = fakes.build().manifest.key
    fakes.cache.clear()
    handle = take(fakes.cache.folder / f"{key}.lock")
    try:
        with pytest.raises(CacheBusy, match="another process"):
            fakes.build(options=BuildOptions(targets="8.6", time_limit_s=0.3))
    finally:
        release(fakes.cache.folder / f"{key}.lock", handle)


def test_a_lock_is_had_by_one_and_free_again_after_an_error(tmp_path):
    path = tmp_path / "a.lock"
    with pytest.raises(ZeroDivisionError), held(path, 1, print):
        assert take(path) is None
        raise ZeroDivisionError
    with held(path, 1, print):
        pass
    assert not path.exists()


def test_an_engine_that_cannot_be_kept_is_returned_with_a_note(fakes):
    code = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
        engine = made()
        print(engine.notes[0])
        print(engine.content[:9])
    """
    out, err = fakes.process(code).communicate(timeout=LONG_S)
    assert "the engine was built and is not kept" in out, err
    assert "File too large" in out
    assert "NO ENGINE" in out
    assert fakes.files() == []


def test_a_script_of_the_users_folder_does_not_stand_in_for_a_library(tmp_path, monkeypatch):
    (tmp_path / "deepseek_trt.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)
    assert build(MODEL, BuildOptions(targets="8.6"), backend="fake").manifest.simulated


def test_messages_come_while_it_builds(fakes):
    heard = []
    fakes.says(wait_s=2.5)
    fakes.build(progress=lambda spent_s, text: heard.append((spent_s, text)))
    assert any("simulated" in text for _, text in heard)
    assert os.getpid() != int(fakes.calls_file.read_text())
