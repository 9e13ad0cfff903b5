"""The notes of pins and snapshots stay as long as what they tell of."""

from __future__ import annotations

import threading
from pathlib import Path

from deepseek_store import Store
from deepseek_store.home.pins_and_snapshots import (
    FILE,
    PinsAndSnapshots,
    SnapshotNote,
    note_dropped,
    note_pins,
    note_snapshot,
)


def test_what_was_undone_is_left_out(tmp_path: Path) -> None:
    note_snapshot(tmp_path, SnapshotNote(name="kept", created_s=1.0, clock=7))
    note_pins(tmp_path, ["a", "b"], "cold")
    note_pins(tmp_path, ["c"], "warm")
    for number in range(3000):
        note_snapshot(tmp_path, SnapshotNote(name=f"s{number}", created_s=2.0, clock=number))
        note_dropped(tmp_path, f"s{number}")
    assert (tmp_path / FILE).stat().st_size < 70_000
    known = PinsAndSnapshots.load(tmp_path)
    assert known.pins == {"a": "cold", "b": "cold", "c": "warm"}
    assert known.snapshots == {"kept": SnapshotNote(name="kept", created_s=1.0, clock=7)}


def test_what_is_needed_is_kept_whatever_comes_at_once(tmp_path: Path) -> None:
    def pin(start: int) -> None:
        for number in range(start, start + 150):
            note_pins(tmp_path, [f"{number:04}" * 50], "cold")
            note_pins(tmp_path, ["often"], "cold" if number % 2 else None)

    threads = [threading.Thread(target=pin, args=(start,)) for start in (0, 200, 400)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(PinsAndSnapshots.load(tmp_path).pins.keys() - {"often"}) == 450


def test_they_are_there_for_a_rebuild(tmp_path: Path) -> None:
    with Store.init(tmp_path / "home") as store:
        store.put("key", b"old")
        store.snapshot("first")
        store.put("key", b"new")
        for _ in range(800):
            note_snapshot(tmp_path / "home", SnapshotNote(name="x", created_s=0.0, clock=0))
            note_dropped(tmp_path / "home", "x")
    Store.rebuild(tmp_path / "home")
    with Store(tmp_path / "home") as store:
        assert store.get("key", snapshot="first") == b"old"
