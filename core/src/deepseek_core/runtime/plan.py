"""A plan: where each stage runs, why, and the runs themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from deepseek_core.contracts.event import Event, PlanMade
from deepseek_core.contracts.graph import Array, Graph
from deepseek_core.runtime import pipeline, trace
from deepseek_core.runtime.planner import Planner, Request
from deepseek_core.runtime.result import Result
from deepseek_core.runtime.runner import StageRunner
from deepseek_core.schedule import explain
from deepseek_core.schedule.problem import Crossover, Placement, Problem


class Plan:
    """Made by `Session.plan`; close it, or use it in a `with`, to free its executables."""

    def __init__(
        self,
        planner: Planner,
        graph: Graph,
        request: Request,
        *,
        strict: bool,
        emit: Callable[[Event], None],
    ) -> None:
        self.graph = graph
        self.request = request
        self._planner = planner
        self._runner = StageRunner(planner, graph, request, strict=strict, emit=emit)
        self._is_chain = _is_chain(graph)
        emit(PlanMade(time_s=time.time(), graph=graph.name, placement=dict(self.devices)))

    @property
    def placement(self) -> Placement:
        """The placement as it is now; a lost device changes it."""
        return self._runner.placement

    @property
    def problem(self) -> Problem:
        """What the placement was decided from: candidates, costs, refusals."""
        return self._runner.problem

    @property
    def devices(self) -> Mapping[str, str]:
        """Stage name -> device id; where a stage is shared out, the one with the largest share."""
        return self.placement.devices

    @property
    def notices(self) -> tuple[str, ...]:
        """What happened that the caller should know: stages that moved, and why."""
        return tuple(self._runner.notices)

    @property
    def meets_deadline(self) -> bool | None:
        """Whether the 90 % quantile of a batch is within the deadline; None without one."""
        if self.request.deadline_s is None:
            return None
        return self.placement.value_s <= self.request.deadline_s

    @property
    def spans(self) -> tuple[trace.Span, ...]:
        """Every task that this plan ran, by start."""
        return self._runner.recorder.spans

    @property
    def depths(self) -> tuple[trace.Depth, ...]:
        """How many tasks waited for each device, by time."""
        return self._runner.recorder.depths

    def explain(self) -> str:
        """Candidates, estimated and measured costs, the choice and its reason, as text."""
        return explain.as_text(
            self._runner.problem, self.placement, self._measured(), self._crossovers()
        )

    def to_json(self) -> dict[str, Any]:
        """The same for scripts."""
        return {
            "graph": self.graph.name,
            "latency": self.request.latency.value,
            "workload": self.request.workload.value,
            "batch": self.request.batch,
            "deadline_s": self.request.deadline_s,
            "meets_deadline": self.meets_deadline,
            **explain.as_json(
                self._runner.problem, self.placement, self._measured(), self._crossovers()
            ),
            "notices": list(self.notices),
        }

    def warmup(self) -> None:
        """Load and warm up every stage, so that the first run is as fast as the next.

        Raises:
            StageFailed: a stage could be loaded nowhere.
        """
        self._runner.prepare(self.request.batch)

    def run(self, inputs: Mapping[str, Array]) -> Result:
        """Run one batch: arrays by input name.

        Raises:
            TensorMismatch: an input is missing or does not fit.
            StageFailed: a stage failed and no other device can take it.
        """
        if not self._is_chain:
            return next(self.stream([inputs], max_in_flight=1))
        start_s = time.perf_counter()
        batch = self.graph.check_inputs(inputs)
        tensors, ran_on = dict(inputs), dict[str, str]()
        for stage in self.graph.stages:
            outputs, ran_on[stage.name] = self._runner.run(
                stage, tensors, sequence=0, batch=batch, slot=0
            )
            tensors.update(outputs)
        return Result(
            outputs={name: tensors[name] for name in self.graph.outputs},
            ran_on=ran_on,
            seconds=time.perf_counter() - start_s,
            batch=batch,
        )

    def stream(
        self, batches: Iterable[Mapping[str, Array]], *, max_in_flight: int | None = None
    ) -> Iterator[Result]:
        """Run many batches, stages overlapped over the devices; results in order.

        `max_in_flight` bounds the batches between the first stage and the last; by default
        enough that no device waits.

        Raises:
            TensorMismatch: a batch does not fit the inputs.
            StageFailed: the first stage that failed, with its device.
        """
        limit = max_in_flight or self._enough_in_flight()
        yield from pipeline.stream(self._runner, self.graph, batches, limit=limit)

    def _enough_in_flight(self) -> int:
        return 2 * sum(self._runner.slots(d) for d in self.placement.used()) + 1

    def write_trace(self, path: str | Path) -> None:
        """Write what ran so far as a Chrome trace, which Perfetto opens."""
        trace.write_trace(Path(path), self.spans, self.depths)

    def occupancy(self) -> dict[str, float]:
        """Device -> share of the run in which its slots were busy."""
        return trace.occupancy(self.spans)

    def _crossovers(self) -> list[Crossover]:
        return self._planner.crossovers(self.graph, self.request)

    def _measured(self) -> dict[tuple[str, str], float]:
        return self._runner.recorder.medians()

    def close(self) -> None:
        """Free the executables; idempotent."""
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _is_chain(graph: Graph) -> bool:
    """Whether no two stages could run at once."""
    previous: str | None = None
    for stage in graph.stages:
        if previous is not None and previous not in graph.predecessors(stage):
            return False
        previous = stage.name
    return True
