"""Reads and verifies what is stored, a little at a time, and repairs what it finds.

A pass looks at every sealed segment of the log, on every disk that has it, and at every stripe. How
far it came is kept in the index, so a pass that was killed goes on there.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from deepseek_core import errors
from deepseek_store.check.check_units import LogFiles, Look, look_at, units_of
from deepseek_store.check.faults import CheckUnit, Fault
from deepseek_store.check.found_faults import keep_findings
from deepseek_store.check.inventory import SAMPLE_NBYTES, Inventory, take_inventory
from deepseek_store.check.presence import Presence, look_for_places
from deepseek_store.check.repair import Mended, mend, revive_mirrors
from deepseek_store.errors import ReadOnlyStore
from deepseek_store.home.findings import By
from deepseek_store.index.rows import Batch
from deepseek_store.parts import Parts
from deepseek_store.stripes.layout import Place

Progress = Callable[[int, int, str], None]

CURSOR: Final = "scrub"
"""The entry of the index's meta table that tells how far a pass has come."""


@attrs.frozen(kw_only=True)
class ScrubReport:
    """What was read, what was wrong, and what became of it.

    `complete`: nothing is left of the pass. `deep`: all bytes were read of what was looked at, not
    only ends. `lost_keys`: objects that no copy is left of. `looked` is what a repair looked at
    before it began, `looked_facts` the same as plain values; a scrub has none.
    """

    seconds: float
    read_nbytes: int
    segments: int
    stripes: int
    complete: bool = True
    resumed: bool = False
    faults: tuple[Fault, ...] = ()
    lost_keys: tuple[str, ...] = ()
    deep: bool = True
    looked: Inventory | None = None
    looked_facts: Mapping[str, Any] | None = None
    away: Mapping[str, str] = attrs.field(factory=dict)
    """Domains, tiers and copies of the log that are not there, and why."""

    @property
    def ok(self) -> bool:
        """Whether nothing of what was looked at is wrong any more."""
        return not self.left and (self.looked is None or self.looked.usable)

    @property
    def left(self) -> tuple[Fault, ...]:
        """Faults that are not repaired."""
        return tuple(one for one in self.faults if one.outcome not in ("repaired", "gone"))

    @property
    def repaired(self) -> int:
        """How many faults were repaired."""
        return sum(fault.outcome == "repaired" for fault in self.faults)

    @property
    def by_kind(self) -> Mapping[str, int]:
        """How many faults there were of each kind, repaired ones too."""
        return dict(Counter(fault.kind for fault in self.faults).most_common())

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "seconds": self.seconds,
            "read_nbytes": self.read_nbytes,
            "segments": self.segments,
            "stripes": self.stripes,
            "complete": self.complete,
            "resumed": self.resumed,
            "ok": self.ok,
            "by_kind": dict(self.by_kind),
            "repaired": self.repaired,
            "faults": [fault.to_json() for fault in self.faults],
            "lost_keys": list(self.lost_keys),
            "deep": self.deep,
            "looked": None if self.looked_facts is None else dict(self.looked_facts),
            "not_looked_at": [] if self.looked is None else list(self.looked.not_looked_at),
            "away": dict(self.away),
        }

    def sentences(self) -> tuple[str, ...]:
        """The report for people."""
        part = "" if self.complete else ", a part of the pass"
        looked = f"{self.segments} segments of the log and {self.stripes} stripes"
        lines = [] if self.looked is None else list(self.looked.sentences())
        if self.looked is None or self.segments or self.stripes:
            read = f"Read {self.read_nbytes:,} bytes of {looked} in {self.seconds:.1f} s{part}."
            lines.append(read)
        away = [f"Away: {place}: {why}." for place, why in sorted(self.away.items())]
        if not self.faults:
            return (*lines, *away, self._verdict)
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.by_kind.items())
        lines.append(f"{len(self.faults)} faults ({kinds}), {self.repaired} of them repaired.")
        lines += [*away, *(f"{fault}." for fault in self.left)]
        if self.lost_keys:
            lines.append(f"{len(self.lost_keys)} objects are lost: {', '.join(self.lost_keys)}.")
        return tuple(lines)

    @property
    def _verdict(self) -> str:
        """What may be said where no fault was met: no more than was looked at."""
        if self.away:
            return "No fault was met in what is there."
        whole = self.looked.whole if self.looked is not None else self.deep and self.complete
        return "Nothing is wrong." if whole else "No fault was met in what was looked at."


class RateLimit:
    """Lets `bytes_per_s` pass on average; None: all. Safe to use from several threads."""

    def __init__(
        self,
        bytes_per_s: float | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if bytes_per_s is not None and not bytes_per_s > 0:
            raise errors.InputError(
                f"{bytes_per_s} bytes per second", remedy="give more than 0, or None for no limit"
            )
        self._bytes_per_s, self._clock, self._sleep = bytes_per_s, clock, sleep
        self._free_s = -float("inf")
        self._lock = threading.Lock()
        self.nbytes = 0
        """What has passed so far."""

    def __call__(self, nbytes: int) -> None:
        """Wait until so many bytes may be read."""
        with self._lock:
            self.nbytes += nbytes
            if self._bytes_per_s is None:
                return
            now_s = self._clock()
            start_s = max(now_s, self._free_s)
            self._free_s = start_s + nbytes / self._bytes_per_s
        if start_s > now_s:
            self._sleep(start_s - now_s)


def scrub(
    parts: Parts,
    *,
    repair: bool = False,
    bytes_per_s: float | None = None,
    deep: bool = True,
    resume: bool = True,
    progress: Progress | None = None,
    limit_nbytes: int | None = None,
) -> ScrubReport:
    """Look at everything that is stored, and repair it if asked to.

    `deep` reads all bytes, else only what begins and ends files and fragments. A pass that was not
    finished goes on (not with `resume=False`). `limit_nbytes`: end early once so much was read.

    Raises:
        InputError: a limit that is none.
        IndexUnavailable: the database does not answer.
    """
    parts.state.refresh()
    round_ = _Round(parts, repair=repair, deep=deep, bytes_per_s=bytes_per_s)
    cursor = _Cursor.load(parts) if resume else _Cursor()
    if repair:
        _check_writable(parts)
        revive_mirrors(parts)
    round_.away = _away(parts, look_for_places(parts, by="scrub"))
    todo = cursor.rest(units_of(parts), list(_found(parts)))
    done = 0
    for done, unit in enumerate(todo):
        if limit_nbytes is not None and round_.read_nbytes >= limit_nbytes:
            break
        if progress is not None:
            progress(done, len(todo), str(unit))
        round_.look(unit)
        cursor = cursor.after(unit)
        cursor.save(parts)
    else:
        done = len(todo)
        _Cursor(bad=cursor.bad).save(parts)
    if progress is not None and todo:
        progress(done, len(todo), "done")
    round_.collect_emptied()
    return round_.report(complete=done == len(todo), resumed=len(todo) < len(units_of(parts)))


def repair(
    parts: Parts,
    report: ScrubReport | None = None,
    *,
    unreachable: bool = True,
    dry_run: bool = False,
    look: bool = True,
    sample_nbytes: int = SAMPLE_NBYTES,
    progress: Progress | None = None,
) -> ScrubReport:
    """Repair what a report tells of; without one, what is wrong as far as a first look tells.

    That first look asks all domains, compares what is there with the index by name and length, and
    reads up to `sample_nbytes`; not `look`: only what scrubs, readers and others have met so far.
    `unreachable`: also give fragments that can't be reached now another place. `dry_run`: only
    look at what would be repaired.

    Raises:
        IndexUnavailable: the database does not answer.
    """
    round_ = _Round(parts, repair=not dry_run, unreachable=unreachable, by="repair")
    if not dry_run:
        _check_writable(parts)
        revive_mirrors(parts)
    cursor = _Cursor.load(parts)
    if report is not None:
        units = [fault.unit for fault in report.left]
    else:
        units = [*cursor.bad, *_suspected(parts), *_found(parts)]
        if look:
            round_.looked = take_inventory(parts, sample_nbytes=sample_nbytes)
            round_.away = _away(parts, round_.looked.presence)
            units += round_.looked.suspect
    units = list(dict.fromkeys(units))
    for done, unit in enumerate(units):
        if progress is not None:
            progress(done, len(units), str(unit))
        round_.look(unit)
        cursor = cursor.seen(unit)
    cursor.save(parts)
    if progress is not None and units:
        progress(len(units), len(units), "done")
    round_.collect_emptied()
    return round_.report(complete=True, resumed=False)


def _check_writable(parts: Parts) -> None:
    if parts.state.index.read_only:
        raise ReadOnlyStore(
            f"{parts.home} is open for reading only, and a repair writes",
            url=f"ds:{parts.home}",
            remedy="open it for writing; a scrub, or a repair with dry_run (--dry-run), only looks",
        )


def known_damage(parts: Parts) -> tuple[CheckUnit, ...]:
    """Segments and stripes of which something was found that is not healed."""
    return tuple(dict.fromkeys([*_Cursor.load(parts).bad, *_found(parts)]))


def _found(parts: Parts) -> Iterator[CheckUnit]:
    """Units of which any process has found something that is not healed yet."""
    for each in parts.findings.all():
        if each.what == "segment":
            yield CheckUnit("log", each.number)
        elif each.what == "stripe":
            yield CheckUnit("stripe", each.number)


def _away(parts: Parts, found: Presence) -> dict[str, str]:
    """What is not there, by the name that people know."""
    url = parts.tiers.url_of
    tiers = {url(Place(tier=number)): why for number, why in found.tiers.items() if why}
    domains = {url(p): why for p, why in found.away.items() if not found.tiers.get(p.tier)}
    return {**tiers, **domains, **{name: why for name, why in found.copies.items() if why}}


def _suspected(parts: Parts) -> list[CheckUnit]:
    units = []
    for number in parts.suspects.take():
        row = parts.state.segments.get(number)
        if row is not None and row.local:
            units.append(CheckUnit("log", number))
        if row is not None and row.stripe is not None:
            units.append(CheckUnit("stripe", row.stripe))
    return units


class _Round:
    """Looks at units, mends them if it is to, and keeps the account."""

    def __init__(
        self,
        parts: Parts,
        *,
        repair: bool,
        deep: bool = True,
        bytes_per_s: float | None = None,
        unreachable: bool = True,
        by: By = "scrub",
    ) -> None:
        self._parts, self._repair, self._unreachable = parts, repair, unreachable
        self._by = by
        self.looked: Inventory | None = None
        self.away: dict[str, str] = {}
        self._limit = RateLimit(bytes_per_s)
        self._look = Look(deep=deep, throttle=self._limit, files=LogFiles(parts.disk.replicas()))
        self._start_s = time.monotonic()
        self._units: Counter[str] = Counter()
        self._faults: list[Fault] = []
        self._lost: set[str] = set()
        self._emptied = False

    @property
    def read_nbytes(self) -> int:
        """What was read so far."""
        return self._limit.nbytes

    def look(self, unit: CheckUnit) -> None:
        """Look at a unit, mend it if that is wanted, and keep what is still wrong with it."""
        self._units[unit.where] += 1
        faults: Sequence[Fault] = look_at(self._parts, unit, self._look)
        if faults and self._repair:
            mended: Mended = mend(
                self._parts, unit, faults, self._look, unreachable=self._unreachable
            )
            faults = mended.faults
            self._lost.update(mended.lost)
            self._emptied = self._emptied or mended.emptied
        self._faults += faults
        left = [fault for fault in faults if fault.outcome not in ("repaired", "gone")]
        keep_findings(self._parts, unit, left, deep=self._look.deep, by=self._by)

    def collect_emptied(self) -> None:
        """Free what was given up: as long as it is there, every check finds it damaged."""
        if self._emptied:
            self._parts.journal.seal()  # what lives is there now, and what died shares its segment
            self._parts.flush()
            self._parts.collector.collect(self._parts.heat)

    def report(self, *, complete: bool, resumed: bool) -> ScrubReport:
        """All that was seen."""
        return ScrubReport(
            seconds=time.monotonic() - self._start_s,
            read_nbytes=self.read_nbytes,
            segments=self._units["log"],
            stripes=self._units["stripe"],
            complete=complete,
            resumed=resumed,
            faults=tuple(self._faults),
            lost_keys=tuple(sorted(self._lost)),
            deep=self._look.deep,
            looked=self.looked,
            looked_facts=None if self.looked is None else self.looked.to_json(self._parts),
            away=self.away,
        )


@attrs.frozen(kw_only=True)
class _Cursor:
    """How far a pass has come.

    `bad` are units that passes of earlier versions have left damaged: the findings have them now.
    """

    at: CheckUnit | None = None
    bad: tuple[CheckUnit, ...] = ()

    @classmethod
    def load(cls, parts: Parts) -> _Cursor:
        """As the index has it; at the beginning if it has none, or one that can't be read."""
        try:
            found = json.loads(parts.state.index.meta().get(CURSOR, "{}"))
            at = found.get("at")
            return cls(at=None if at is None else _unit(at), bad=tuple(map(_unit, found["bad"])))
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def save(self, parts: Parts) -> None:
        """Into the index."""
        text = json.dumps({"at": self.at, "bad": self.bad}) if self.at or self.bad else None
        parts.state.commit(Batch(meta={CURSOR: text}))

    def rest(self, units: Sequence[CheckUnit], found: Sequence[CheckUnit]) -> list[CheckUnit]:
        """What is still to be looked at: first what was bad, then what comes after the cursor."""
        at = self.at
        if at is None:
            return list(units)
        known = set(units)
        bad = dict.fromkeys(unit for unit in (*self.bad, *found) if unit in known)
        return [*bad, *(unit for unit in units if unit > at and unit not in bad)]

    def after(self, unit: CheckUnit) -> _Cursor:
        """The cursor once this unit was looked at."""
        seen = self.seen(unit)
        return seen if self.at is not None and unit < self.at else attrs.evolve(seen, at=unit)

    def seen(self, unit: CheckUnit) -> _Cursor:
        """The same place, without what an earlier version knew of this unit."""
        return attrs.evolve(self, bad=tuple(each for each in self.bad if each != unit))


def _unit(found: Sequence[Any]) -> CheckUnit:
    where, number = found
    return CheckUnit(where, int(number))
