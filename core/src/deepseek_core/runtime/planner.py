"""From a graph and the devices present to a placement: asks, predicts, decides."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from functools import partial

import attrs

from deepseek_core.contracts.device import Device, Estimate
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.graph import Graph, Stage, Task
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.runtime.history import History
from deepseek_core.runtime.pool import DevicePool
from deepseek_core.schedule.cost import Sample, crossover, predict
from deepseek_core.schedule.placement import place
from deepseek_core.schedule.problem import (
    Candidate,
    Crossover,
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
        # A plan of many stages asks for the same costs again and again.
        self._refusals: dict[tuple[str, str, Workload], str] = {}
        self._samples: dict[tuple[str, str, LatencyClass], tuple[Sample, ...]] = {}
        self._placements: dict[str, Placement] = {}
        self._estimates: dict[tuple[str, str, LatencyClass, Workload, int], Estimate] = {}

    def exclude(self, device_id: str, stage: Stage, reason: str) -> None:
        """Never offer this device for this stage again in this session."""
        self._failed[device_id, stage.fingerprint] = reason

    def decide(self, graph: Graph, request: Request) -> tuple[Problem, Placement]:
        """The problem as it stands now and its placement.

        Raises:
            NoDevice: a stage that no device can run.
        """
        problem = self.problem(graph, request)
        key = repr(problem)
        if key not in self._placements:
            self._placements[key] = place(problem)
        return problem, self._placements[key]

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
        self._placements.clear()
        self._samples.clear()
        self._estimates.clear()

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

    def crossovers(self, graph: Graph, request: Request) -> list[Crossover]:
        """For each stage with a choice, the batch size at which its two cheapest devices tie."""
        devices = {device.info.id: device for device in self.pool.present()}
        found = []
        for stage in graph.stages:
            asked = (self.candidate(stage, device, request) for device in devices.values())
            able = sorted((c for c in asked if c.estimate), key=_seconds)[:2]
            if len(able) == 2:
                first, second = (devices[c.device_id] for c in able)
                found += self._crossover(stage, first, second, request)
        return found

    def _crossover(
        self, stage: Stage, first: Device, second: Device, request: Request
    ) -> list[Crossover]:
        ask = partial(self._predict, stage, request=request)
        batch = crossover(partial(ask, first), partial(ask, second))
        if batch is None:
            return []
        wins = ask(first, 1).seconds <= ask(second, 1).seconds
        below, above = (first, second) if wins else (second, first)
        return [Crossover(stage=stage.name, below=below.info.id, above=above.info.id, batch=batch)]

    def _refusal(self, stage: Stage, device: Device, workload: Workload) -> str:
        failed = self._failed.get((device.info.id, stage.fingerprint))
        if failed:
            return f"failed before: {failed}"
        key = device.info.id, stage.fingerprint, workload
        if key not in self._refusals:
            self._refusals[key] = _refusal(stage, device, workload)
        return self._refusals[key]

    def _estimate(self, stage: Stage, device: Device, request: Request) -> Estimate:
        key = (
            device.info.id,
            stage.fingerprint,
            request.latency,
            request.workload,
            request.batch,
        )
        if key not in self._estimates:
            self._estimates[key] = self._predict(stage, device, request.batch, request=request)
        return self._estimates[key]

    def _predict(self, stage: Stage, device: Device, batch: int, *, request: Request) -> Estimate:
        def prior(batch: int) -> Estimate:
            return device.estimate(
                Task(stage=stage, batch=batch, latency=request.latency, workload=request.workload)
            )

        key = _key(device, request.latency), stage.fingerprint, request.latency
        if key not in self._samples:
            self._samples[key] = self._history.samples(*key)
        return predict(prior, self._samples[key], batch)


def _refusal(stage: Stage, device: Device, workload: Workload) -> str:
    """Why a device does not run a stage; empty if it does."""
    if workload not in device.workloads:
        return f"runs {' and '.join(sorted(device.workloads))} only"
    reasons: dict[str, list[str]] = {}
    for operation in stage.operations:
        support = device.supports(operation)
        if not support:
            reasons.setdefault(support.reason, []).append(operation.qualified_name)
    return "; ".join(f"{reason}, not {_listed(names)}" for reason, names in reasons.items())


def _seconds(candidate: Candidate) -> float:
    return candidate.estimate.seconds if candidate.estimate else math.inf


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
