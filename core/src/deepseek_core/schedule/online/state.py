"""What the online scheduler knows of tasks, runs and devices. Mutable, private to this package.

Times of runs are lognormal around a median; sums of them are treated as normal.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from deepseek_core.contracts.task import LatencyClass
from deepseek_core.schedule.online.duequeue import DueQueue, Key
from deepseek_core.schedule.online.records import OnlineDevice, Part, RunCost, TaskArrived

# A run that is overdue is expected to take this share of its mean longer.
_OVERDUE: Final = 0.15
# One measurement moves an estimate by no more than this many standard deviations.
_CLIP: Final = 2.5
# So many in a row that are more standard deviations off than this, on one side, are a change.
_MANY: Final = 3
_FAR: Final = 2.0
_Z99: Final = 2.3263
_SLACK: Final = 3.0


class Cost:
    """What an operator costs on a device, as corrected by what was measured."""

    __slots__ = (
        "_log_bias", "_side", "_since", "_strays", "cv2", "factor", "fixed_s", "founded", "item_s",
        "longest_s", "most_items", "sigma",
    )  # fmt: skip

    def __init__(self, cost: RunCost) -> None:
        # As in `RunCost`.
        self.fixed_s, self.item_s = cost.fixed_s, cost.item_s
        self.sigma, self.most_items, self.founded = cost.sigma, cost.most_items, cost.founded
        self.longest_s = 0.0  # of the runs that ended
        # square of the coefficient of variation of a lognormal run
        self.cv2 = math.exp(cost.sigma**2) - 1.0
        # log of measured / predicted; the sign of `_side` is that of all `_strays`
        self._log_bias = self._side = 0.0
        self._strays: list[float] = []  # the newest, all far off on one side
        self._since = math.inf  # runs since it was seen to change, and with those that showed it
        self.factor = math.exp(cost.sigma**2 / 2)  # mean / median, corrected by what was measured

    def mean_s(self, items: int) -> float:
        """Expected seconds of a run."""
        return (self.fixed_s + self.item_s * items) * self.factor

    def quantile_s(self, items: int, z: float) -> float:
        """Seconds at `z` standard deviations of log(seconds)."""
        median_s = (self.fixed_s + self.item_s * items) * math.exp(self._log_bias)
        return median_s * math.exp(z * self.sigma)

    @property
    def is_known(self) -> bool:
        """Whether it rests on more than a guess."""
        return self.founded or self.longest_s > 0

    def limit_s(self, items: int, factor: float, floor_s: float) -> float:
        """Seconds after which a run counts as one that hangs."""
        return max(floor_s, factor * self.quantile_s(items, _Z99), _SLACK * self.longest_s)

    def ended(self, seconds: float) -> None:
        """Note that a run took so long, in time or too late."""
        self.longest_s = max(self.longest_s, seconds)

    def learn(self, items: int, seconds: float, weight: float) -> None:
        """Correct the median by a measurement; an outlier moves it no more than a bad one.

        Several far off in a row, on one side, are no outliers: what counts is then their mean, and
        that of what comes after.
        """
        if seconds <= 0:
            return
        bias = math.log(seconds / (self.fixed_s + self.item_s * items))
        off, usual = bias - self._log_bias, max(self.sigma, 0.05)
        if abs(off) <= _FAR * usual or off * self._side < 0:
            self._strays.clear()
        if abs(off) > _FAR * usual:
            self._strays.append(bias)
            self._side = off
        if len(self._strays) == _MANY:
            self._log_bias, self._since = sum(self._strays) / _MANY, float(_MANY)
            self._strays.clear()
        else:
            self._since += 1.0
            weight = max(weight, 1.0 / self._since)
            self._log_bias += weight * min(max(off, -_CLIP * usual), _CLIP * usual)
        self.factor = math.exp(self._log_bias + self.sigma**2 / 2)


class Kind(NamedTuple):
    """What makes tasks alike: their operator, and the devices that refused their values."""

    operator: str
    refused: frozenset[str] = frozenset()


class Job:
    """A task that was accepted and has not ended."""

    __slots__ = (
        "alone", "arrived_s", "attempt", "caller", "deadline_s", "divisible", "done", "due_s",
        "ended", "id", "items", "key", "kind", "mean_s", "operator", "queued", "ranges", "realtime",
        "running", "seq", "stranded_s", "tag", "unit", "var",
    )  # fmt: skip

    def __init__(self, event: TaskArrived, seq: int) -> None:
        # As in `TaskArrived`.
        self.id, self.operator, self.items = event.task_id, event.operator, event.items
        # what devices are asked by: the operator, and who refused it
        self.kind = Kind(event.operator)
        self.deadline_s, self.arrived_s, self.seq = event.deadline_s, event.time_s, seq
        self.caller = event.caller
        self.due_s, self.tag = event.time_s, 0.0  # what its place in a queue goes by
        self.key: Key = (self.due_s, self.tag)
        self.unit: Unit | None = None  # in whose queue it waits
        self.queued = False  # with other offline work
        self.realtime = event.latency is LatencyClass.REALTIME
        self.divisible = event.divisible
        self.alone = not event.divisible  # its items are not joined with those of others
        # `done` counts items, `running` the parts at work
        self.attempt, self.done, self.running, self.ended = 1, 0, 0, False
        self.mean_s = self.var = 0.0  # on the device in whose queue it waits
        # (first item, items) that are neither done nor at work; the last is cut next
        self.ranges = [(0, event.items)]
        self.stranded_s = math.inf  # since when no device could take it

    def take(self, most: int) -> Part:
        """Cut up to so many items off what is left."""
        first, items = self.ranges[-1]
        if items <= most:
            self.ranges.pop()
        else:
            self.ranges[-1] = (first + most, items - most)
            items = most
        self.running += 1
        return Part(task_id=self.id, first=first, items=items, attempt=self.attempt)

    def take_all(self) -> Part:
        """All its items; for a task that is never cut."""
        self.ranges.clear()
        self.running += 1
        return Part(task_id=self.id, first=0, items=self.items, attempt=self.attempt)


class Run:
    """Parts of jobs that a device works at."""

    __slots__ = (
        "began_s", "end_s", "id", "items", "jobs", "limit_s", "mean_s", "operator", "parts", "unit",
        "var",
    )  # fmt: skip

    def __init__(
        self, run_id: int, unit: Unit, operator: str, jobs: list[Job], parts: tuple[Part, ...]
    ) -> None:
        self.id, self.unit, self.operator = run_id, unit, operator
        self.jobs, self.parts = jobs, parts
        self.items = parts[0].items if len(parts) == 1 else sum(p.items for p in parts)
        cost = unit.costs[operator]
        self.mean_s = cost.mean_s(self.items)  # expected seconds, and their variance
        self.var = self.mean_s * self.mean_s * cost.cv2
        # `began_s`: when it began, should end, and counts as hanging; set at its start
        self.began_s = self.end_s = self.limit_s = math.inf


class Unit:
    """A device: its running work, its realtime queue by urgency, its health."""

    __slots__ = (
        "aptness", "costs", "credit_s", "faults", "free", "hangs", "id", "in_service",
        "on_probation", "paused", "queue", "running", "slots", "until_s",
    )  # fmt: skip

    def __init__(self, device: OnlineDevice) -> None:
        self.id, self.slots = device.id, device.slots
        self.costs = {name: Cost(cost) for name, cost in device.costs.items()}
        # by operator: seconds on the fastest device / seconds here; 1 at best
        self.aptness: dict[str, float] = {}
        self.free = device.slots  # slots without a run
        self.running: dict[int, Run] = {}  # by run id
        self.queue = DueQueue[Job]()  # realtime jobs that wait here
        self.credit_s = 0.0  # device time owed to offline work
        self.in_service, self.on_probation, self.faults = True, False, 0
        self.until_s = -math.inf  # the end of its quarantine
        self.hangs = False  # a run took too long and has not come back
        # the offline job of which a part just ended here, with more to do
        self.paused: Job | None = None

    def cost(self, kind: Kind) -> Cost | None:
        """What such tasks cost here; None where they can't run."""
        return None if self.id in kind.refused else self.costs.get(kind.operator)

    def wait(self, now_s: float) -> tuple[float, float]:
        """Mean and variance of the seconds until a slot is free."""
        if self.free > 0:
            return 0.0, 0.0
        run = min(self.running.values(), key=_end)
        left = run.end_s - now_s
        least = _OVERDUE * run.mean_s
        return (left if left > least else least), run.var

    def push(self, job: Job, key: Key) -> None:
        """Queue a realtime job."""
        job.key = key
        cost = self.costs[job.operator]
        job.mean_s = cost.mean_s(job.items)
        job.var = job.mean_s * job.mean_s * cost.cv2
        job.unit = self
        self.queue.add(job)

    def take(self, job: Job) -> None:
        """Take a job out of the queue."""
        self.queue.remove(job)
        job.unit = None

    def drain(self) -> list[Job]:
        """Empty the queue."""
        jobs = self.queue.drain()
        for job in jobs:
            job.unit = None
        return jobs


def _end(run: Run) -> float:
    return run.end_s
