"""Keeps the faults of a unit among the findings, and takes off what turned out to be healed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from deepseek_store.check.faults import CheckUnit, Fault
from deepseek_store.home.findings import By, KeptFinding, What
from deepseek_store.parts import Parts

# What only reading all bytes can tell: a look at heads and ends does not take it off.
_DEEP: Final = frozenset({"corrupt-payload", "corrupt-segment", "damaged"})


def keep_findings(
    parts: Parts, unit: CheckUnit, left: Iterable[Fault], *, deep: bool, by: By
) -> None:
    """Note the faults that are left of a unit, and that nothing else is wrong with it any more."""
    faults = list(left)
    what: What = "segment" if unit.where == "log" else "stripe"
    still = {(fault.index, fault.place) for fault in faults}

    def healed(each: KeptFinding) -> bool:
        same = (each.what, each.number) == (what, unit.number)
        seen = deep or each.kind not in _DEEP
        return same and seen and (each.index, each.place) not in still

    parts.findings.heal(healed)
    for fault in faults:
        if fault.kind == "unreachable" and what == "stripe":
            continue  # its domain is away, which is found by itself
        parts.findings.note(
            what,
            unit.number,
            fault.kind,
            fault.place,
            index=fault.index,
            detail=fault.detail,
            by=by,
            lost=fault.outcome == "lost",
        )
