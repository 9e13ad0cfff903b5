"""One pass over segments and stripes: looks at each, repairs it if it is to, keeps the account."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from deepseek_store.check.check_units import LogFiles, Look, look_at
from deepseek_store.check.faults import CheckUnit, Fault
from deepseek_store.check.found_faults import keep_findings
from deepseek_store.check.inventory import Inventory
from deepseek_store.check.mend import Mended, mend
from deepseek_store.check.presence import Presence
from deepseek_store.check.rate_limit import RateLimit
from deepseek_store.check.scrub_report import ScrubReport
from deepseek_store.errors import ReadOnlyStore
from deepseek_store.home.findings import By
from deepseek_store.parts import Parts
from deepseek_store.stripes.layout import Place

Progress = Callable[[int, int, str], None]


class CheckRound:
    """Looks at units, repairs them if it is to, and keeps the account."""

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
        self.looked: Inventory | None = None  # the first look of a repair
        self.away: dict[str, str] = {}  # place -> why it can't be reached
        self._limit = RateLimit(bytes_per_s)
        self._look = Look(deep=deep, throttle=self._limit, files=LogFiles(parts.disk.replicas()))
        self._start_s = time.monotonic()
        self._units: Counter[str] = Counter()  # units looked at: segments (`log`) and stripes
        self._faults: list[Fault] = []  # all that were met, repaired ones too
        self._lost: set[str] = set()  # keys of objects of which something is lost
        self._emptied = False  # whether a segment or a stripe was given up, and can be freed

    @property
    def read_nbytes(self) -> int:
        """What was read so far."""
        return self._limit.nbytes

    def look(self, unit: CheckUnit) -> None:
        """Look at a unit, fix it if that is wanted, and keep what is still wrong with it."""
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


def check_writable(parts: Parts, what: str = "a repair") -> None:
    """Make sure that the store can be repaired, or what else it is asked for.

    Raises:
        ReadOnlyStore: it is open for reading only.
    """
    if parts.state.index.read_only:
        look = "; a scrub, or a repair with dry_run (--dry-run), only looks"
        raise ReadOnlyStore(
            f"{parts.home} is open for reading only, and {what} writes",
            url=f"ds:{parts.home}",
            remedy=f"open it for writing{look if what == 'a repair' else ''}",
        )


def units_with_findings(parts: Parts) -> Iterator[CheckUnit]:
    """Units of which any process has found something that is not healed yet."""
    for each in parts.findings.all():
        if each.what == "segment":
            yield CheckUnit("log", each.number)
        elif each.what == "stripe":
            yield CheckUnit("stripe", each.number)


def away(parts: Parts, found: Presence) -> dict[str, str]:
    """What is not there, by the name that people know."""
    url = parts.tiers.url_of
    tiers = {url(Place(tier=number)): why for number, why in found.tiers.items() if why}
    domains = {url(p): why for p, why in found.away.items() if not found.tiers.get(p.tier)}
    return {**tiers, **domains, **{name: why for name, why in found.copies.items() if why}}
