"""Faults that a check finds in a store, and the units that it looks at."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import attrs

from deepseek_store.stripes.identity import FragmentFault

Kind = Literal[
    "missing", "truncated", "corrupt-header", "corrupt-payload", "swapped", "unreachable",
    "corrupt-segment", "damaged",
]  # fmt: skip
"""corrupt-segment: a fragment as it was written, of a segment that had rotted before that."""
Outcome = Literal["found", "repaired", "lost", "waiting", "gone"]
"""gone: it was collected meanwhile. waiting: what it takes can't be reached now."""


class CheckUnit(NamedTuple):
    """What is looked at as a whole: a segment of the log, or a stripe, by its number."""

    where: Literal["log", "stripe"]
    number: int

    def __str__(self) -> str:
        return f"{'segment' if self.where == 'log' else 'stripe'} {self.number:x}"


@attrs.frozen(kw_only=True)
class Fault:
    """One thing that is wrong: with a file of the log, or with a fragment (`index`) of a stripe.

    `place` is a folder or a tier's URL, with its failure domain; `detail` is for people;
    `generation` is that of the stripe that was looked at.
    """

    unit: CheckUnit
    index: int | None = None
    kind: Kind
    place: str
    detail: str = ""
    generation: int = 0
    outcome: Outcome = "found"

    @property
    def fragment(self) -> FragmentFault:
        """The same as stripes know it."""
        assert self.index is not None
        assert self.kind != "damaged"
        return FragmentFault(index=self.index, kind=self.kind, detail=self.detail)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "where": self.unit.where,
            "number": self.unit.number,
            "index": self.index,
            "kind": self.kind,
            "place": self.place,
            "detail": self.detail,
            "outcome": self.outcome,
        }

    def __str__(self) -> str:
        what = f"fragment {self.index} of {self.unit}" if self.index is not None else str(self.unit)
        detail = f" ({self.detail})" if self.detail else ""
        return f"{what} on {self.place} is {self.kind}{detail}: {self.outcome}"
