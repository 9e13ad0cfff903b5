"""When a realtime task would finish, device by device: the ground of admission.

Admission by quantile of the finish: Clockwork (Gujarati et al., OSDI 2020); the finish counts
the work of earlier deadlines only, as EDF will run it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from deepseek_core.schedule.online.duequeue import Key
from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.state import Job, Unit

_LOOK: Final = 8  # tasks of other operators that a batch passes over
_LONGER: Final = 2.0


class Choice:
    """The best device for a task, and the seconds by which the deadline is out of reach."""

    __slots__ = ("able", "late_s", "unit")

    def __init__(self) -> None:
        self.unit: Unit | None = None
        self.late_s = math.inf
        self.able = False  # a device runs the operator, and would be in time if it were idle


def choose(
    units: Iterable[Unit], job: Job, key: Key, now_s: float, *, rules: Rules, stretch: float = 1.0
) -> Choice:
    """The device of least finish plus thrift among those that meet the deadline.

    `stretch` lengthens the backlog by what offline work takes of the devices meanwhile.
    """
    choice = Choice()
    z = rules.admission_z if rules.admission_z is not None else 0.0
    strict = rules.admission_z is not None and job.deadline_s < math.inf
    best = math.inf
    for unit in units:
        cost = unit.costs.get(job.operator)
        if cost is None or job.items > cost.most_items:
            continue
        mean = cost.mean_s(job.items)
        var = mean * mean * cost.cv2
        wait, wait_var = unit.wait(now_s)
        queued, queued_var = unit.queue.before(key)
        finish = now_s + wait + queued * stretch / unit.slots + mean
        if strict:
            late = finish + z * math.sqrt(var + wait_var + queued_var) - job.deadline_s
            choice.able = choice.able or now_s + mean + z * math.sqrt(var) <= job.deadline_s
            choice.late_s = min(choice.late_s, late)
            if late > 0:
                continue
            margin_s = z * math.sqrt(var + wait_var)
            if unit.queue.harmed(key, finish + margin_s, mean, unit.slots):
                continue
        score = finish + rules.thrift * mean
        if score < best:
            best, choice.unit = score, unit
    return choice


def best_to_steal(thief: Unit, units: Iterable[Unit], now_s: float) -> Unit | None:
    """The device whose last queued task would gain most from running on the thief now."""
    best, most = None, 0.0
    for unit in units:
        if unit is thief or not unit.queue:
            continue
        job = unit.queue.last
        cost = thief.costs.get(job.operator)
        if cost is None or job.items > cost.most_items:
            continue
        gain = unit.wait(now_s)[0] + unit.queue.mean_s / unit.slots - cost.mean_s(job.items)
        if gain > most:
            best, most = unit, gain
    return best


def batch_with(unit: Unit, head: Job, now_s: float, rules: Rules) -> list[Job]:
    """The queued tasks of the same operator that may run with a task while all deadlines hold.

    Those that are passed over must keep their deadlines too. A run without a deadline takes a
    chunk, or twice what its first task would take alone: who comes next does not wait for more.
    """
    cost, items, z = unit.costs[head.operator], head.items, rules.batch_z or 0.0
    longest_s = max(rules.chunk_s, _LONGER * cost.quantile_s(items, z))
    limit_s = head.deadline_s if head.deadline_s < math.inf else now_s + longest_s
    joined: list[Job] = []
    passed: list[Job] = []
    for job in unit.queue:
        if job.operator != head.operator or job.alone:
            passed.append(job)
            if len(passed) == _LOOK:
                break
            continue
        items += job.items
        end_s = now_s + cost.quantile_s(items, z)
        if items > cost.most_items or end_s > min(limit_s, job.deadline_s):
            break
        if any(end_s + p.mean_s + z * math.sqrt(p.var) > p.deadline_s for p in passed):
            break
        joined.append(job)
    return joined
