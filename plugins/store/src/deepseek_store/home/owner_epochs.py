"""Ownership of a store's tiers and mirrors: the home that took them last.

Each place (a tier, a mirror) holds a chain of epochs, objects that are only ever made if they are
absent. A home takes the next one before its first write of each opening, and remembers which it
took. A copy of a home (`cp -a`, a restored image) remembers the same; as soon as one of the two
goes on, the other finds an epoch that it never took, and is refused before it writes or deletes.
Two homes that have no place in common can't notice each other.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import attrs

from deepseek_core import ObjectStat, errors
from deepseek_store import from_os_error
from deepseek_store.commands import command
from deepseek_store.errors import IndexOutdated, NotOwner, StoreLocked
from deepseek_store.home.config import write_durably
from deepseek_store.home.locks import FileLock, wait_for_lock
from deepseek_store.home.numbers import Marks, Numbers

_LOG: Final = logging.getLogger(__name__)
FILE: Final = "owner.json"
_LOCK: Final = "owner.lock"
_FORMAT: Final = 1
# Older epochs are deleted; a few stay, so that people can see who was there.
_KEPT: Final = 4
# How far an epoch promises the numbers to go: the next one is taken long before that.
_AHEAD: Final = Marks(segment=1 << 20, stripe=1 << 16, generation=1 << 32)
_WAIT_S: Final = 60.0


class EpochStorage(Protocol):
    """What a chain of epochs lies on: a tier, or a folder."""

    url: str

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Make an object unless there is one; True if it was made."""
        ...

    def get(self, key: str) -> bytes:
        """Content of an object."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectStat]:
        """Objects whose key begins so."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; none is no error."""
        ...


@attrs.frozen(kw_only=True)
class Hold:
    """An epoch that a home took; `token` is known to that home, and to its copies."""

    number: int = 0
    token: str = ""


@attrs.frozen(kw_only=True)
class OwnerRecord:
    """What a home remembers of itself: what it took, and what it was about to take.

    `marked` are the folders that carry the store's mark. `doubted`: another home was met when it
    was open last. `where` tells on which file and machine the record was written: a hint that this
    is a copy, never a proof.
    """

    home: str = attrs.field(factory=lambda: secrets.token_hex(8))
    held: Mapping[str, Hold] = attrs.field(factory=dict)
    pending: Mapping[str, Hold] = attrs.field(factory=dict)
    marked: tuple[str, ...] = ()
    doubted: bool = False
    where: Mapping[str, Any] = attrs.field(factory=dict)


class Owner:
    """The owner's side of the chains of one home; safe between threads and processes.

    `moved`: the record was written elsewhere: the home is a copy, was restored, or the machine was;
    or it is doubted for another reason. `copied`: its very file is another one. `elsewhere`: and in
    another folder: by that it is a copy, or was moved from one disk to another.
    """

    def __init__(self, home: Path, store_id: bytes, numbers: Numbers) -> None:
        self._home, self._path = home, home / FILE
        self._store = store_id.hex()
        # the key of the chain of owners on each tier and mirror
        self._prefix = f"stores/{self._store}.owners/"
        self._numbers = numbers
        # place -> marks that were promised to it when it was taken
        self._taken: dict[str, Marks] = {}
        self._turn = threading.Lock()  # threads of this process take turns at the record
        # the record as it was read, by the file's version
        self._kept: tuple[tuple[int, int], OwnerRecord | None] | None = None
        record = self._read()
        self.is_new = record is None  # this home has no record yet
        where = _where(self._path)
        self.moved = record is not None and (record.doubted or dict(record.where) != where)
        self.copied = record is not None and _file_of(record.where) != _file_of(where)
        said = "" if record is None else record.where.get("path", "")
        self.elsewhere = self.copied and said not in ("", where.get("path"))
        self._said = said

    def __str__(self) -> str:
        return str(self._home.absolute())

    def check_home(self) -> None:
        """Make sure that this is the very home that has written to its places so far.

        Raises:
            NotOwner: it is a copy, as far as can be told.
        """
        if self.elsewhere:
            raise NotOwner(
                f"this home is a copy of {self._said}, which may go on",
                url=str(self._home),
                remedy=f"use that one, or decide for this one: {command('adopt', self._home)}",
            )

    def is_marked(self, folder: str) -> bool:
        """Whether that folder was given the store's mark once."""
        record = self._read()
        return record is not None and folder in record.marked

    def note_marked(self, folders: Iterable[str]) -> None:
        """These folders carry the mark."""
        with self._changing() as record:
            self._save(attrs.evolve(record, marked=tuple(sorted({*record.marked, *folders}))))

    def settle(self) -> None:
        """Remember that the home is here now, and has met no other."""
        with self._changing() as record:
            self.moved = self.copied = self.elsewhere = False
            self._save(attrs.evolve(record, doubted=False))

    def doubt(self) -> None:
        """Remember that another home was met: the next opening asks first."""
        with suppress(errors.StorageError, StoreLocked), self._changing() as record:
            self._save(attrs.evolve(record, doubted=True))

    def lag(self, name: str, place: EpochStorage) -> bool:
        """Whether a place is an older copy of itself: this home took later epochs than it has.

        Raises:
            NotOwner: another home has taken it.
        """
        held = self._check(name, place)
        return self._latest(place) < held.number

    def check(self, name: str, place: EpochStorage) -> None:
        """Make sure that nobody has taken a place since.

        Raises:
            NotOwner: another home has.
            TierUnavailable: it can't be reached.
        """
        try:
            self._check(name, place)
        except NotOwner:
            self.doubt()
            raise

    def check_age(self, name: str, place: EpochStorage) -> None:
        """Make sure that this store's index has come as far as it had when it wrote there last.

        Raises:
            IndexOutdated: it is an older one.
        """
        held = self._held(name)
        if held.number:
            self._check_age(place, held)

    def check_stripes(self, url: str, highest: int) -> None:
        """Make sure that a place holds no stripe of later than this store's index.

        Raises:
            IndexOutdated: it does.
        """
        if highest > (self._numbers.read() or Marks()).stripe:
            raise outdated(self._home, f"{url} has stripes that it does not know")

    def claim(
        self, name: str, place: EpochStorage, *, by_force: bool = False, anew: bool = False
    ) -> None:
        """Take the next epoch of a place, once in an opening; after that, check it.

        `by_force`: whoever had it before. `anew`: take another one, which tells of the numbers of
        now.

        Raises:
            NotOwner: another home has taken it.
            IndexOutdated: this store has come further than its index.
            TierUnavailable: it can't be reached.
        """
        marks = self._numbers.read() or Marks()
        promised = self._taken.get(name)
        is_enough = promised is not None and promised | marks == promised
        if is_enough and not by_force and not anew:
            self.check(name, place)
            return
        if not by_force:
            self.check(name, place)
        with self._changing():
            held = self._held(name) if by_force else self._check(name, place)
            if self._latest(place) < held.number:
                _LOG.error(
                    "%s is an older copy of itself: %s", place.url, command("scrub", self._home)
                )
            if held.number and not by_force:
                self._check_age(place, held)
            try:
                self._take(name, place, held, marks)
            except errors.TierFull as error:
                # What frees space has to write first; nobody else has taken it so far.
                _LOG.warning("%s keeps its last epoch: %s", place.url, error.message)
                return
        self._taken[name] = _promise(marks)

    def holds(self, name: str) -> bool:
        """Whether this home ever took that place."""
        return self._held(name).number > 0

    def told(self, place: EpochStorage) -> Marks:
        """The numbers of whoever had a place last, as they were then; zeros: nobody had."""
        latest = self._latest(place)
        return _known(_content(place, self._key(latest))) if latest else Marks()

    def numbers_at(self, place: EpochStorage) -> Marks:
        """How far the numbers of whoever had a place last can have come; zeros: nobody had."""
        latest = self._latest(place)
        return _promised(_content(place, self._key(latest))) if latest else Marks()

    def _check(self, name: str, place: EpochStorage) -> Hold:
        """What this home holds of a place, which nobody else has taken since."""
        latest = self._latest(place)
        record = self._read() or OwnerRecord()
        held, pending = record.held.get(name, Hold()), record.pending.get(name, Hold())
        if latest > held.number:
            # Taken, and killed before that was noted; or it arrived damaged, with no token at all.
            tokens = (pending.token, "")
            if latest == pending.number and self._token(place, latest) in tokens:
                return pending
            raise self._lost(place, latest)
        return held

    def _held(self, name: str) -> Hold:
        return (self._read() or OwnerRecord()).held.get(name, Hold())

    def _check_age(self, place: EpochStorage, held: Hold) -> None:
        found = _content(place, self._key(held.number))
        if found and found.get("token") != held.token:
            raise self._lost(place, held.number)
        said, known = _known(found), self._numbers.read() or Marks()
        if said | known != known:
            why = f"{place.url} tells of stripe {said.stripe} and segment {said.segment}"
            raise outdated(self._home, why)

    def _take(self, name: str, place: EpochStorage, held: Hold, marks: Marks) -> None:
        number = max(self._latest(place), held.number) + 1
        mine = Hold(number=number, token=secrets.token_hex(16))
        self._note(name, pending=mine)
        content = json.dumps(
            {
                "token": mine.token, "home": (self._read() or OwnerRecord()).home,
                "host": socket.gethostname(), "path": str(self._home.absolute()),
                "at_s": time.time(), **attrs.asdict(marks),
                "promised": attrs.asdict(_promise(marks)),
            }
        )  # fmt: skip
        is_mine = place.put_if_absent(self._key(number), content.encode())
        # There already: of an earlier try, whose answer was lost, or another's.
        if not is_mine and self._token(place, number) != mine.token:
            raise self._lost(place, number)
        latest = self._latest(place)
        if latest > number:
            raise self._lost(place, latest)
        self._note(name, held=mine)
        with suppress(errors.StorageError):
            for old in list(self._numbers_of(place)):
                if old <= number - _KEPT:
                    place.delete(self._key(old))

    def _note(self, name: str, *, held: Hold | None = None, pending: Hold | None = None) -> None:
        record = self._read() or OwnerRecord()
        if held is not None:
            record = attrs.evolve(record, held={**record.held, name: held})
        if pending is not None:
            record = attrs.evolve(record, pending={**record.pending, name: pending})
        self._save(record)

    def _latest(self, place: EpochStorage) -> int:
        return max(self._numbers_of(place), default=0)

    def _numbers_of(self, place: EpochStorage) -> Iterator[int]:
        for stat in place.list(self._prefix):
            with suppress(ValueError):
                yield int(stat.key.removeprefix(self._prefix), 16)

    def _token(self, place: EpochStorage, number: int) -> str:
        return str(_content(place, self._key(number)).get("token", ""))

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:016x}"

    def _lost(self, place: EpochStorage, number: int) -> NotOwner:
        found = _content(place, self._key(number))
        who = f"{found.get('host', '?')}:{found.get('path', '?')}"
        return NotOwner(
            f"{place.url} was taken by another copy of this home ({who}); this one is "
            f"{self._home.absolute()}",
            url=place.url,
            remedy=f"use that one, or decide for this one: {command('adopt', self._home)}",
        )

    @contextmanager
    def _changing(self) -> Iterator[OwnerRecord]:
        """Alone among all threads and processes of this home."""
        with self._turn:
            try:
                lock: FileLock = wait_for_lock(self._home / _LOCK, longest_s=_WAIT_S)
            except FileNotFoundError as error:  # all else comes typed
                raise from_os_error.typed(
                    error, str(self._home / _LOCK), str(self._home)
                ) from error
            try:
                yield self._read() or OwnerRecord()
            finally:
                lock.close()

    def _read(self) -> OwnerRecord | None:
        """What the file says; it is read again only if somebody has replaced it."""
        try:
            stat = self._path.stat()
        except OSError:
            self._kept = None
            return self._parsed()
        version = stat.st_ino, stat.st_mtime_ns
        kept = self._kept
        if kept is None or kept[0] != version:
            kept = self._kept = version, self._parsed()
        return kept[1]

    def _parsed(self) -> OwnerRecord | None:
        try:
            content = json.loads(self._path.read_bytes())
            if content["store"] != self._store:
                return None
            return OwnerRecord(
                home=str(content["home"]),
                held={name: Hold(**epoch) for name, epoch in content["held"].items()},
                pending={name: Hold(**epoch) for name, epoch in content["pending"].items()},
                marked=tuple(content["marked"]),
                doubted=bool(content["doubted"]),
                where=content["where"],
            )
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error.typed(error, str(self._path), str(self._home)) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _LOG.error("%s can't be read, and is rebuilt: %s", self._path, error)
            return None

    def _save(self, record: OwnerRecord) -> None:
        def content(file: int) -> bytes:
            where = self._where_to_say(record, os.fstat(file))
            facts = attrs.asdict(attrs.evolve(record, where=where))
            return json.dumps({"format": _FORMAT, "store": self._store, **facts}).encode() + b"\n"

        try:
            write_durably(self._path, content)
        except OSError as error:
            raise from_os_error.typed(error, str(self._path), str(self._home)) from error

    def _where_to_say(self, record: OwnerRecord, stat: os.stat_result) -> Mapping[str, Any]:
        """Where the record is; until the home has settled, still that it came from elsewhere."""
        here = _where_of(stat, self._path)
        if self.copied:
            return {**here, "file": 0, "path": self._said}
        return {**record.where, "file": here["file"]} if self.moved else here


def tier_name(number: int) -> str:
    """What a tier is called among the places of a home."""
    return f"tier {number}"


def outdated(home: Path, why: str) -> IndexOutdated:
    """The error of an index that knows less than its store."""
    return IndexOutdated(
        f"the index of {home} is older than its store: {why}",
        url=str(home),
        remedy=command("rebuild", home),
    )


def _promise(marks: Marks) -> Marks:
    return Marks(
        segment=marks.segment + _AHEAD.segment,
        stripe=marks.stripe + _AHEAD.stripe,
        generation=marks.generation + _AHEAD.generation,
        seq=marks.seq + _AHEAD.seq,
    )


def _known(content: Mapping[str, Any]) -> Marks:
    with suppress(ValueError, TypeError):
        return Marks(segment=int(content.get("segment", 0)), stripe=int(content.get("stripe", 0)))
    return Marks()


def _promised(content: Mapping[str, Any]) -> Marks:
    said = content.get("promised", {})
    names = ("segment", "stripe", "generation")
    with suppress(ValueError, TypeError, AttributeError):
        return Marks(**{name: int(said.get(name, 0)) for name in names})
    return Marks()


def _content(place: EpochStorage, key: str) -> Mapping[str, Any]:
    try:
        found = json.loads(place.get(key))
    except (errors.ObjectMissing, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _where(path: Path) -> Mapping[str, Any]:
    try:
        return _where_of(path.stat(), path)
    except OSError:
        return {}


def _where_of(stat: os.stat_result, path: Path) -> dict[str, Any]:
    folder = os.path.realpath(path.parent)
    return {"file": stat.st_ino, "path": folder, "machine": _machine(), "boot": _boot()}


def _file_of(where: Mapping[str, Any]) -> Any:
    return where.get("file")


@cache
def _machine() -> str:
    return _first_line("/etc/machine-id") or socket.gethostname()


@cache
def _boot() -> str:
    return _first_line("/proc/sys/kernel/random/boot_id")


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
