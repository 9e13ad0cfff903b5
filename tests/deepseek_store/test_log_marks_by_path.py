"""What a disk of the log has missed is known under each name of the home."""

import shutil
from pathlib import Path

import pytest

from deepseek_store import Store


def test_a_disk_that_missed_writes_is_known_by_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    with Store.init(home, mirrors=[tmp_path / "mirror"]) as store:
        store.put("old", b"1")
    (home / "log").rename(tmp_path / "away")
    with Store(home) as store:
        store.put("new", b"2")
    shutil.rmtree(home / "log", ignore_errors=True)
    (tmp_path / "away").rename(home / "log")
    monkeypatch.chdir(tmp_path)
    with Store("home", read_only=True) as store:
        (why,) = store.parts.opened.disk.degraded.values()
        assert "missed writes" in why
        assert bytes(store.get("new")) == b"2"
