"""Files that are there and may not be read: told as that, and rebuilt where a copy has them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_store import Store

_AWAY = "setpriv"  # takes from root the right to read everything


def _as_user(home: Path, name: str) -> "subprocess.CompletedProcess[str]":
    plain = []
    if os.geteuid() == 0:
        if shutil.which(_AWAY) is None:
            pytest.skip(f"root reads everything, and there is no {_AWAY}")
        plain = [_AWAY, "--bounding-set=-dac_override,-dac_read_search"]
    command = [*plain, sys.executable, "-m", "deepseek_core", "store", name, str(home)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_store_file_that_may_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    Store.init(tmp_path / "home").close()
    (tmp_path / "home" / "store.json").chmod(0)
    done = _as_user(tmp_path / "home", "ls")
    said = " ".join(done.stderr.split())
    assert done.returncode == 1
    assert "store.json: Permission denied" in said
    assert "give this user the right" in said
    assert "backup" not in said


def test_repair_replaces_a_segment_that_can_not_be_read(tmp_path: Path) -> None:
    with Store.init(tmp_path / "home", mirrors=[tmp_path / "mirror"]) as store:
        store.put("key", b"bytes" * 1000)
    (segment,) = (tmp_path / "home" / "log").glob("segment-*")
    segment.chmod(0)
    done = _as_user(tmp_path / "home", "repair")
    assert done.returncode == 0, done.stderr
    assert segment.read_bytes() == (tmp_path / "mirror" / segment.name).read_bytes()
    assert segment.stat().st_mode & 0o400
