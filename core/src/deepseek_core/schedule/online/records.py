"""Facts that the online scheduler is told, and what it answers: plain records.

Times are seconds of any one clock that never goes back; a deadline is a point of that clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import attrs

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.contracts.units import check_finite

UNLIMITED: Final = 1 << 60


def _positive(record: object, field: attrs.Attribute[int], value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise InputError(f"{type(record).__name__}.{field.name} must be 1 or more, got {value!r}")


@attrs.frozen(kw_only=True)
class RunCost:
    """Median seconds of a run: a fixed part and a part for each item.

    `sigma` is the standard deviation of log(seconds); `most_items` fit into one run. A cost that
    rests on no measurement is not `founded`.
    """

    fixed_s: float = attrs.field(default=0.0, validator=check_finite)
    item_s: float = attrs.field(default=0.0, validator=check_finite)
    sigma: float = attrs.field(default=0.0, validator=check_finite)
    most_items: int = attrs.field(default=UNLIMITED, validator=_positive)
    founded: bool = True

    def __attrs_post_init__(self) -> None:
        if self.fixed_s + self.item_s <= 0:
            raise InputError("a run that costs nothing", remedy="give fixed_s or item_s above 0")

    def seconds(self, items: int) -> float:
        """Median seconds of a run of so many items."""
        return self.fixed_s + self.item_s * items


@attrs.frozen(kw_only=True)
class OnlineDevice:
    """A device: what it takes at once, and what each operator that it runs costs there."""

    id: str
    slots: int = attrs.field(default=1, validator=_positive)
    costs: Mapping[str, RunCost]


@attrs.frozen(kw_only=True)
class OnlineEvent:
    """Base of all events."""

    time_s: float


@attrs.frozen(kw_only=True)
class TaskArrived(OnlineEvent):
    """A task is there; offline ones may be cut into runs of fewer items.

    `committed` work was promised before (a later stage of an accepted request): it is not refused.
    `divisible` says whether a run may take some of its items, or those of others besides.
    Callers share the devices equally, but for work with deadlines, which goes by these.
    """

    task_id: str | int
    operator: str
    items: int = attrs.field(default=1, validator=_positive)
    latency: LatencyClass = LatencyClass.OFFLINE
    deadline_s: float = math.inf
    committed: bool = False
    divisible: bool = True
    caller: str = ""


@attrs.frozen(kw_only=True)
class TaskWithdrawn(OnlineEvent):
    """Nobody wants the task any more; without an effect once it has ended."""

    task_id: str | int


@attrs.frozen(kw_only=True)
class TaskStarted(OnlineEvent):
    """A run that was decided has begun; optional, it sharpens the forecast."""

    run_id: int


@attrs.frozen(kw_only=True)
class TaskFinished(OnlineEvent):
    """A run is done; `seconds` it took, where known, correct the estimates."""

    run_id: int
    seconds: float | None = None


@attrs.frozen(kw_only=True)
class TaskFailed(OnlineEvent):
    """A run failed; `device_fault` blames the device, `retryable` allows another attempt.

    `refused`: the device does not take these values, and another one may; nobody is to blame.
    """

    run_id: int
    reason: str = "failed"
    retryable: bool = True
    device_fault: bool = True
    refused: bool = False


@attrs.frozen(kw_only=True)
class DeviceLost(OnlineEvent):
    """A device is gone with all that ran there, until it joins again."""

    device_id: str
    reason: str = "lost"


@attrs.frozen(kw_only=True)
class DeviceJoined(OnlineEvent):
    """A device is there, for the first time or again.

    `late`: by operator, what runs took that were given up and came back after all.
    """

    device: OnlineDevice
    late: Mapping[str, float] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Tick(OnlineEvent):
    """Time has passed; due before `OnlineScheduler.wake_s` at the latest."""


@attrs.frozen(kw_only=True)
class Part:
    """Some items of a task within a run; `attempt` counts from 1."""

    task_id: str | int
    first: int
    items: int
    attempt: int


@attrs.frozen(kw_only=True)
class Start:
    """Run these parts, of one operator, as one batch on the device now."""

    run_id: int
    device_id: str
    operator: str
    parts: tuple[Part, ...]
    latency: LatencyClass

    @property
    def items(self) -> int:
        """Items of the whole run."""
        return sum(part.items for part in self.parts)


@attrs.frozen(kw_only=True)
class Preempt:
    """An offline task pauses between two of its runs, in favor of realtime work."""

    task_id: str | int
    device_id: str


@attrs.frozen(kw_only=True)
class Reject:
    """The task is not accepted; `retry_after_s` seconds from now it might be, None: never."""

    task_id: str | int
    reason: str
    retry_after_s: float | None


@attrs.frozen(kw_only=True)
class Drop:
    """An accepted task ends before it started: its deadline is out of reach."""

    task_id: str | int
    reason: str


@attrs.frozen(kw_only=True)
class Finish:
    """All items of the task are done."""

    task_id: str | int


@attrs.frozen(kw_only=True)
class Fail:
    """The task ends in failure: its attempts are used up, or no retry could help."""

    task_id: str | int
    reason: str


@attrs.frozen(kw_only=True)
class Quarantine:
    """The device gets no work until `until_s`; infinity: until it joins again."""

    device_id: str
    until_s: float
    reason: str


@attrs.frozen(kw_only=True)
class Readmit:
    """The device gets work again."""

    device_id: str


Decision = Start | Preempt | Reject | Drop | Finish | Fail | Quarantine | Readmit
