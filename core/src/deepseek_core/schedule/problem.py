"""What a placement is decided from, and what was decided: plain records."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import attrs

from deepseek_core.contracts.device import Concurrency, Estimate
from deepseek_core.contracts.errors import GraphError, NoDevice
from deepseek_core.contracts.place import Link
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
    `reads_model` says that the device loads models of this format as they are. `evidence` is what
    a figure of this device is worth; `model`: there is no such device.
    """

    device_id: str
    estimate: Estimate | None = None
    refusal: str = ""
    moved_bytes: int = 0
    reads_model: bool = False
    evidence: str = ""

    @property
    def is_founded(self) -> bool:
        """Whether its cost rests on measurements of this device, not on a guess."""
        return self.estimate is not None and self.estimate.source != "prior"


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

    `pinned_to` limits the choice to these devices; empty means any. `read_bytes` has what it reads
    of its predecessors in one run, where that is known.
    """

    name: str
    predecessors: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    pinned_to: tuple[str, ...] = ()
    read_bytes: Mapping[str, int] = attrs.field(factory=dict)

    def allowed(self) -> tuple[Candidate, ...]:
        """The candidates that can run it, less those that a pin excludes.

        Raises:
            NoDevice: none is left; says why each refused.
        """
        able = tuple(c for c in self.eligible() if c.estimate is not None)
        if not able:
            raise self._nobody()
        return able

    def eligible(self) -> tuple[Candidate, ...]:
        """The candidates that a pin does not exclude, able or not."""
        pins = self.pinned_to
        return tuple(c for c in self.candidates if not pins or c.device_id in pins)

    def _nobody(self) -> NoDevice:
        refusals = {c.device_id: c.refusal for c in self.eligible()}
        pinned = " on the devices it is pinned to" if self.pinned_to else ""
        reasons = "; ".join(f"{d}: {r}" for d, r in refusals.items()) or "no device is present"
        elsewhere = ", ".join(c.device_id for c in self.candidates if c.estimate is not None)
        remedy = "install a plugin that supports it; `ds-sdk devices` shows what is there"
        if elsewhere:
            remedy = f"leave the pin out, or pin it to one that can: {elsewhere}"
        return NoDevice(
            f"no device can run stage {self.name!r}{pinned} ({reasons})",
            refusals=refusals,
            remedy=remedy,
        )


@attrs.frozen(kw_only=True)
class Problem:
    """Stages in topological order, what each device takes at once, and the host's cores.

    `whole` has the devices that may run all stages as one, without a border between them. `memory`
    has the bytes of devices where they are known: what stays there must fit. `links` has what a
    transfer takes from one device to another, where that is known and no estimate includes it;
    no link, no time.

    Raises:
        GraphError: a stage that is there twice, or that waits for one that does not come before it.
    """

    stages: tuple[StageOptions, ...]
    concurrency: Mapping[str, Concurrency]
    host_cores: int
    objective: Objective
    whole: StageOptions | None = None
    memory: Mapping[str, int] = attrs.field(factory=dict)
    links: Mapping[tuple[str, str], Link] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        known: set[str] = set()
        for stage in self.stages:
            if stage.name in known:
                raise GraphError(f"two stages are called {stage.name!r}", remedy="rename one")
            for name in stage.predecessors:
                if name not in known:
                    raise _out_of_order(self.stages, stage.name, name)
            known.add(stage.name)

    def transfer_s(self, nbytes: float, source: str, target: str) -> float:
        """Seconds that bytes take from one device to another."""
        link = self.links.get((source, target)) if source != target else None
        return 0.0 if link is None else link.seconds(nbytes)

    def whole_on(self, device_id: str) -> Candidate | None:
        """What all stages as one cost on a device; None where it can't."""
        for candidate in () if self.whole is None else self.whole.candidates:
            if candidate.device_id == device_id and candidate.estimate is not None:
                return candidate
        return None


def _out_of_order(stages: tuple[StageOptions, ...], stage: str, before: str) -> GraphError:
    if before not in {one.name for one in stages}:
        return GraphError(
            f"stage {stage!r} waits for {before!r}, and there is no such stage",
            remedy="name stages that the graph has",
        )
    return GraphError(
        f"stage {stage!r} waits for {before!r}, which does not come before it",
        remedy="list stages after all that they wait for; in a cycle there is no such order",
    )


Route = tuple[Mapping[str, str], float]
"""Stage -> device for a share of all batches."""


@attrs.frozen(kw_only=True)
class Placement:
    """Where the batches go, the objective's value in seconds, and the rule that found it.

    Batches of a stream take `routes` in turn, in their shares; mostly there is one.
    `lower_bound_s` holds for every placement of this problem. `single_device` has the value of
    every placement on one device that is possible; `runner_up` the best other one looked at.
    Where all stages are on one device that can run them as one, it does. Of the stages that are
    ready, a device takes the first in `order`; empty: in the graph's. In each pair of `holds` the
    second stage does not begin before the first has ended, although it reads nothing of it: its
    device stays idle until then for what is more urgent.
    """

    routes: tuple[Route, ...]
    objective: Objective
    value_s: float
    rule: str
    optimal: bool
    single_device: Mapping[str, float]
    lower_bound_s: float | None = None
    runner_up: tuple[Mapping[str, str], float] | None = None
    order: tuple[str, ...] = ()
    holds: tuple[tuple[str, str], ...] = ()

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

    def is_uncut(self, problem: Problem) -> bool:
        """Whether one device runs all stages of a problem as one."""
        used = self.used()
        return len(used) == 1 and problem.whole_on(next(iter(used))) is not None

    def used(self) -> frozenset[str]:
        """All devices that any batch passes."""
        return frozenset(device for devices, _ in self.routes for device in devices.values())
