"""Reads and verifies what is stored, a little at a time, and repairs what it finds.

A pass looks at every sealed segment of the log, on every disk that has it, and at every stripe.
"""

from __future__ import annotations

from deepseek_store.check.check_round import (
    CheckRound,
    Progress,
    away,
    check_writable,
    units_with_findings,
)
from deepseek_store.check.check_units import units_of
from deepseek_store.check.mend import revive_mirrors
from deepseek_store.check.presence import look_for_places
from deepseek_store.check.scrub_cursor import ScrubCursor
from deepseek_store.check.scrub_report import ScrubReport
from deepseek_store.parts import Parts


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
    round_ = CheckRound(parts, repair=repair, deep=deep, bytes_per_s=bytes_per_s)
    cursor = ScrubCursor.load(parts) if resume else ScrubCursor()
    if repair:
        check_writable(parts)
        revive_mirrors(parts)
    round_.away = away(parts, look_for_places(parts, by="scrub"))
    todo = cursor.rest(units_of(parts), list(units_with_findings(parts)))
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
        ScrubCursor(bad=cursor.bad).save(parts)
    if progress is not None and todo:
        progress(done, len(todo), "done")
    round_.collect_emptied()
    report = round_.report(complete=done == len(todo), resumed=len(todo) < len(units_of(parts)))
    parts.events.checked("scrub", report)
    return report
