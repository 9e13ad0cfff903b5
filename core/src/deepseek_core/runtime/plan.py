"""A plan: where each stage runs, why, and the runs themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from deepseek_core.contracts.errors import TensorLost, TensorMismatch
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.units import as_count, as_path
from deepseek_core.runtime import pipeline, trace
from deepseek_core.runtime.planner import Planner
from deepseek_core.runtime.quick import Quick, quick_run
from deepseek_core.runtime.request import Request
from deepseek_core.runtime.residents import Readers, Transfers, transfers
from deepseek_core.runtime.result import Result, pick
from deepseek_core.runtime.routes import Route
from deepseek_core.runtime.runner import StageRunner
from deepseek_core.schedule.alone import ALONE

if TYPE_CHECKING:
    from deepseek_core.contracts.events.base import Event
    from deepseek_core.contracts.place import Place
    from deepseek_core.schedule.problem import Crossover, Placement, Problem

# A batch that workers run costs some 70 us of their own.
_SHORT_S: Final = 200e-6
_SHORT_ALONE_S: Final = 1e-3  # on a device that runs one at a time
_LONG_S: Final = 10e-3
_SLOW_IN_A_ROW: Final = 3  # a busy machine makes some runs slow that are short


class Plan:
    """Made by `Session.plan`; close it, or use it in a `with`, to free its executables."""

    def __init__(
        self,
        planner: Planner,
        graph: Graph,
        request: Request,
        *,
        strict: bool = False,
        emit: Callable[[Event], None] = lambda _event: None,
        runner: StageRunner | None = None,
    ) -> None:
        self.graph = graph
        self.request = request
        self._planner = planner
        self._strict, self._emit = strict, emit
        self._runner = runner or StageRunner(planner, graph, request, strict=strict, emit=emit)
        self._quick: Quick | None = None

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
        return self._runner.devices

    def device_name(self, device_id: str) -> str:
        """What a device calls itself, such as `AMD EPYC`."""
        return self._planner.pool.info(device_id).name

    @property
    def has_choice(self) -> bool:
        """Whether more than one device, or a cut, was to be considered."""
        return self._runner.only is None

    @property
    def transfers(self) -> Transfers:
        """Copies of one batch between the host and devices with memory of their own."""
        pool, route = self._planner.pool, self._runner.routes[0]
        return transfers(
            route.graph,
            route.devices,
            self.request.batch,
            has_memory=lambda i: not pool.info(i).uses_host_cores and pool.info(i).kind != "cpu",
            keeps=lambda i: pool.use(i).device.keeps_tensors is True,
        )

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

    def elsewhere(self, place: Place) -> Plan:
        """The same plan with its devices opened in a place; it is closed apart from this one.

        Raises:
            NoDevice: a stage that no device can run there.
        """
        planner = self._planner.elsewhere(place)
        return Plan(planner, self.graph, self.request, strict=self._strict, emit=self._emit)

    def explain(self) -> str:
        """Candidates, estimated and measured costs, the choice and its reason, as text."""
        from deepseek_core.schedule import explain

        told = explain.as_text(
            self._runner.problem, self.placement, self._measured(), self._crossovers()
        )
        return f"{self.graph.batch_text}\n{told}{self._copies()}"

    def _copies(self) -> str:
        """A line where a device keeps tensors between stages: what is copied in spite of that."""
        pool = self._planner.pool
        if not any(pool.use(i).device.keeps_tensors is True for i in self._runner.used):
            return ""
        told = self.transfers
        return (
            f"\ncopies of a batch: {told.to_device} to devices, {told.to_host} to the host, "
            f"{told.nbytes:,} bytes"
        )

    def reasons(self) -> list[str]:
        """Why each stage runs where it runs, in a sentence each."""
        if self._runner.only is not None:
            return [f"{self.graph.stages[0].name} runs on {self._runner.only}{ALONE}."]
        from deepseek_core.schedule import sentences

        problem = self.problem
        return [sentences.sentence(problem, self.placement, stage) for stage in problem.stages]

    def to_json(self) -> dict[str, Any]:
        """The same for scripts."""
        from deepseek_core.schedule import explain

        return {
            "graph": self.graph.name,
            "latency": self.request.latency.value,
            "workload": self.request.workload.value,
            "batch": self.request.batch,
            "deadline_s": self.request.deadline_s,
            "meets_deadline": self.meets_deadline,
            "batch_axis": {
                "source": self.graph.batching.source,
                "symbol": self.graph.batching.symbol or None,
                "batched": self.graph.is_batched,
                "text": self.graph.batch_text,
            },
            **explain.as_json(
                self._runner.problem, self.placement, self._measured(), self._crossovers()
            ),
            "transfers": self.transfers.to_json(),
            "notices": list(self.notices),
        }

    def warmup(self) -> None:
        """Load and warm up every stage, so that the first run is as fast as the next.

        Raises:
            StageFailed: a stage could be loaded nowhere.
        """
        self._runner.prepare(self.request.batch)

    def run(self, inputs: Mapping[str, Any]) -> Result:
        """Run one batch: arrays by input name.

        It runs in the caller's own thread, which can't be called back from a device that hangs;
        where the plan was made with `hang_s`, others run it, and it moves on after that time.

        Raises:
            TensorMismatch: an input is missing or does not fit.
            StageFailed: a stage failed and no other device can take it.
            DeviceClosed: the session or the plan is closed.
        """
        quick = self._quick or self._find_quick()
        result = None if quick is None else quick(inputs, 0)
        return self._the_long_way(inputs, 0) if result is None else result

    def _the_long_way(self, inputs: Mapping[str, Any], sequence: int) -> Result:
        self._quick = None  # of a device that failed, maybe
        return self._run_route(inputs, sequence)

    def _find_quick(self) -> Quick | None:
        """The short way for a plan of one stage; made when it is first needed."""
        self._check_open()
        if self.request.hang_s is None:  # else nothing runs in the caller's thread
            self._quick = quick_run(self._runner, self.graph)
        return self._quick

    def _run_route(self, inputs: Mapping[str, Any], sequence: int) -> Result:
        self._check_open()
        start_s = time.perf_counter()
        route = self._runner.route(0)
        if not route.is_chain or self.request.hang_s is not None:
            (result,) = pipeline.stream(self._runner, self.graph, [inputs], limit=1, first=sequence)
            return result
        given = self.graph.admit(inputs)
        items = self.graph.items(given)
        batch = 1 if items is None else items
        tensors, ran_on = self._run_chain(route, given, sequence, batch)
        return Result(
            outputs=pick(self.graph, tensors),
            ran_on=ran_on,
            seconds=time.perf_counter() - start_s,
            batch=batch,
            sequence=sequence,
        )

    def _run_chain(
        self, route: Route, given: Mapping[str, Any], sequence: int, batch: int
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The stages of a route one after the other, again where tensors of theirs are lost."""
        for start in range(pipeline.MOST_STARTS):
            tensors, ran_on = dict(given), dict[str, str]()
            readers = Readers(route.reads)
            try:
                for stage in route.graph.stages:
                    outputs, where = self._runner.run(
                        route, stage, tensors, sequence=sequence, batch=batch
                    )
                    tensors.update(outputs)
                    readers.done(stage, tensors)
                    ran_on.update(where)
            except TensorLost:
                if start + 1 == pipeline.MOST_STARTS:
                    raise
            else:
                break
        return tensors, ran_on

    def stream(
        self, batches: Iterable[Mapping[str, Any]], *, max_in_flight: int | None = None
    ) -> Iterator[Result]:
        """Run many batches, stages overlapped over the devices; results in order.

        `max_in_flight` bounds the batches between the first stage and the last; by default
        enough that no device waits. Arrays are not copied: leave those of a batch as they are
        until its result is there.

        Raises:
            TensorMismatch: a batch does not fit the inputs.
            StageFailed: the first stage that failed, with its device.
            ConfigError: `max_in_flight` is not a number of 1 or more.
            DeviceClosed: the session or the plan is closed.
        """
        self._check_stream(batches)
        limit = self._enough_in_flight()
        if max_in_flight is not None:
            limit = as_count("max_in_flight", max_in_flight)
        return self._stream(batches, limit)

    def _check_stream(self, batches: object) -> None:
        self._check_open()
        if isinstance(batches, Mapping) or not isinstance(batches, Iterable):
            raise TensorMismatch(
                f"stream takes many batches; given one {type(batches).__name__}",
                remedy="pass a list of them, or use run for one",
            )

    def _stream(self, batches: Iterable[Mapping[str, Any]], limit: int) -> Iterator[Result]:
        rest, number = iter(batches), 0
        for result in self._in_this_thread(rest):
            yield result
            number += 1
        yield from pipeline.stream(self._runner, self.graph, rest, limit=limit, first=number)

    def _in_this_thread(self, batches: Iterator[Mapping[str, Any]]) -> Iterator[Result]:
        """Batches one by one as long as runs are so short that handing them over costs more."""
        quick = self._quick or self._find_quick()
        if quick is None:
            return
        many = self._runner.slots(next(iter(self._runner.used))) > 1
        short_s = _SHORT_S if many else _SHORT_ALONE_S
        slow = 0
        for number, inputs in enumerate(batches):
            result = quick(inputs, number)
            yield self._the_long_way(inputs, number) if result is None else result
            if result is None or result.seconds > _LONG_S:
                return
            slow = slow + 1 if result.seconds > short_s else 0
            if slow == _SLOW_IN_A_ROW:
                return

    def _enough_in_flight(self) -> int:
        return 2 * sum(self._runner.slots(d) for d in self._runner.used) + 1

    def write_trace(self, path: str | Path) -> None:
        """Write what ran so far as a Chrome trace, which Perfetto opens.

        Raises:
            WriteError: it can't be written.
        """
        trace.write_trace(as_path("path", path), self.spans, self.depths)

    def occupancy(self) -> dict[str, float]:
        """Device -> share of the run in which its slots were busy."""
        return trace.occupancy(self.spans)

    def _crossovers(self) -> list[Crossover]:
        return self._planner.problems.crossovers(self.graph, self.request)

    def _measured(self) -> dict[tuple[str, str], float]:
        return self._runner.recorder.medians()

    def _check_open(self) -> None:
        self._runner.check_open()

    def close(self) -> None:
        """Free the executables; idempotent. Later runs raise `DeviceClosed`."""
        self._quick = None
        self._runner.close()

    def __repr__(self) -> str:
        from deepseek_core.runtime.shown import plan_line

        decided = self._runner.placement if self.has_choice else None
        return plan_line(self.graph.name, self.devices, decided)

    def _repr_html_(self) -> str:
        from deepseek_core.runtime.shown import plan_html

        return plan_html(self.graph, self.problem, self.placement)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
