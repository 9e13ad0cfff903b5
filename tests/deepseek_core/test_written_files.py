"""A file that can't be written is told; what was there before stays, and so do results."""

import io
import json
import os
import resource
import signal
import stat
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import plain_devices
import pytest
from plain_graphs import chain
from plain_sessions import plain_session

from deepseek_core.cli.html import write_html
from deepseek_core.cli.outputs import write_npz
from deepseek_core.contracts.errors import WriteError
from deepseek_core.contracts.files import whole_file

FULL = Path("/dev/full")
X = {"x": np.ones((3, 2))}
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")


@pytest.fixture
def plan(tmp_path):
    plain_devices.FAILURES.clear()
    with plain_session(tmp_path / "cache", "a") as session:
        plan = session.plan(chain(), batch=3)
        results = list(plan.stream([X] * 40))
        yield plan
        assert all(np.all(r["z"] == 4.0) for r in results), "results are kept"


@contextmanager
def no_file_above(nbytes):
    """As on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    usual = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, usual)


def page(path):
    write_html(path, "title", "text " * 5000)


def arrays(path):
    write_npz(path, {"y": np.ones(5000)})


def text(path):
    with whole_file(path) as partial:
        partial.write_text("text " * 5000)


WRITERS = [page, arrays, text]


@needs_full
@pytest.mark.parametrize("write", WRITERS)
def test_a_full_device_is_told_and_stays_a_device(write):
    before = FULL.stat()
    with pytest.raises(WriteError, match="/dev/full can't be written: No space left"):
        write(FULL)
    after = FULL.stat()
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_ino, after.st_rdev) == (before.st_ino, before.st_rdev)
    assert not list(FULL.parent.glob("*.part"))


@pytest.mark.parametrize("write", WRITERS)
def test_what_is_thrown_away_is_no_error_and_stays_a_device(write):
    before = Path(os.devnull).stat()
    write(Path(os.devnull))
    assert Path(os.devnull).stat().st_ino == before.st_ino


@pytest.mark.parametrize("write", WRITERS)
def test_a_pipe_gets_all_of_it(write, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe)
    reader.join(30)
    assert found
    if write is arrays:
        assert np.load(io.BytesIO(found[0]))["y"].shape == (5000,)
        assert zipfile.ZipFile(io.BytesIO(found[0])).testzip() is None
    else:
        assert b"text text" in found[0]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("write", WRITERS)
def test_a_disk_that_gets_full_leaves_the_old_file_and_nothing_else(write, tmp_path):
    path = tmp_path / "result"
    path.write_text("old")
    with no_file_above(4096), pytest.raises(WriteError, match="can't be written: File too large"):
        write(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    write(path)
    assert path.stat().st_size > 4096


@pytest.mark.parametrize("write", WRITERS)
def test_a_link_goes_on_pointing_where_it_points(write, tmp_path):
    link, target = tmp_path / "link", tmp_path / "other" / "target"
    target.parent.mkdir()
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.stat().st_size > 4096


@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_or_a_missing_one_is_told(write, tmp_path):
    for path in (tmp_path, tmp_path / "missing" / "file"):
        with pytest.raises(WriteError):
            write(path)
    assert list(tmp_path.iterdir()) == []


@needs_full
def test_a_trace_that_cannot_be_written_is_told(plan, tmp_path):
    with pytest.raises(WriteError, match="No space left"):
        plan.write_trace(FULL)
    path = tmp_path / "trace.json"
    with no_file_above(4096), pytest.raises(WriteError, match="File too large"):
        plan.write_trace(str(path))
    assert not path.exists()
    plan.write_trace(path)
    assert len(json.loads(path.read_text())["traceEvents"]) >= 40
