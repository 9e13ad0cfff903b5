"""What a placement is decided from, and what was decided: plain records."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import attrs

from deepseek_core.contracts.device import Concurrency, Estimate
from deepseek_core.contracts.errors import NoDevice
from deepseek_core.contracts.task import LatencyClass


class Objective(StrEnum):
    """`period`: seconds per batch of a steady stream; `makespan`: seconds of one batch."""

    PERIOD = "period"
    MAKESPAN = "makespan"

    @classmethod
    def of(cls, latency: LatencyClass) -> Objective:
        """Offline work wants the rate, realtime work the answer."""
        return cls.MAKESPAN if latency is LatencyClass.REALTIME else cls.PERIOD


@attrs.frozen(kw_only=True)
class Candidate:
    """A device that may run a stage: its estimate, or the reason why it can't.

    `moved_bytes` cross between host and device in one run; the estimate includes them.
    """

    device_id: str
    estimate: Estimate | None = None
    refusal: str = ""
    moved_bytes: int = 0


@attrs.frozen(kw_only=True)
class Crossover:
    """From `batch` items on a stage costs less on `above` than on `below`."""

    stage: str
    below: str
    above: str
    batch: int


@attrs.frozen(kw_only=True)
class StageOptions:
    """A stage, the stages it waits for, and its candidates.

    `pinned_to` limits the choice to these devices; empty means any.
    """

    name: str
    predecessors: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    pinned_to: tuple[str, ...] = ()

    def allowed(self) -> tuple[Candidate, ...]:
        """The candidates that can run it, less those that a pin excludes.

        Raises:
            NoDevice: none is left; says why each refused.
        """
        able = tuple(c for c in self._eligible() if c.estimate is not None)
        if not able:
            raise self._nobody()
        return able

    def _eligible(self) -> tuple[Candidate, ...]:
        pins = self.pinned_to
        return tuple(c for c in self.candidates if not pins or c.device_id in pins)

    def _nobody(self) -> NoDevice:
        refusals = {c.device_id: c.refusal for c in self._eligible()}
        pinned = " on the devices it is pinned to" if self.pinned_to else ""
        reasons = "; ".join(f"{d}: {r}" for d, r in refusals.items()) or "no device is present"
        return NoDevice(
            f"no device can run stage {self.name!r}{pinned} ({reasons})",
            refusals=refusals,
            remedy="install a plugin that supports it; `ds-sdk devices` shows what is there",
        )


@attrs.frozen(kw_only=True)
class Problem:
    """Stages in topological order, what each device takes at once, and the host's cores."""

    stages: tuple[StageOptions, ...]
    concurrency: Mapping[str, Concurrency]
    host_cores: int
    objective: Objective


Route = tuple[Mapping[str, str], float]
"""Stage -> device for a share of all batches."""


@attrs.frozen(kw_only=True)
class Placement:
    """Where the batches go, the objective's value in seconds, and the rule that found it.

    Batches of a stream take `routes` in turn, in their shares; mostly there is one.
    `lower_bound_s` holds for every placement of this problem. `single_device` has the value of
    every placement on one device that is possible; `runner_up` the best other one looked at.
    """

    routes: tuple[Route, ...]
    objective: Objective
    value_s: float
    rule: str
    optimal: bool
    single_device: Mapping[str, float]
    lower_bound_s: float | None = None
    runner_up: tuple[Mapping[str, str], float] | None = None

    @property
    def devices(self) -> Mapping[str, str]:
        """Stage -> device of the route that most batches take."""
        return max(self.routes, key=lambda route: route[1])[0]

    def shares(self, stage: str) -> dict[str, float]:
        """Device id -> share of the batches whose run of this stage it does."""
        found: dict[str, float] = {}
        for devices, share in self.routes:
            found[devices[stage]] = found.get(devices[stage], 0.0) + share
        return found

    def used(self) -> frozenset[str]:
        """All devices that any batch passes."""
        return frozenset(device for devices, _ in self.routes for device in devices.values())
