"""What reads, checks and openings have found wrong, kept in the home until it is healed.

One small JSON file that all processes of a store share: whoever changes it holds a lock and writes
it whole or not at all. What can't be written (a full disk, a home that may only be read) is known
to this process alone.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from deepseek_store import handles

_LOG: Final = logging.getLogger(__name__)
FILE: Final = "findings.json"
_LOCK: Final = "findings.lock"
_FORMAT: Final = 1
MOST: Final = 1000
"""So many findings are kept; of more only the number."""
MOST_DETAIL: Final = 500
"""Characters of a finding's detail."""
# Writing may take one part in ten of the time: readers that meet one fault after the other go on.
_SHARE: Final = 10.0

_WORDS: Final = {
    "segment": "segment",
    "stripe": "fragment",
    "domain": "failure domain",
    "tier": "tier",
    "mirror": "copy of the log",
}
_WAIT_S: Final = 2.0
_PAUSE_S: Final = 0.005

What = Literal["segment", "stripe", "domain", "tier", "mirror"]
By = Literal["read", "scrub", "repair", "fsck", "write", "open", "status"]


@attrs.frozen(kw_only=True)
class KeptFinding:
    """One thing that is wrong, and when who met it.

    `number` is that of the segment, the stripe or the tier; `index` that of a stripe's fragment.
    `place` is a folder, or a tier's URL with its failure domain. Times are since the epoch.
    """

    what: What = attrs.field(validator=attrs.validators.in_(_WORDS))
    number: int = attrs.field(converter=int)
    index: int | None = attrs.field(default=None, converter=attrs.converters.optional(int))
    kind: str = attrs.field(converter=str)
    place: str = attrs.field(converter=str)
    detail: str = attrs.field(default="", converter=str)
    by: str = attrs.field(default="read", converter=str)
    process: str = attrs.field(default="", converter=str)
    first_s: float = attrs.field(default=0.0, converter=float)
    last_s: float = attrs.field(default=0.0, converter=float)
    times: int = attrs.field(default=1, converter=int)
    lost: bool = attrs.field(default=False, converter=bool)
    """Whether bytes of objects are lost with it, as far as whoever met it could tell."""

    @property
    def id(self) -> str:
        """Tells it from others; the same thing that is found again has the same."""
        return (
            f"{self.what}:{self.number:x}:{'' if self.index is None else self.index}:{self.place}"
        )

    @property
    def where(self) -> str:
        """What it is about, in words."""
        if self.what == "stripe":
            return f"fragment {self.index} of stripe {self.number:x} on {self.place}"
        if self.what == "segment":
            return f"segment {self.number:x} on {self.place}"
        return f"{_WORDS[self.what]} {self.place}"

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        lost = "; bytes are lost with it" if self.lost else ""
        again = f", {self.times:,} times until {_local(self.last_s)}" if self.times > 1 else ""
        by = f"by {self.by} in {self.process}" if self.process else f"by {self.by}"
        return f"{self.where} is {self.kind}{detail}; met {_local(self.first_s)} {by}{again}{lost}"

    def again(self, later: KeptFinding) -> KeptFinding:
        """This one, met once more."""
        return attrs.evolve(
            later,
            first_s=min(self.first_s, later.first_s),
            last_s=max(self.last_s, later.last_s),
            times=self.times + later.times,
        )


class Findings:
    """The findings of one store; safe to use from several threads and processes.

    `clock` gives seconds since the epoch; `read_only` leaves the home as it is. Notes are written
    at once, but for those that come faster than that takes: they wait for the next one, or `flush`.
    `met` is told of each, `healed` of one that is no more, how many were healed with it, and left.
    """

    def __init__(
        self,
        home: Path,
        clock: Callable[[], float],
        *,
        read_only: bool = False,
        met: Callable[[KeptFinding], None] = lambda _found: None,
        healed: Callable[[KeptFinding, int, int], None] = lambda _one, _gone, _left: None,
    ) -> None:
        self._home, self._clock, self._read_only = home, clock, read_only
        self._met, self._tell_healed = met, healed
        self._process = f"{socket.gethostname()}:{os.getpid()}"
        self._lock = threading.Lock()
        # Notes that are not in the file yet, and what was healed meanwhile.
        self._waiting: dict[str, KeptFinding] = {}
        self._healed: set[str] = set()
        self._quiet_until_s = -float("inf")
        self._refused = False

    def note(
        self,
        what: What,
        number: int,
        kind: str,
        place: str,
        *,
        detail: str = "",
        by: By = "read",
        index: int | None = None,
        lost: bool = False,
    ) -> None:
        """Something is wrong; the same again counts up."""
        now_s = self._clock()
        found = KeptFinding(
            what=what, number=number, index=index, kind=kind, place=place,
            detail=detail[:MOST_DETAIL], by=by, process=self._process, lost=lost,
            first_s=now_s, last_s=now_s,
        )  # fmt: skip
        with self._lock:
            known = self._waiting.get(found.id)
            self._waiting[found.id] = found if known is None else known.again(found)
            self._healed.discard(found.id)
            if time.monotonic() >= self._quiet_until_s:
                self._write()
        self._met(found)

    def heal(self, healed: Callable[[KeptFinding], bool]) -> None:
        """Forget the findings of which that is true: they were repaired, or read again and right.

        Costs nothing while there are none.
        """
        with self._lock:
            known = self._merged(self._load())
            gone = {id for id, found in known.items() if healed(found)}
            if not gone:
                return
            self._healed |= gone
            self._waiting = {k: v for k, v in self._waiting.items() if k not in gone}
            self._write()
        self._tell_healed(known[min(gone)], len(gone), len(known) - len(gone))

    def all(self) -> tuple[KeptFinding, ...]:
        """What every process has found and is not healed yet, the oldest first."""
        with self._lock:
            found = self._merged(self._load())
        return tuple(sorted(found.values(), key=lambda each: (each.first_s, each.id)))

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            if self._waiting or self._healed:
                self._write()

    def _merged(self, known: Mapping[str, KeptFinding]) -> dict[str, KeptFinding]:
        merged = {id: found for id, found in known.items() if id not in self._healed}
        for id, found in self._waiting.items():
            before = merged.get(id)
            if before is not None:
                merged[id] = before.again(found)
            elif len(merged) < MOST:
                merged[id] = found
        return merged

    def _write(self) -> None:
        if self._read_only:
            return
        start_s = time.monotonic()
        try:
            with _locked(self._home / _LOCK):
                merged = self._merged(self._load())
                _replace(self._home / FILE, _to_text(merged.values()))
        except OSError as error:
            if not self._refused:
                _LOG.warning("findings stay with this process: %s", error)
            self._refused = True
            self._quiet_until_s = time.monotonic() + _SHARE
            return
        self._waiting.clear()
        self._healed.clear()
        took_s = time.monotonic() - start_s
        self._quiet_until_s = start_s + took_s * _SHARE

    def _load(self) -> dict[str, KeptFinding]:
        try:
            text = (self._home / FILE).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return {}
        return {found.id: found for found in _of_text(text)}


def _to_text(findings: Iterable[KeptFinding]) -> str:
    listed = [attrs.asdict(found) for found in findings]
    return json.dumps({"format": _FORMAT, "findings": listed}, indent=1) + "\n"


def _of_text(text: str) -> Iterator[KeptFinding]:
    """What can be read of it: a file that somebody spoiled holds no findings, and is replaced."""
    try:
        listed: list[dict[str, Any]] = json.loads(text)["findings"]
    except (ValueError, KeyError, TypeError):
        return
    known = attrs.fields_dict(KeptFinding)
    for each in listed if isinstance(listed, list) else ():
        try:
            yield KeptFinding(**{name: value for name, value in each.items() if name in known})
        except (TypeError, ValueError, AttributeError):
            continue


def _local(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Alone among the processes of this machine; the kernel lets go when one dies.

    Raises:
        OSError: it can't be opened, or somebody holds it for too long.
    """
    descriptor = handles.open_file(path, os.O_RDWR | os.O_CREAT)
    until_s = time.monotonic() + _WAIT_S
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(_PAUSE_S)
        yield
    finally:
        # A child that was forked meanwhile has the descriptor too: closing is not enough.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    """Make a file this text, whole or not at all."""
    partial = path.with_name(f"{path.name}.part")
    try:
        with handles.patiently(lambda: partial.open("w", encoding="utf-8")) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
