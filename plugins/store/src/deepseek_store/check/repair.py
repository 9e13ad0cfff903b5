"""Repairs what a first look, a report, or anybody who read the store has found damaged."""

from __future__ import annotations

from deepseek_store.check.check_round import (
    CheckRound,
    Progress,
    away,
    check_writable,
    units_with_findings,
)
from deepseek_store.check.faults import CheckUnit
from deepseek_store.check.inventory import SAMPLE_NBYTES, take_inventory
from deepseek_store.check.mend import revive_mirrors
from deepseek_store.check.scrub_cursor import ScrubCursor
from deepseek_store.check.scrub_report import ScrubReport
from deepseek_store.parts import Parts


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
    round_ = CheckRound(parts, repair=not dry_run, unreachable=unreachable, by="repair")
    if not dry_run:
        check_writable(parts)
        revive_mirrors(parts)
    cursor = ScrubCursor.load(parts)
    if report is not None:
        units = [fault.unit for fault in report.left]
    else:
        units = [*cursor.bad, *_suspected(parts), *units_with_findings(parts)]
        if look:
            round_.looked = take_inventory(parts, sample_nbytes=sample_nbytes)
            round_.away = away(parts, round_.looked.presence)
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
    found = round_.report(complete=True, resumed=False)
    if not dry_run:
        parts.events.checked("repair", found)
    return found


def known_damage(parts: Parts) -> tuple[CheckUnit, ...]:
    """Segments and stripes of which something was found that is not healed."""
    return tuple(dict.fromkeys([*ScrubCursor.load(parts).bad, *units_with_findings(parts)]))


def _suspected(parts: Parts) -> list[CheckUnit]:
    units = []
    for number in parts.suspects.take():
        row = parts.state.segments.get(number)
        if row is not None and row.local:
            units.append(CheckUnit("log", number))
        if row is not None and row.stripe is not None:
            units.append(CheckUnit("stripe", row.stripe))
    return units
