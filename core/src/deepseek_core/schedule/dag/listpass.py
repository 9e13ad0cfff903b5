"""One list pass: tasks in a given order, each to the device where it ends first.

A device keeps its free intervals (gaps), so a task may go before others that were placed
earlier (insertion). This is the loop that everything else here calls: it is one long function
because a call for each task and device takes as long as the work.
"""

# ruff: noqa: PLR1730 - in loops this hot a call of max() costs as much as the rest

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

import attrs

from deepseek_core.schedule.dag.compiled import INF, Compiled

_MOST_GAPS: Final = 512  # of a device; the oldest are given up, so that a pass stays linear


@attrs.frozen(kw_only=True, eq=False)
class Timetable:
    """Device, start and end of each task, by position, and the end of the last one.

    Where a pass broke off the makespan is infinite; `share` is the part of the tasks that it
    had placed by then.
    """

    device: list[int]
    start: list[float]
    end: list[float]
    makespan: float
    share: float = 1.0

    @property
    def whole(self) -> bool:
        """Whether every task has its place."""
        return self.makespan < INF


def list_pass(  # noqa: PLR0912, PLR0915 - see above
    graph: Compiled,
    order: Sequence[int],
    *,
    fixed: Sequence[int] | None = None,
    bias: Sequence[Sequence[float]] | None = None,
    tail: Sequence[float] | None = None,
    limit: float = INF,
) -> Timetable:
    """Place the tasks of a topological `order`; equal input, equal output.

    `fixed[task]` is a device, or -1 for a free choice. `bias[task][class]` is added to the end
    where devices are compared (PEFT's look ahead). The pass breaks off if memory leaves a task
    no device, or once a task's end and the `tail` that must follow it pass `limit`.

    Legend: d device; a, b memory nodes, from b to a; p predecessor; w the task's seconds there; t
    when an input arrives (x, y: which of two does so later); `ready` when all are there; `at` the
    start in a gap, one of the device's free intervals [`starts`, `ends`]; -1 none, INF never.
    """
    cost, before, classes, class_of = graph.cost, graph.before, graph.classes, graph.class_of
    latency, inverse, nodes, twins = graph.latency, graph.inverse, graph.nodes, graph.twins
    node_of = graph.node_of
    size, devices = graph.size, len(class_of)
    device = [-1] * size
    start, end = [0.0] * size, [0.0] * size
    gap_starts = [[0.0] for _ in range(devices)]
    gap_ends = [[INF] for _ in range(devices)]
    limited, bundle, pool_of = graph.limited, graph.bundle, graph.pool_of
    room = list(graph.capacity)
    home = [-1] * len(graph.bundles)
    choice = [(number, one.mem, one.devices, twins[number]) for number, one in enumerate(classes)]
    touched = [False] * len(classes)
    last_end = 0.0
    own, need = -1, (0.0,) * len(classes)
    nothing = need
    for task in order:
        arcs = before[task]
        costs = cost[task]
        d = fixed[task] if fixed is not None else -1
        if limited:
            own, need = bundle[task], graph.needs[task]
            if own >= 0:
                need = graph.together[own]
                if home[own] >= 0:
                    d, need = home[own], nothing
        if d >= 0:
            a = node_of[d]
            ready = 0.0
            for p, nbytes in arcs:
                b = node_of[device[p]]
                t = end[p] if a == b else end[p] + (latency[b][a] + nbytes * inverse[b][a])
                if t > ready:
                    ready = t
            w = costs[class_of[d]]
            if w == INF or (limited and need[class_of[d]] > room[pool_of[d]]):
                break
            starts, ends = gap_starts[d], gap_ends[d]
            if ready >= starts[-1]:
                at, gap = ready, len(starts) - 1
            elif w > 0.0:
                gap = bisect_right(ends, ready)
                while True:
                    at = starts[gap]
                    if at < ready:
                        at = ready
                    if ends[gap] - at >= w:
                        break
                    gap += 1
            else:
                gap = bisect_left(ends, ready)
                at = starts[gap]
                if at <= ready:
                    at = ready
                elif any(end[p] == ready and device[p] == d for p, _ in arcs):
                    at, gap = ready, -1  # between two tasks that touch
            best_device, best_gap, best_start = d, gap, at
        else:
            if nodes == 1:
                ready = 0.0
                for p, _ in arcs:
                    if end[p] > ready:
                        ready = end[p]
                arrival = [ready]
            else:
                arrival = [0.0] * nodes
                for p, nbytes in arcs:
                    t = end[p]
                    a = node_of[device[p]]
                    arrival = [
                        x if x > (y := t + (delay + nbytes * rate)) else y
                        for x, delay, rate in zip(arrival, latency[a], inverse[a], strict=True)
                    ]
            # The first of a group chooses for all: it counts what the others will cost there.
            push = graph.whole[own] if own >= 0 else bias[task] if bias is not None else None
            best = INF
            best_device = best_gap = -1
            best_start = 0.0
            fresh = -1
            for number, mem, candidates, twin in choice:
                w = costs[number]
                ready = arrival[mem]
                extra = w if push is None else w + push[number]
                if ready + extra >= best or w == INF:
                    continue
                if not touched[number]:
                    if fresh == twin:
                        continue  # an untouched twin was looked at
                    fresh = twin
                for d in candidates:
                    if limited and need[number] > room[pool_of[d]]:
                        continue
                    starts = gap_starts[d]
                    if ready >= starts[-1]:
                        at, gap = ready, len(starts) - 1
                    else:
                        ends = gap_ends[d]
                        if w > 0.0:
                            gap = bisect_right(ends, ready)
                            while True:
                                at = starts[gap]
                                if at < ready:
                                    at = ready
                                if ends[gap] - at >= w:
                                    break
                                gap += 1
                        else:
                            gap = bisect_left(ends, ready)
                            at = starts[gap]
                            if at <= ready:
                                at = ready
                            elif any(end[p] == ready and device[p] == d for p, _ in arcs):
                                at, gap = ready, -1
                    value = at + extra
                    if value < best:
                        best, best_device, best_gap, best_start = value, d, gap, at
                        if at == ready:
                            break
            if best_device < 0:
                break
            w = costs[class_of[best_device]]
        best_end = best_start + w
        if tail is not None and best_end + tail[task] > limit:
            break
        device[task] = best_device
        start[task] = best_start
        end[task] = best_end
        if best_end > last_end:
            last_end = best_end
        touched[class_of[best_device]] = True
        if limited:
            room[pool_of[best_device]] -= need[class_of[best_device]]
            if own >= 0:
                home[own] = best_device
        if best_gap >= 0:
            starts, ends = gap_starts[best_device], gap_ends[best_device]
            if best_start > starts[best_gap]:
                if best_end < ends[best_gap]:
                    starts.insert(best_gap + 1, best_end)
                    ends.insert(best_gap, best_start)
                    if len(starts) > _MOST_GAPS:
                        del starts[0], ends[0]
                else:
                    ends[best_gap] = best_start
            elif best_end < ends[best_gap]:
                starts[best_gap] = best_end
            else:
                del starts[best_gap], ends[best_gap]
    else:
        return Timetable(device=device, start=start, end=end, makespan=last_end)
    share = 1 - device.count(-1) / size
    return Timetable(device=device, start=start, end=end, makespan=INF, share=share)
