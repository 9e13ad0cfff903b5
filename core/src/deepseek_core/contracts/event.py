"""Facts with a time that plugins may listen to through `ds_on_event`."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Event:
    """Base of all events; `time_s` is seconds since the epoch."""

    time_s: float


@attrs.frozen(kw_only=True)
class PlanMade(Event):
    """A plan was made: stage name -> device id."""

    graph: str
    placement: dict[str, str]


@attrs.frozen(kw_only=True)
class StageMeasured(Event):
    """A calibration measured a stage on a device; `seconds` is the median of its runs."""

    stage: str
    device_id: str
    batch: int
    seconds: float


@attrs.frozen(kw_only=True)
class DeviceQuarantined(Event):
    """A device failed and gets no more work in this session."""

    device_id: str
    reason: str
