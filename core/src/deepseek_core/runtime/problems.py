"""From a graph and the devices present to a placement: asks, predicts, decides."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from functools import partial
from typing import Protocol
from weakref import WeakKeyDictionary

import attrs

from deepseek_core.contracts.device import Concurrency, Estimate
from deepseek_core.contracts.errors import DeviceError, PluginError
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.place import HOME
from deepseek_core.contracts.stage import Stage, Task
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.runtime.history import History
from deepseek_core.runtime.opened import Opened
from deepseek_core.runtime.pool import DevicePool
from deepseek_core.runtime.request import Request
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

Key = tuple[str, str, LatencyClass, Workload, int]
"""Of a device, a stage and what is wanted of it."""


class Devices(Protocol):
    """What a planner knows of the devices of its session."""

    pool: DevicePool
    host_cores: int

    def refusal(self, stage: Stage, device_id: str, request: Request) -> str:
        """Why a device does not run a stage; empty if it does."""

    def concurrency(self, device_id: str, request: Request) -> Concurrency:
        """What a device occupies."""


class Problems:
    """Makes problems out of graphs and decides them; remembers what was asked and decided."""

    def __init__(self, devices: Devices, history: History) -> None:
        self._devices, self._history = devices, history
        # A plan of many stages asks for the same costs again and again.
        self._samples: dict[tuple[str, str, LatencyClass], tuple[Sample, ...]] = {}
        # by the problem's text: equal ones are solved once
        self._placements: dict[str, Placement] = {}
        self._estimates: dict[Key, Estimate] = {}  # of devices, until something is measured
        self._asked: set[Key] = set()  # what the history was asked for already
        # graph -> all of it as one stage
        self._wholes: WeakKeyDictionary[Graph, Stage] = WeakKeyDictionary()

    def decide(self, graph: Graph, request: Request) -> tuple[Problem, Placement]:
        """The problem as it stands now and its placement.

        Raises:
            NoDevice: a stage that no device can run.
        """
        problem = self.problem(graph, request)
        key = repr(problem)
        found = self._placements.get(key)
        if found is None:
            found = self._placements[key] = place(problem)
        return problem, found

    def problem(self, graph: Graph, request: Request) -> Problem:
        """Every stage, and all as one, with the cost on each device, and why others refuse."""
        ids = self._devices.pool.present_ids()
        self._ask_at_once(graph, ids, request)
        stages = tuple(self._options(graph, stage, ids, request) for stage in graph.stages)
        whole = self._whole_options(graph, ids, request)
        rows = stages if whole is None else (*stages, whole)
        able = {c.device_id for row in rows for c in row.candidates if c.estimate is not None}
        links = self._devices.pool.links
        return Problem(
            stages=stages,
            concurrency={i: self._devices.concurrency(i, request) for i in sorted(able)},
            host_cores=self._devices.host_cores,
            objective=Objective.of(request.latency),
            whole=whole,
            memory=self._memory(able),
            links={pair: link for pair, link in links.items() if able.issuperset(pair)},
        )

    def _ask_at_once(self, graph: Graph, ids: tuple[str, ...], request: Request) -> None:
        """Ask each device all that is not known yet in one call: its limit costs a thread."""
        whole = None if request.pins else self.whole(graph)
        stages = graph.stages if whole is None else (*graph.stages, whole)
        for device_id in ids:
            keys = [self._key(stage, device_id, request) for stage in stages]
            new = [s for s, key in zip(stages, keys, strict=True) if key not in self._asked]
            self._asked.update(keys)
            if all(self._devices.pool.refusal(device_id, s.operators) for s in new):
                continue  # it need not be opened
            opened = self._devices.pool.usable(device_id)
            if opened is not None:
                with contextlib.suppress(PluginError, DeviceError):  # the next who asks is told
                    opened.at_once(partial(self._candidates_of, opened, new, request))

    def _candidates_of(self, opened: Opened, stages: Sequence[Stage], request: Request) -> None:
        for stage in stages:
            self.candidate(stage, opened.id, request)

    def _memory(self, device_ids: set[str]) -> dict[str, int]:
        """Bytes of the devices that say so and have memory of their own; the host can swap."""
        infos = [self._devices.pool.info(device_id) for device_id in sorted(device_ids)]
        return {i.id: i.mem_bytes for i in infos if i.mem_bytes is not None and i.kind != "cpu"}

    def whole(self, graph: Graph) -> Stage | None:
        """All stages of a graph as one; None where there is one only, or they can't be fused."""
        if graph.fuse is None or len(graph.stages) == 1:
            return None
        if graph not in self._wholes:
            self._wholes[graph] = graph.fused([stage.name for stage in graph.stages])
        return self._wholes[graph]

    def candidate(self, stage: Stage, device_id: str, request: Request) -> Candidate:
        """The cost of a stage on a device, or why it refuses; opened if it may run it."""
        evidence = self._devices.pool.info(device_id).evidence
        refusal = self._devices.refusal(stage, device_id, request)
        if refusal:
            return Candidate(device_id=device_id, refusal=refusal, evidence=evidence)
        try:
            device = self._devices.pool.use(device_id)
            estimate = self._estimate(stage, device, request)
        except (PluginError, DeviceError) as error:
            self._devices.pool.check_open()
            return Candidate(device_id=device_id, refusal=error.message, evidence=evidence)
        moved = sum(s.nbytes(request.batch) for s in (*stage.inputs, *stage.outputs))
        return Candidate(
            device_id=device_id,
            estimate=estimate,
            moved_bytes=0 if device.info.kind == "cpu" else moved,
            reads_model=self._devices.pool.reads(device_id, stage.artifact.format),
            evidence=evidence,
        )

    def measured(
        self, stage: Stage, device: Opened, latency: LatencyClass, samples: tuple[Sample, ...]
    ) -> None:
        """Put measurements into the history."""
        self._history.add(_key(device, latency), stage.fingerprint, latency, samples)
        self._placements.clear()
        self._samples.clear()
        self._estimates.clear()
        self._asked.clear()

    def _options(
        self, graph: Graph, stage: Stage, ids: tuple[str, ...], request: Request
    ) -> StageOptions:
        return StageOptions(
            name=stage.name,
            predecessors=graph.predecessors(stage),
            candidates=self._candidates(graph, stage, ids, request),
            pinned_to=request.pins.get(stage.name, ()),
            read_bytes=self._read_bytes(graph, stage, request.batch),
        )

    def _read_bytes(self, graph: Graph, stage: Stage, batch: int) -> dict[str, int]:
        """What it reads of each stage before it; where no link costs anything, nobody asks."""
        read: dict[str, int] = {}
        for spec in stage.inputs if self._devices.pool.links else ():
            source = graph.producers.get(spec.name)
            if source is not None:
                read[source] = read.get(source, 0) + spec.nbytes(batch)
        return read

    def _candidates(
        self, graph: Graph, stage: Stage, ids: tuple[str, ...], request: Request
    ) -> tuple[Candidate, ...]:
        before = self._devices.pool.why_out()
        asked = tuple(
            self._from_home(graph, stage, self.candidate(stage, i, request), request.batch)
            for i in ids
            if i not in before
        )
        known = {info.id: info.evidence for info in self._devices.pool.infos}
        out = (
            Candidate(device_id=d, refusal=r, evidence=known.get(d, "")) for d, r in before.items()
        )
        return (*asked, *out)

    def _from_home(self, graph: Graph, stage: Stage, candidate: Candidate, batch: int) -> Candidate:
        """With the way of the caller's own arrays to a device elsewhere, and of results back."""
        links = self._devices.pool.links
        if not links or candidate.estimate is None:
            return candidate
        there, back = links.get((HOME, candidate.device_id)), links.get((candidate.device_id, HOME))
        given = [spec.nbytes(batch) for spec in stage.inputs if spec.name not in graph.producers]
        wanted = [spec.nbytes(batch) for spec in stage.outputs if spec.name in graph.outputs]
        way_s = there.seconds(sum(given)) if given and there is not None else 0.0
        way_s += back.seconds(sum(wanted)) if wanted and back is not None else 0.0
        estimate = candidate.estimate
        return attrs.evolve(
            candidate, estimate=attrs.evolve(estimate, seconds=estimate.seconds + way_s)
        )

    def _whole_options(
        self, graph: Graph, ids: tuple[str, ...], request: Request
    ) -> StageOptions | None:
        """All stages as one, on the devices that every pin allows."""
        allowed = set(ids).intersection(*request.pins.values())
        stage = self.whole(graph) if allowed else None
        if stage is None:
            return None
        mine = tuple(i for i in ids if i in allowed)
        return StageOptions(
            name=stage.name, candidates=self._candidates(graph, stage, mine, request)
        )

    def crossovers(self, graph: Graph, request: Request) -> list[Crossover]:
        """For each stage with a choice, the batch size at which its two cheapest devices tie."""
        found = []
        for stage in graph.stages:
            asked = (self.candidate(stage, i, request) for i in self._devices.pool.present_ids())
            able = sorted((c for c in asked if c.estimate), key=_seconds)[:2]
            if len(able) == 2:
                with contextlib.suppress(PluginError, DeviceError):  # told where it counts
                    first, second = (self._devices.pool.use(c.device_id) for c in able)
                    found += self._crossover(stage, first, second, request)
        return found

    def _crossover(
        self, stage: Stage, first: Opened, second: Opened, request: Request
    ) -> list[Crossover]:
        ask = partial(self._predict, stage, request=request)
        batch = crossover(partial(ask, first), partial(ask, second))
        if batch is None:
            return []
        wins = ask(first, 1).seconds <= ask(second, 1).seconds
        below, above = (first, second) if wins else (second, first)
        return [Crossover(stage=stage.name, below=below.id, above=above.id, batch=batch)]

    def _estimate(self, stage: Stage, device: Opened, request: Request) -> Estimate:
        key = self._key(stage, device.id, request)
        found = self._estimates.get(key)
        if found is None:
            found = self._predict(stage, device, request.batch, request=request)
            self._estimates[key] = found
        return found

    def _key(self, stage: Stage, device_id: str, request: Request) -> Key:
        return device_id, stage.fingerprint, request.latency, request.workload, request.batch

    def _predict(self, stage: Stage, device: Opened, batch: int, *, request: Request) -> Estimate:
        def prior(batch: int) -> Estimate:
            task = Task(
                stage=stage, batch=batch, latency=request.latency, workload=request.workload
            )
            return device.estimate(task)

        key = _key(device, request.latency), stage.fingerprint, request.latency
        samples = self._samples.get(key)
        if samples is None:
            samples = self._samples[key] = self._history.samples(*key)
        return predict(prior, samples, batch)


def _seconds(candidate: Candidate) -> float:
    return candidate.estimate.seconds if candidate.estimate else math.inf


def _key(device: Opened, latency: LatencyClass) -> str:
    """What a measured cost belongs to: the device and the host threads that one run gets."""
    return f"{device.info.fingerprint}|{device.takes(latency).host_threads} threads"
