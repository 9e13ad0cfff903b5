"""A command of the SDK as a child: its answer, its last words, its limits, and Ctrl-C passed on."""

import subprocess
import sys
import time

import pytest

from deepseek_core import console, errors

QUIET = "import time; print(0, flush=True); time.sleep(600)"
ENDS = "import os, sys; print(os.environ['OMP_NUM_THREADS']); sys.exit({code})"


@pytest.fixture
def child(monkeypatch, tmp_path):
    """Runs Python code in the place of `ds-sdk`; `child.processes` are those that were started."""
    usual, started = subprocess.Popen, []

    def run(code, **options):
        def instead(_words, **more):
            started.append(usual([sys.executable, "-c", code], **more))
            return started[-1]

        monkeypatch.setattr(subprocess, "Popen", instead)
        return console.run_child(["train", "run"], tmp_path, "child", **options)

    run.processes = started
    return run


def test_the_answer_is_what_it_printed(tmp_path):
    ended = console.run_child(["list-plugins", "--no-load", "--json"], tmp_path, "list")
    assert any(row["name"] == "cpu_onnx" for row in ended.answer["plugins"])
    assert ended.cpu_s > 0
    assert {path.name for path in tmp_path.iterdir()} == {"list.json", "list.log"}


def test_a_command_that_fails_gives_its_last_words(tmp_path):
    with pytest.raises(
        errors.DeepSeekError, match=r"nosuch ended with exit code 2: error: no plugin"
    ):
        console.run_child(["plugin-info", "nosuch", "--json"], tmp_path, "failed")


def test_an_exit_code_is_fine_where_it_is_told(child):
    assert child(ENDS.format(code=1), threads=3, fine=(0, 1)).answer == 3
    with pytest.raises(errors.DeepSeekError, match="ended with exit code 1"):
        child(ENDS.format(code=1), threads=3)


def test_one_that_ctrl_c_ended_is_no_failure(child):
    with pytest.raises(errors.Interrupted, match="goes on from there"):
        child(ENDS.format(code=130), threads=1)


def test_one_that_says_nothing_is_ended_at_its_limit(child):
    begun_s = time.monotonic()
    with pytest.raises(errors.DeepSeekError, match=r"ds-sdk train run said nothing for 0.5 s"):
        child(QUIET, silent_s=0.5, stop_s=5.0)
    assert time.monotonic() - begun_s < 20
    assert child.processes[0].poll() is not None


def test_one_whose_files_are_taken_away_ends_and_says_so(child, tmp_path):
    def look():
        (tmp_path / "child.log").unlink(missing_ok=True)
        return 0

    with pytest.raises(errors.DeepSeekError, match=r"child\.log was taken away while it ran"):
        child(QUIET, look=look, silent_s=60, stop_s=20.0)
    assert child.processes[0].poll() is not None


@pytest.mark.parametrize("stop", [KeyboardInterrupt, errors.Interrupted("enough")])
def test_what_ends_the_wait_is_passed_on_as_ctrl_c(stop, child, tmp_path):
    def look():
        if (tmp_path / "child.json").stat().st_size:
            raise stop
        return 0

    with pytest.raises(errors.Interrupted, match=r"goes on from there|enough"):
        child(QUIET, look=look, silent_s=60, stop_s=20.0)
    assert "KeyboardInterrupt" in (tmp_path / "child.log").read_text()
    assert child.processes[0].poll() is not None
