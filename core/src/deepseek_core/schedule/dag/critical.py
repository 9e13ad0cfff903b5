"""Critical chains: why a schedule is as long as it is."""

from __future__ import annotations

from random import Random

from deepseek_core.schedule.dag.compiled import Compiled
from deepseek_core.schedule.dag.listpass import Timetable

_NO_SLACK = 1e-9  # relative to the makespan


def critical_chain(graph: Compiled, timetable: Timetable, rng: Random) -> list[int]:
    """Tasks without slack between them, from a last end back to a beginning.

    Each waits for the next one's result (with its transfer) or for its device. Where several
    reasons hold, one is drawn.
    """
    end = timetable.end
    tolerance = _NO_SLACK * timetable.makespan
    previous = _device_predecessors(timetable)
    last = [t for t in range(graph.size) if end[t] >= timetable.makespan - tolerance]
    task = rng.choice(last)
    chain, seen = [task], {task}
    while True:
        at = timetable.start[task] - tolerance
        reasons = [
            p
            for p, nbytes in graph.before[task]
            if _arrival(graph, timetable, p, task, nbytes) >= at
        ]
        if previous[task] >= 0 and end[previous[task]] >= at:
            reasons.append(previous[task])
        reasons = [p for p in reasons if p not in seen]
        if not reasons:
            return chain
        task = rng.choice(reasons)
        seen.add(task)
        chain.append(task)


def _arrival(graph: Compiled, timetable: Timetable, p: int, task: int, nbytes: float) -> float:
    a = graph.node_of[timetable.device[p]]
    b = graph.node_of[timetable.device[task]]
    return timetable.end[p] + (graph.latency[a][b] + nbytes * graph.inverse[a][b])


def _device_predecessors(timetable: Timetable) -> list[int]:
    """The task that ran just before on the same device, or -1."""
    start, end, device = timetable.start, timetable.end, timetable.device
    previous = [-1] * len(start)
    latest: dict[int, int] = {}
    for task in sorted(range(len(start)), key=lambda t: (start[t], end[t])):
        previous[task] = latest.get(device[task], -1)
        latest[device[task]] = task
    return previous
