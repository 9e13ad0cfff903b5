"""Events of sessions and servers."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from deepseek_core.contracts.events.base import Event, counts, one_line


@attrs.frozen(kw_only=True)
class PlanMade(Event):
    """A plan was made: of the graph named `graph`, with `placement` from stage to device id."""

    graph: str
    placement: dict[str, str]


@attrs.frozen(kw_only=True)
class StageMeasured(Event):
    """A calibration measured the stage named `stage` on the device `device_id`.

    It ran on `batch` samples at a time; `seconds` is the median of its runs.
    """

    stage: str
    device_id: str
    batch: int
    seconds: float


@attrs.frozen(kw_only=True)
class DeviceQuarantined(Event):
    """The device `device_id` failed and gets no more work in this session.

    `reason` is the text of its error.
    """

    device_id: str
    reason: str = attrs.field(converter=one_line)


@attrs.frozen(kw_only=True)
class DeviceLoad:
    """What the device `device_id` of a session does; part of a `SessionState`.

    `utilization` is the share of the time since the last state in which its slots ran tasks that
    have ended, 0 to 1. `queued` tasks of a stream wait for it; `done` counts those that ended since
    the session opened.
    """

    device_id: str
    utilization: float
    queued: int
    done: int


def _loads(values: Iterable[DeviceLoad]) -> tuple[DeviceLoad, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class SessionState(Event):
    """What a session or server does now; at most one in a second while it has work.

    `session` is a name that no other in this process has; `devices` are those that ran a task.
    The rest counts requests of a server by latency class ("realtime", "offline"), since it opened:
    `queued` wait or run now, `done` were answered, `missed` were answered after their deadline or
    dropped as they could not meet it, `refused` were not taken in. Plans of a session have none.
    One that is idle tells nothing: its last state is how it came to rest.
    """

    session: str = attrs.field(converter=one_line)
    devices: tuple[DeviceLoad, ...] = attrs.field(converter=_loads)
    queued: dict[str, int] = attrs.field(converter=counts)
    done: dict[str, int] = attrs.field(converter=counts)
    missed: dict[str, int] = attrs.field(converter=counts)
    refused: dict[str, int] = attrs.field(converter=counts)
