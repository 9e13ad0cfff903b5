"""When a realtime task would finish, device by device: the ground of admission.

Admission by quantile of the finish: Clockwork (Gujarati et al., OSDI 2020); the finish counts
the work of earlier deadlines only, as EDF will run it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.state import Job, Unit


class Choice:
    """The best device for a task, and the seconds by which the deadline is out of reach."""

    __slots__ = ("able", "late_s", "unit")

    def __init__(self) -> None:
        self.unit: Unit | None = None
        self.late_s = math.inf
        self.able = False  # a device runs the operator, and would be in time if it were idle


def choose(
    units: Iterable[Unit], job: Job, key: float, now_s: float, *, rules: Rules, stretch: float = 1.0
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
        queued, queued_var = unit.before(key)
        finish = now_s + wait + queued * stretch / unit.slots + mean
        if strict:
            late = finish + z * math.sqrt(var + wait_var + queued_var) - job.deadline_s
            choice.able = choice.able or now_s + mean + z * math.sqrt(var) <= job.deadline_s
            choice.late_s = min(choice.late_s, late)
            if late > 0:
                continue
            if key < unit.last_key and _harms(unit, key, finish, mean, z * z * (var + wait_var)):
                continue
        score = finish + rules.thrift * mean
        if score < best:
            best, choice.unit = score, unit
    return choice


def _harms(unit: Unit, key: float, end_s: float, mean: float, spread: float) -> bool:
    """Whether work promised before would miss its deadline behind a task that ends at `end_s`.

    `mean` is what the task adds; `spread` the square of the margin for chance up to its end.
    """
    for _, _, job in unit.after(key):
        end_s += job.mean_s / unit.slots
        late_s = end_s + math.sqrt(spread) - job.deadline_s
        if late_s > 0 >= late_s - mean:
            return True
    return False


def best_to_steal(thief: Unit, units: Iterable[Unit], now_s: float) -> Unit | None:
    """The device whose last queued task would gain most from running on the thief now."""
    best, most = None, 0.0
    for unit in units:
        if unit is thief or not unit.queue:
            continue
        job = unit.queue[-1][2]
        cost = thief.costs.get(job.operator)
        if cost is None or job.items > cost.most_items:
            continue
        gain = unit.wait(now_s)[0] + unit.mean_s / unit.slots - cost.mean_s(job.items)
        if gain > most:
            best, most = unit, gain
    return best


def batch_with(unit: Unit, jobs: list[Job], now_s: float, z: float, *, look: int = 16) -> list[Job]:
    """Take tasks of the same operator out of the queue while all deadlines hold with them.

    `jobs` is the batch so far; the tasks passed over must keep their deadlines too.
    """
    head = jobs[0]
    cost = unit.costs[head.operator]
    items = head.items
    passed: list[Job] = []
    index = 0
    while index < len(unit.queue) and index + len(passed) < look:
        job = unit.queue[index][2]
        more = items + job.items
        end_s = now_s + cost.quantile_s(more, z)
        if job.operator != head.operator or job.alone:
            passed.append(job)
            index += 1
            continue
        if more > cost.most_items or end_s > min(head.deadline_s, job.deadline_s):
            break
        if any(end_s + p.mean_s + z * math.sqrt(p.var) > p.deadline_s for p in passed):
            break
        jobs.append(unit.pop(index))
        items = more
    return jobs
