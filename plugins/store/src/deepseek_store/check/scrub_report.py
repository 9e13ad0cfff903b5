"""What a scrub or a repair has read, found and put right, as values and as sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from deepseek_store.check.faults import Fault
from deepseek_store.check.inventory import Inventory
from deepseek_store.planning.amounts import counted


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
        looked = (
            f"{counted(self.segments, 'segment')} of the log and {counted(self.stripes, 'stripe')}"
        )
        read = f"{self.read_nbytes:,} bytes in {self.seconds:.1f} s{part}"
        if self.looked is None:
            lines = [f"Read {looked}: {read}."]
        else:
            lines = [*self.looked.sentences()]
            if self.segments or self.stripes:
                lines.append(f"Checked what was suspect: {looked}. Read in all: {read}.")
        away = [f"Away: {place}: {why}." for place, why in sorted(self.away.items())]
        if not self.faults:
            return (*lines, *away, self._verdict)
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.by_kind.items())
        lines.append(f"{counted(len(self.faults), 'fault')} ({kinds}), repaired: {self.repaired}.")
        lines += [*away, *(f"{fault}." for fault in self.left)]
        if self.lost_keys:
            lost = counted(len(self.lost_keys), "object")
            lines.append(f"Lost: {lost}: {', '.join(self.lost_keys)}.")
        return tuple(lines)

    @property
    def _verdict(self) -> str:
        """What may be said where no fault was met: no more than was looked at."""
        if self.away:
            return "No fault was met in what is there."
        whole = self.looked.whole if self.looked is not None else self.deep and self.complete
        return "Nothing is wrong." if whole else "No fault was met in what was looked at."
