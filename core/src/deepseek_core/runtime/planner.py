"""From a graph and the devices present to a placement: asks, predicts, decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import attrs

from deepseek_core.contracts.device import Device, Estimate
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.graph import Graph, Stage, Task
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.runtime.history import History
from deepseek_core.runtime.pool import DevicePool
from deepseek_core.schedule.cost import Sample, predict
from deepseek_core.schedule.placement import place
from deepseek_core.schedule.problem import (
    Candidate,
    Objective,
    Placement,
    Problem,
    StageOptions,
)


@attrs.frozen(kw_only=True)
class Request:
    """What the caller wants of a plan: how soon, for what, in batches of how many items."""

    latency: LatencyClass
    workload: Workload
    batch: int
    deadline_s: float | None = None
    pins: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)


class Planner:
    """Makes problems out of graphs and decides them; knows which device failed at what."""

    def __init__(self, pool: DevicePool, history: History, host_cores: int) -> None:
        self.pool = pool
        self._history = history
        self._host_cores = host_cores
        self._failed: dict[tuple[str, str], str] = {}

    def exclude(self, device_id: str, stage: Stage, reason: str) -> None:
        """Never offer this device for this stage again in this session."""
        self._failed[device_id, stage.fingerprint] = reason

    def decide(self, graph: Graph, request: Request) -> tuple[Problem, Placement]:
        """The problem as it stands now and its placement.

        Raises:
            NoDevice: a stage that no device can run.
        """
        problem = self.problem(graph, request)
        return problem, place(problem)

    def problem(self, graph: Graph, request: Request) -> Problem:
        """Every stage with what each device would cost, and why others refuse."""
        devices = self.pool.present()
        return Problem(
            stages=tuple(self._options(graph, stage, devices, request) for stage in graph.stages),
            concurrency={d.info.id: d.concurrency(request.latency) for d in devices},
            host_cores=self._host_cores,
            objective=Objective.of(request.latency),
        )

    def resolve_pins(self, graph: Graph, pins: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Stage name -> device ids, from words such as `match=fpga`.

        Raises:
            ConfigError: a word that names no stage or no device.
        """
        return {
            stage: self.pool.matching(word)
            for name, word in pins.items()
            for stage in _stages_named(graph, name)
        }

    def candidate(self, stage: Stage, device: Device, request: Request) -> Candidate:
        """What a device would cost for a stage, or why it refuses."""
        device_id = device.info.id
        refusal = self._refusal(stage, device, request.workload)
        if refusal:
            return Candidate(device_id=device_id, refusal=refusal)
        moved = sum(s.nbytes(request.batch) for s in (*stage.inputs, *stage.outputs))
        return Candidate(
            device_id=device_id,
            estimate=self._estimate(stage, device, request),
            moved_bytes=0 if device.info.kind == "cpu" else moved,
        )

    def measured(
        self, stage: Stage, device: Device, latency: LatencyClass, samples: tuple[Sample, ...]
    ) -> None:
        """Put measurements into the history."""
        self._history.add(_key(device, latency), stage.fingerprint, latency, samples)

    def _options(
        self, graph: Graph, stage: Stage, devices: tuple[Device, ...], request: Request
    ) -> StageOptions:
        asked = tuple(self.candidate(stage, device, request) for device in devices)
        out = tuple(Candidate(device_id=d, refusal=r) for d, r in self.pool.why_out().items())
        return StageOptions(
            name=stage.name,
            predecessors=graph.predecessors(stage),
            candidates=asked + out,
            pinned_to=request.pins.get(stage.name, ()),
        )

    def _refusal(self, stage: Stage, device: Device, workload: Workload) -> str:
        failed = self._failed.get((device.info.id, stage.fingerprint))
        if failed:
            return f"failed before: {failed}"
        if workload not in device.workloads:
            return f"runs {' and '.join(sorted(device.workloads))} only"
        reasons: dict[str, list[str]] = {}
        for operation in stage.operations:
            support = device.supports(operation)
            if not support:
                reasons.setdefault(support.reason, []).append(operation.qualified_name)
        return "; ".join(f"{reason}, not {_listed(names)}" for reason, names in reasons.items())

    def _estimate(self, stage: Stage, device: Device, request: Request) -> Estimate:
        def prior(batch: int) -> Estimate:
            return device.estimate(
                Task(stage=stage, batch=batch, latency=request.latency, workload=request.workload)
            )

        key = _key(device, request.latency)
        samples = self._history.samples(key, stage.fingerprint, request.latency)
        return predict(prior, samples, request.batch)


def _listed(names: list[str]) -> str:
    """The most frequent operations by name, the others by number."""
    kinds = [name for name, _ in Counter(names).most_common()]
    more = f" and {len(kinds) - 3} more" if len(kinds) > 3 else ""
    return ", ".join(kinds[:3]) + more


def _key(device: Device, latency: LatencyClass) -> str:
    """What a measured cost belongs to: the device and the host threads that one run gets."""
    return f"{device.info.fingerprint}|{device.concurrency(latency).host_threads} threads"


def _stages_named(graph: Graph, word: str) -> tuple[str, ...]:
    names = [stage.name for stage in graph.stages]
    found = [n for n in names if n == word] or [n for n in names if n.startswith(word)]
    if not found:
        raise ConfigError(
            f"no stage of {graph.name!r} is called {word!r}",
            remedy=f"its stages are {', '.join(names)}",
        )
    return tuple(found)
