"""`ds-sdk run` on a full disk: arrays are kept, the exit code tells, nothing is half there."""

import os
import resource
import signal
import stat
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_models import perceptron

from deepseek_core import Plan
from deepseek_core.cli import main

FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One for all: looking for devices again takes most of a second."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(tmp_path, cache, monkeypatch, capsys):
    """Runs a small model from a folder of its own; gives exit code and what was said."""
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(cache))
    monkeypatch.setenv("DEEPSEEK_ONLY_PLUGINS", "cpu_onnx")
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    onnx.save(perceptron(), tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=np.ones((64, 8), np.float32))

    def run(*words):
        code = main(
            ["run", str(tmp_path / "model.onnx"), "--input", str(tmp_path / "data.npz"),
             "--no-calibrate", "--batch", "1", *map(str, words)]
        )  # fmt: skip
        return code, capsys.readouterr().err

    return run


def here():
    return sorted(path.name for path in Path().iterdir())


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize("option", ["--trace", "--html"])
def test_the_results_are_kept_when_something_else_cannot_be_written(option, command):
    code, said = command("--output", "results.npz", option, FULL)
    assert code == 1
    assert "error: /dev/full can't be written: No space left on device" in said
    assert "fix: " in said
    assert here() == ["results.npz"]
    assert np.load("results.npz")["y"].shape == (64, 8)
    assert stat.S_ISCHR(FULL.stat().st_mode)


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_results_that_cannot_be_written_are_told(command):
    code, said = command("--output", FULL, "--trace", "trace.json")
    assert code == 1
    assert "/dev/full can't be written" in said
    assert here() == []


@pytest.mark.parametrize(("option", "name"), [("--trace", "t.json"), ("--html", "page.html")])
def test_a_disk_that_gets_full_leaves_nothing_half_written(option, name, command, monkeypatch):
    """Full for all but the arrays, which are written first."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    usual = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    close = Plan.close

    def warmup(plan):
        plan.explain()  # opens the history, which is another file
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))

    def closed(plan):
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        close(plan)

    monkeypatch.setattr(Plan, "warmup", warmup)
    monkeypatch.setattr(Plan, "close", closed)
    try:
        Path(name).write_text("old")
        code, said = command("--output", "results.npz", option, name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, usual)
    assert code == 1
    assert f"{name} can't be written: File too large" in said
    assert here() == sorted([name, "results.npz"])
    assert Path(name).read_text() == "old"
    assert np.load("results.npz")["y"].shape == (64, 8)


@pytest.mark.parametrize("option", ["--output", "--trace", "--html"])
def test_what_is_thrown_away_leaves_the_device_as_it_was(option, command):
    before = Path(os.devnull).stat()
    assert command(option, os.devnull)[0] == 0
    assert Path(os.devnull).stat().st_ino == before.st_ino


@pytest.mark.parametrize("option", ["--output", "--trace", "--html"])
def test_a_place_that_is_none_is_told_before_the_work(option, command, monkeypatch):
    monkeypatch.setattr(Plan, "stream", lambda *_a, **_k: pytest.fail("it ran"))
    for place, told in (("missing/file", "does not exist"), (".", "is a folder")):
        code, said = command(option, place)
        assert code == 2 and told in said
