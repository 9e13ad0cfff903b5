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
from deepseek_core.schedule.online.state import Cost, Job, Unit

_LOOK: Final = 8  # tasks of other operators that a batch passes over
_LONGER: Final = 2.0


class Choice:
    """The best device for a task and its place there; the seconds that the deadline is missed by.

    `able`: a device runs the operator, and would be in time if it were idle.
    """

    def __init__(self, job: Job, now_s: float, rules: Rules, stretch: float) -> None:
        self.unit: Unit | None = None  # None: nobody can take it
        self.key: Key = (job.due_s, job.tag)
        self.late_s = math.inf  # least seconds past the deadline; below 0: in time
        self.able = False
        self._job, self._now_s, self._stretch = job, now_s, stretch
        # _z: `_z` of a normal distribution: how sure admission must be
        self._z, self._thrift = rules.admission_z or 0.0, rules.thrift
        # whether it must be in time to be taken
        self._strict = rules.admission_z is not None and job.deadline_s < math.inf
        self._score = math.inf  # of `unit`: the lower the better

    def weigh(self, unit: Unit, cost: Cost, key: Key) -> bool:
        """Compare a place with the best so far; False: a deadline would be missed for it."""
        mean = cost.mean_s(self._job.items)
        wait, wait_var = unit.wait(self._now_s)
        queued, queued_var = unit.queue.before(key)
        finish = self._now_s + wait + queued * self._stretch / unit.slots + mean
        if self._strict:
            var = mean * mean * cost.cv2
            alone_s = self._now_s + mean + self._z * math.sqrt(var)
            self.able = self.able or alone_s <= self._job.deadline_s
            late = finish + self._z * math.sqrt(var + wait_var + queued_var) - self._job.deadline_s
            self.late_s = min(self.late_s, late)
            margin_s = self._z * math.sqrt(var + wait_var)
            if late > 0 or unit.queue.harmed(key, finish + margin_s, mean, unit.slots):
                return False
        score = finish + self._thrift * mean
        if score < self._score:
            self._score, self.unit, self.key = score, unit, key
        return True


def choose(
    units: Iterable[Unit], job: Job, now_s: float, *, rules: Rules, stretch: float = 1.0
) -> Choice:
    """The device of least finish plus thrift among those that meet the deadline.

    A task goes ahead of those of callers who had more, unless one of these would miss its deadline
    for it. `stretch` lengthens the backlog by what offline work takes of the devices meanwhile.
    """
    choice = Choice(job, now_s, rules, stretch)
    own = choice.key
    for unit in units:
        cost = unit.cost(job.kind)
        if cost is None or job.items > cost.most_items:
            continue
        fair = unit.queue.place_of(job)
        if not choice.weigh(unit, cost, fair) and fair != own:
            choice.weigh(unit, cost, own)
    return choice


def best_to_steal(thief: Unit, units: Iterable[Unit], now_s: float) -> Unit | None:
    """The device whose last queued task would gain most from running on the thief now."""
    best, most = None, 0.0
    for unit in units:
        if unit is thief or not unit.queue:
            continue
        job = unit.queue.last
        cost = thief.cost(job.kind)
        if cost is None or job.items > cost.most_items:
            continue
        gain = unit.wait(now_s)[0] + unit.queue.mean_s / unit.slots - cost.mean_s(job.items)
        if gain > most:
            best, most = unit, gain
    return best


def batch_with(unit: Unit, head: Job, now_s: float, rules: Rules) -> list[Job]:
    """The queued tasks of the same operator that may run with a task while all deadlines hold.

    Those that are passed over must keep their deadlines too. A run without a deadline takes a
    chunk, so that who comes next does not wait for more; the work of other callers joins a run
    while it takes no more than twice what its first task takes alone.
    """
    cost, items, z = unit.costs[head.operator], head.items, rules.batch_z or 0.0
    yours_s = now_s + _LONGER * cost.quantile_s(items, z)
    mine_s = head.deadline_s
    if mine_s == math.inf:
        mine_s = max(now_s + rules.chunk_s, yours_s)
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
        limit_s = mine_s if job.caller == head.caller else yours_s
        if items > cost.most_items or end_s > min(limit_s, head.deadline_s, job.deadline_s):
            break
        if any(end_s + p.mean_s + z * math.sqrt(p.var) > p.deadline_s for p in passed):
            break
        joined.append(job)
    return joined
