"""Findings of a device, each with the time that its removal could win at most.

That time is a counterfactual on the device's own time line: what it would be busy less if the works
in question were gone, or how much shorter its gaps would be. Nothing else is moved, so it is an
upper bound: what a remedy gives is less.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Final

import attrs
import numpy as np

from deepseek_core import console
from deepseek_observe.profile.breakdown import Shares, Window, breakdown
from deepseek_observe.profile.idle import Cause, Idle, idle, idle_of_plan
from deepseek_observe.profile.kernels import Moved, copies, exchanges, inside, way_of
from deepseek_observe.profile.preparing import is_plan
from deepseek_observe.timeline.classes import WORK, Class
from deepseek_observe.timeline.intervals import clipped, covered_within, union
from deepseek_observe.timeline.nesting import innermost, nest
from deepseek_observe.timeline.record import Column, Timeline, distinct

LEAST: Final = 0.005
"""Of the window; less is no finding."""
_SHORT_NS: Final = 20_000  # a kernel that takes no longer than two launches
_MOST: Final = 0.5  # of a cause: the range that has so much of it is named with it
_NAMES: Final = 3  # ranges that are named


class Confidence(enum.Enum):
    """How sure a finding is of its cause; its time is measured in each case."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


@attrs.frozen(kw_only=True)
class Finding:
    """What costs a device time; `recoverable_ns` is an upper bound of what its removal gives."""

    kind: str
    title: str
    device: int
    recoverable_ns: int
    share: float
    evidence: tuple[str, ...]
    remedy: str
    confidence: Confidence


_OF_IDLE: Final = {
    Cause.LOADER: (
        "data_loader", "the device waits for data",
        "read ahead: num_workers=4 or more, pin_memory=True, prefetch_factor=4; see what reading "
        "a sample takes",
    ),
    Cause.SYNC: (
        "synchronization", "the host waits for the device before it queues more",
        "leave .item(), .cpu(), print of a tensor and torch.cuda.synchronize() out of the step; "
        "torch.cuda.set_sync_debug_mode('warn') names the lines",
    ),
    Cause.COPY: (
        "blocking_copy", "the host is in a copy that blocks",
        "copy from pinned memory: pin_memory=True and tensor.to(device, non_blocking=True)",
    ),
    Cause.HOST: (
        "host_bound", "the device waits for the host to launch its next work",
        "make the host's part of a step shorter: torch.compile, CUDA graphs, fused optimizers, a "
        "larger batch; look at the ranges that are named here",
    ),
    Cause.LAUNCH: (
        "launch_bound", "the time goes into launches of short works",
        "launch less: torch.compile, CUDA graphs, fused kernels, a larger batch",
    ),
    Cause.DEPENDENCY: (
        "dependency", "work is queued and waits for an event of another stream",
        "see what that stream did: begin its part sooner, or do without the event",
    ),
    Cause.QUEUE: (
        "queue", "work is queued, and something that the trace does not show holds it",
        "record the waits of streams too (experimental_config with enable_cuda_sync_events=True, "
        "or nsys with --trace=cuda,nvtx,osrt)",
    ),
    Cause.UNKNOWN: (
        "unknown", "idle, and the launch of the next work is not in the trace",
        "begin the trace a step before the one that is looked at",
    ),
}  # fmt: skip
_OF_CPU: Final = {
    **_OF_IDLE,
    Cause.LOADER: (
        "data_loader", "nothing is computed while data are read",
        "read ahead in processes: num_workers=1 or more; see what reading a sample takes",
    ),
    Cause.HOST: (
        "host_bound", "nothing is computed: the time goes into Python between operations",
        "look at the ranges that are named here; mark more with torch.profiler.record_function",
    ),
}  # fmt: skip
_SURE: Final = {
    Cause.LOADER: Confidence.HIGH, Cause.SYNC: Confidence.HIGH, Cause.COPY: Confidence.MEDIUM,
    Cause.HOST: Confidence.HIGH, Cause.LAUNCH: Confidence.HIGH,
    Cause.DEPENDENCY: Confidence.MEDIUM, Cause.QUEUE: Confidence.LOW,
    Cause.UNKNOWN: Confidence.LOW,
}  # fmt: skip


@attrs.frozen(kw_only=True, eq=False)
class Measured:
    """A device in a window: its shares, its gaps, what it copied and what it exchanged."""

    device: int
    window: Window
    shares: Shares
    gaps: Idle
    copies: tuple[Moved, ...]
    exchanges: tuple[Moved, ...]


def measure(timeline: Timeline, device: int, window: Window) -> Measured:
    """All that findings are made of."""
    return Measured(
        device=device,
        window=window,
        shares=breakdown(timeline, device, window),
        gaps=(idle_of_plan if is_plan(timeline) else idle)(timeline, device, window),
        copies=copies(timeline, device, window),
        exchanges=exchanges(timeline, device, window),
    )


def find(timeline: Timeline, of: Measured) -> tuple[Finding, ...]:
    """All findings of a device in a window, what could win the most first."""
    device, window = of.device, of.window
    found = [
        *_of_exchanges(timeline, of),
        *_of_copies(timeline, device, window, of.copies),
        *_of_gaps(timeline, device, window, of.gaps),
    ]
    kept = [one for one in found if one.recoverable_ns >= LEAST * window.span_ns]
    return tuple(sorted(kept, key=lambda one: -one.recoverable_ns))


def recoverable(timeline: Timeline, device: int, window: Window, without: Column) -> int:
    """Nanoseconds that a device would be busy less in a window without these rows."""
    rows = timeline.where(*WORK, device=device)
    left = np.setdiff1d(rows, without, assume_unique=True)
    both = [
        clipped(union(timeline.starts[some], timeline.ends[some]), window.begin_ns, window.end_ns)
        for some in (rows, left)
    ]
    return both[0].total - both[1].total


def _of_exchanges(timeline: Timeline, of: Measured) -> Iterator[Finding]:
    device, window, shares = of.device, of.window, of.shares
    rows = timeline.where(Class.COMMUNICATION, device=device)
    if not len(rows):
        return
    lost = recoverable(timeline, device, window, rows)
    streams = set(timeline.streams[rows].tolist())
    computing = timeline.streams[timeline.where(Class.COMPUTE, device=device)]
    told = (
        f"{milliseconds(shares.communication_ns)} of exchanges, {shares.overlap or 0:.0%} of it "
        "beside computing",
        *(_of_moved(one) for one in of.exchanges[:_NAMES] if one.nbytes is not None),
    )
    if len(computing) and set(computing.tolist()) == streams and len(streams) == 1:
        yield Finding(
            kind="one_stream",
            title="exchanges and computing share one stream, so that none can hide the other",
            device=device, recoverable_ns=lost, share=lost / window.span_ns,
            evidence=(*told, f"both on stream {streams.pop()} alone"),
            remedy="let exchanges have their own stream: async_op=True and a wait where the result "
            "is used, or DistributedDataParallel and FSDP, which do so",
            confidence=Confidence.HIGH,
        )  # fmt: skip
        return
    yield Finding(
        kind="exposed_communication",
        title="exchanges go on while nothing is computed",
        device=device, recoverable_ns=lost, share=lost / window.span_ns, evidence=told,
        remedy="let them begin sooner and beside computing (larger or smaller gradient buckets, "
        "prefetch of FSDP), send less (bf16 gradients, compression), or do more between them "
        "(accumulation); part of it may be the wait for a slower rank",
        confidence=Confidence.MEDIUM,
    )  # fmt: skip


def _of_copies(
    timeline: Timeline, device: int, window: Window, copies: Sequence[Moved]
) -> Iterator[Finding]:
    rows = timeline.where(Class.COPY, Class.FILL, device=device)
    ways = np.array([way_of(text) for text in timeline.texts])
    for one in copies:
        mine = rows[ways[timeline.names[rows]] == one.way]
        lost = recoverable(timeline, device, window, mine)
        yield Finding(
            kind="exposed_copy", title=f"copies {one.way} go on while nothing is computed",
            device=device, recoverable_ns=lost, share=lost / window.span_ns,
            evidence=(_of_moved(one),), remedy=_remedy_of(one), confidence=Confidence.HIGH,
        )  # fmt: skip


def _of_moved(one: Moved) -> str:
    told = f"{one.count:,} of {one.way}: {milliseconds(one.total_ns)}"
    if one.nbytes is None or one.bytes_per_s is None:
        return told
    return f"{told}, {console.format_bytes(one.nbytes)} at {one.bytes_per_s / 1e9:.3g} GB/s"


def _remedy_of(one: Moved) -> str:
    if one.way.startswith(("HtoD", "DtoH")):
        pinned = "" if "Pinned" in one.way else "pin the memory (pin_memory=True), "
        return (
            f"{pinned}copy beside computing (non_blocking=True on a stream of its own), move less "
            "over the bus between host and device, or keep on the device what is used again"
        )
    return "see why memory is copied within the device: contiguous(), clone(), padding, cat"


def _of_gaps(timeline: Timeline, device: int, window: Window, gaps: Idle) -> Iterator[Finding]:
    for cause, total in gaps.totals.items():
        kind, title, remedy = (_OF_CPU if timeline.facts.get("is_cpu") else _OF_IDLE)[cause]
        evidence = [f"{int((gaps.by_cause[cause] > 0).sum()):,} gaps, {milliseconds(total)} in all"]
        if cause in (Cause.HOST, Cause.SYNC, Cause.LOADER):
            ranges = _longest_ranges(timeline, gaps, gaps.by_cause[cause])
            evidence += [f"{milliseconds(spent)} in {name!r}" for name, spent in ranges]
            if ranges and ranges[0][1] >= _MOST * total and cause is not Cause.LOADER:
                title += f", most of it in {ranges[0][0]!r}"
        if cause in (Cause.LAUNCH, Cause.HOST):
            evidence += _of_short(timeline, device, window)
        yield Finding(
            kind=kind, title=title, device=device, recoverable_ns=total,
            share=total / window.span_ns, evidence=tuple(evidence), remedy=remedy,
            confidence=_SURE[cause],
        )  # fmt: skip


def _of_short(timeline: Timeline, device: int, window: Window) -> list[str]:
    rows = inside(timeline, timeline.where(Class.COMPUTE, device=device), window)
    if not len(rows):
        return []
    short = float((timeline.durations[rows] <= _SHORT_NS).mean())
    median = float(np.median(timeline.durations[rows]))
    what = "operations" if timeline.facts.get("is_cpu") else "kernels"
    return [f"{len(rows):,} {what}, the median {median / 1e3:.3g} us; {short:.0%} up to 20 us"]


def _longest_ranges(timeline: Timeline, gaps: Idle, lengths: Column) -> list[tuple[str, int]]:
    """What the launching threads were in for so long after gaps had begun, the most first."""
    totals = within_ranges(timeline, gaps, lengths)
    order = np.argsort(-totals, kind="stable")[:_NAMES].tolist()
    return [(timeline.texts[n], int(totals[n])) for n in order if totals[n] > 0]


def within_ranges(timeline: Timeline, gaps: Idle, lengths: Column) -> Column:
    """Nanoseconds of the first `lengths` of gaps in each range's own part, by its name [texts]."""
    totals = np.zeros(len(timeline.texts), np.int64)
    ranges = timeline.where(Class.RANGE)
    calls = np.where(gaps.rows >= 0, timeline.launches[gaps.rows], -1)
    threads = np.where((calls >= 0) & (lengths > 0), timeline.streams[calls], -1)
    for thread in distinct(threads[threads >= 0]).tolist():
        mine = ranges[timeline.streams[ranges] == thread]
        if not len(mine):
            continue
        some = threads == thread
        waits = union(gaps.starts[some], gaps.starts[some] + lengths[some])
        # Between two of these moments the innermost range is one.
        times = distinct(np.concatenate([timeline.starts[mine], timeline.ends[mine], waits.starts]))
        own = np.full(len(times), thread, np.int64)
        nested = nest(timeline.starts[mine], timeline.ends[mine], timeline.streams[mine])
        found = innermost(nested, times, own)
        spent = covered_within(waits, times, np.append(times[1:], waits.ends[-1]))
        named = (found >= 0) & (spent > 0)
        np.add.at(totals, timeline.names[mine[found[named]]], spent[named])
    return totals


def milliseconds(nanoseconds: int) -> str:
    """Write a duration as a person reads it."""
    return f"{nanoseconds / 1e6:,.4g} ms"


def verdict(shares: Sequence[Shares]) -> str:
    """What most of their time is: "compute", "communication", "copy" or "idle"."""
    totals = {
        "compute": sum(one.compute_ns for one in shares),
        "communication": sum(one.exposed_communication_ns for one in shares),
        "copy": sum(one.exposed_copy_ns for one in shares),
        "idle": sum(one.idle_ns for one in shares),
    }
    return max(totals, key=lambda name: totals[name])
