"""A stream of equal items through stages, the devices, and the plan for it: plain records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import attrs

from deepseek_core.contracts.errors import GraphError, InputError, NoDevice
from deepseek_core.contracts.units import check_finite, format_bytes

_UNBOUNDED: Final = math.inf


@attrs.frozen(kw_only=True)
class StreamStage:
    """A stage: seconds of one run by device id; a device that is left out can't run it.

    `mem_bytes` stay on each device that runs it. A `stateless` stage may run on several. Stages
    of the same `together` share a device.
    """

    name: str
    seconds: Mapping[str, float]
    mem_bytes: float = attrs.field(default=0.0, validator=check_finite)
    stateless: bool = True
    together: str | None = None

    def __attrs_post_init__(self) -> None:
        for device, seconds in self.seconds.items():
            if not math.isfinite(seconds) or seconds < 0:
                raise InputError(
                    f"stage {self.name!r} costs {seconds!r} s on {device}",
                    remedy="give a finite number, 0 or more; leave out a device that can't run it",
                )


@attrs.frozen(kw_only=True)
class StreamDevice:
    """A device: runs at once, host cores that each occupies, memory, and where that is."""

    id: str
    slots: int = 1
    host_threads: int = 0
    mem_bytes: float = _UNBOUNDED
    mem_node: str = "host"


@attrs.frozen(kw_only=True)
class Link:
    """From one memory node to another: a transfer takes `latency_s + nbytes / bytes_per_s`.

    `at_sender` and `at_receiver` are the shares of that time in which the devices are busy.
    """

    latency_s: float = attrs.field(default=0.0, validator=check_finite)
    bytes_per_s: float = _UNBOUNDED
    at_sender: float = 1.0
    at_receiver: float = 1.0


@attrs.frozen(kw_only=True)
class StreamEdge:
    """A tensor of `nbytes` that the stage `target` reads from `source`, for each run."""

    source: str
    target: str
    nbytes: float = attrs.field(default=0.0, validator=check_finite)


@attrs.frozen(kw_only=True)
class StreamProblem:
    """Stages, devices and links; each run is a batch of `batch` items.

    `links` maps (memory node, memory node) to a link; pairs that are left out cost nothing.
    """

    stages: tuple[StreamStage, ...]
    devices: tuple[StreamDevice, ...]
    edges: tuple[StreamEdge, ...] = ()
    links: Mapping[tuple[str, str], Link] = attrs.field(factory=dict)
    host_cores: int = 1
    batch: int = 1

    def __attrs_post_init__(self) -> None:
        _check_names(self)
        for stage in self.stages:
            _check_stage(self, stage)
        if not any(s > 0 for stage in self.stages for s in stage.seconds.values()):
            raise InputError("no stage costs any time, so there is no rate to maximize")


def _check_names(problem: StreamProblem) -> None:
    if not problem.stages:
        raise GraphError("the stream has no stages")
    names = [stage.name for stage in problem.stages]
    for what, given in (("stages", names), ("devices", [d.id for d in problem.devices])):
        twice = {name for name in given if given.count(name) > 1} if len(given) < 99 else ()
        if twice or len(set(given)) < len(given):
            raise GraphError(f"two {what} of the stream have the same name")
    known = set(names)
    for edge in problem.edges:
        for end in (edge.source, edge.target):
            if end not in known:
                raise GraphError(f"an edge leads to {end!r}, which is no stage of the stream")


def _check_stage(problem: StreamProblem, stage: StreamStage) -> None:
    refusals = {d.id: _refusal(stage, d) for d in problem.devices}
    if all(refusals.values()):
        reasons = "; ".join(f"{d}: {why}" for d, why in refusals.items()) or "no device is given"
        raise NoDevice(
            f"no device can run stage {stage.name!r} ({reasons})",
            refusals=refusals,
            remedy="give a device that can, or split the stage",
        )


def _refusal(stage: StreamStage, device: StreamDevice) -> str:
    if device.id not in stage.seconds:
        return "does not support it"
    over = stage.mem_bytes - device.mem_bytes
    return f"its memory is {format_bytes(over)} too small" if over > 0 else ""


@attrs.frozen(kw_only=True)
class Route:
    """Stage name -> device id for a `share` of all batches."""

    devices: Mapping[str, str]
    share: float


@attrs.frozen(kw_only=True)
class StreamPlan:
    """Where a stream runs, for batches of `batch` items.

    `period_s`: seconds per batch, the load of the busiest resource; `loads_s` has those of devices
    by id, `host_load_s` is that of the host's cores. Batches take `routes` in turn, see
    `RoundRobin`. `lower_bound_s` holds for every plan of this kind; `optimal` says that none is
    better. `max_in_flight` batches keep the bottleneck busy; then no more than `queue_bounds` are
    at a device. `alternatives`: period of other plans that were looked at.
    """

    period_s: float
    batch: int
    routes: tuple[Route, ...]
    loads_s: Mapping[str, float]
    host_load_s: float
    lower_bound_s: float
    optimal: bool
    rule: str
    max_in_flight: int
    queue_bounds: Mapping[str, int]
    alternatives: Mapping[str, float]

    @property
    def items_per_s(self) -> float:
        """The rate: items per second in the steady state."""
        return self.batch / self.period_s

    @property
    def gap(self) -> float:
        """How far above the lower bound the period is at most: 0.02 is 2 %."""
        return self.period_s / self.lower_bound_s - 1.0

    def shares(self, stage: str) -> dict[str, float]:
        """Device id -> share of the batches whose run of this stage it does."""
        found: dict[str, float] = {}
        for route in self.routes:
            device = route.devices[stage]
            found[device] = found.get(device, 0.0) + route.share
        return found
