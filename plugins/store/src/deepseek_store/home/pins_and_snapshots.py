"""Pins and snapshots, noted in a file of the home: all that the log can't tell of a store.

One JSON object a line, appended and synced. A line that a crash has torn is passed over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_store import from_os_error, handles
from deepseek_store.home.config import sync_folder, write_durably
from deepseek_store.home.locks import wait_for_lock

FILE: Final = "notes.jsonl"
_LOCK: Final = "notes.lock"
_WAIT_S: Final = 30.0
_LOOK_NBYTES: Final = 64 << 10  # so often it is seen whether the file can be made shorter


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
    """Note it, alone among all processes; now and then the file is made small again."""
    try:
        with closing(wait_for_lock(home / _LOCK, longest_s=_WAIT_S)):
            _append_alone(home, note)
    except FileNotFoundError as error:
        raise from_os_error.typed(error, str(home / FILE), str(home)) from error


def _append_alone(home: Path, note: Mapping[str, Any]) -> None:
    line = _line(note)
    path = home / FILE
    is_new = not path.exists()
    try:
        file = handles.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            _write_whole(file, line)
            os.fsync(file)
        finally:
            os.close(file)
        if is_new:
            sync_folder(home)
        nbytes = path.stat().st_size
    except OSError as error:
        raise from_os_error.typed(error, str(home / FILE), str(home)) from error
    if nbytes // _LOOK_NBYTES > (nbytes - len(line)) // _LOOK_NBYTES:
        _shorten(home, nbytes)


def _shorten(home: Path, nbytes: int) -> None:
    """Leave out what later notes have undone, if that is most of the file."""
    known = PinsAndSnapshots.load(home)
    notes: list[Mapping[str, Any]] = [
        {"snapshot": attrs.asdict(each)} for each in known.snapshots.values()
    ]
    for tier in sorted(set(known.pins.values())):
        keys = [key for key, pinned in known.pins.items() if pinned == tier]
        notes.append({"pin": tier, "keys": keys})
    text = b"".join(_line(note) for note in notes)
    if len(text) < nbytes // 2:
        # On a full disk the long file will do.
        with suppress(OSError):
            write_durably(home / FILE, lambda _file: text)


def _line(note: Mapping[str, Any]) -> bytes:
    # The line break comes first as well: it ends a line that a crash has torn.
    return f"\n{json.dumps(note, separators=(',', ':'))}\n".encode()


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
