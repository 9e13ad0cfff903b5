"""Pins and snapshots, noted in a file of the home: all that the log can't tell of a store.

One JSON object a line, appended and synced. A line that a crash has torn is passed over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_store import os_faults
from deepseek_store.home.config import sync_folder

FILE: Final = "notes.jsonl"


@attrs.frozen(kw_only=True)
class SnapshotNote:
    """A snapshot: what was current when `clock` was the highest generation."""

    name: str
    created_s: float
    clock: int


@attrs.frozen(kw_only=True)
class PinsAndSnapshots:
    """What the notes of a store say, one after the other."""

    snapshots: Mapping[str, SnapshotNote] = attrs.field(factory=dict)
    pins: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def load(cls, home: Path) -> PinsAndSnapshots:
        """All notes of a home; none where there is no file."""
        snapshots: dict[str, SnapshotNote] = {}
        pins: dict[str, str] = {}
        for note in _lines(home / FILE):
            if (taken := note.get("snapshot")) is not None:
                snapshots[taken["name"]] = SnapshotNote(**taken)
            snapshots.pop(note.get("dropped", ""), None)
            for key in note.get("keys", ()):
                pins.pop(key, None)
                if note.get("pin") is not None:
                    pins[key] = note["pin"]
        return cls(snapshots=snapshots, pins=pins)


def note_snapshot(home: Path, note: SnapshotNote) -> None:
    """A snapshot was taken."""
    _append(home, {"snapshot": attrs.asdict(note)})


def note_dropped(home: Path, name: str) -> None:
    """A snapshot was let go of."""
    _append(home, {"dropped": name})


def note_pins(home: Path, keys: Iterable[str], tier: str | None) -> None:
    """Objects were pinned to a tier; None: they are free again."""
    if found := list(keys):
        _append(home, {"pin": tier, "keys": found})


def _append(home: Path, note: Mapping[str, Any]) -> None:
    # The line break comes first as well: it ends a line that a crash has torn.
    line = f"\n{json.dumps(note, separators=(',', ':'))}\n".encode()
    path = home / FILE
    is_new = not path.exists()
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            _write_whole(file, line)
            os.fsync(file)
        finally:
            os.close(file)
        if is_new:
            sync_folder(home)
    except OSError as error:
        raise os_faults.typed(error, str(home / FILE), str(home)) from error


def _write_whole(file: int, line: bytes) -> None:
    """Append a line; a part of it, on a full disk, is ended by the next one's line break."""
    done = 0
    while done < len(line):
        done += os.write(file, line[done:])


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            note = json.loads(line) if line else None
        except ValueError:
            continue
        if isinstance(note, dict):
            yield note
