"""Findings of a plan that ran: which stage kept all else waiting, and whether work was short.

Devices of a plan work at once, so a stage costs what it runs while no other stage does, on any
device: with it gone, all else could follow that much sooner. It is an upper bound, as elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from deepseek_observe.profile.breakdown import Window
from deepseek_observe.profile.findings import LEAST, Confidence, Finding, milliseconds
from deepseek_observe.timeline.classes import WORK
from deepseek_observe.timeline.intervals import Set, clipped, gaps, union
from deepseek_observe.timeline.record import Column, Timeline, distinct

_BUSY: Final = 0.9  # of the span: a device that is busy longer is what bounds the rest


def of_stages(timeline: Timeline, window: Window) -> tuple[Finding, ...]:
    """All findings of a plan in a window, what could win the most first."""
    rows = timeline.where(*WORK)
    found = [*_of_each(timeline, rows, window), *_of_no_work(timeline, rows, window)]
    kept = [one for one in found if one.recoverable_ns >= LEAST * window.span_ns]
    return tuple(sorted(kept, key=lambda one: -one.recoverable_ns))


def _of_each(timeline: Timeline, rows: Column, window: Window) -> Iterator[Finding]:
    whole = _busy(timeline, rows, window).total
    names = timeline.names[rows]
    for name in distinct(names).tolist():
        mine = rows[names == name]
        lost = whole - _busy(timeline, rows[names != name], window).total
        device = int(np.bincount(timeline.devices[mine]).argmax())
        busy = _busy(timeline, rows[timeline.devices[rows] == device], window).total
        where = timeline.facts["devices"][device]
        lengths = timeline.durations[mine]
        yield Finding(
            kind="stage",
            title=f"{timeline.texts[name]} runs on {where} while nothing else does",
            device=device,
            recoverable_ns=lost,
            share=lost / window.span_ns,
            evidence=(
                f"{len(mine):,} tasks of {timeline.texts[name]}, {milliseconds(int(lengths.sum()))}"
                f" in all, the median {milliseconds(int(np.median(lengths)))}",
                f"{where} was busy {busy / window.span_ns:.0%} of the time",
            ),
            remedy="compress that part (ds-sdk compress), let another device have it (ds-sdk plan "
            "names what each would take; --pin STAGE=DEVICE), or give it several batches at once"
            if busy >= _BUSY * window.span_ns
            else "let batches follow each other without a wait, so that devices work at once: more "
            "inputs in one run, or Plan.stream",
            confidence=Confidence.HIGH,
        )


def _of_no_work(timeline: Timeline, rows: Column, window: Window) -> Iterator[Finding]:
    none = gaps(_busy(timeline, rows, window), window.begin_ns, window.end_ns)
    longest = int((none.ends - none.starts).max(initial=0))
    yield Finding(
        kind="no_work",
        title="no device has anything to do",
        device=int(timeline.devices[rows[0]]),
        recoverable_ns=none.total,
        share=none.total / window.span_ns,
        evidence=(
            f"{len(none.starts):,} gaps of all devices, the longest {milliseconds(longest)}",
        ),
        remedy="see what prepares the inputs, and between two runs the caller's own code: read "
        "ahead, or submit before the last answer is there",
        confidence=Confidence.MEDIUM,
    )


def _busy(timeline: Timeline, rows: Column, window: Window) -> Set:
    return clipped(
        union(timeline.starts[rows], timeline.ends[rows]), window.begin_ns, window.end_ns
    )
