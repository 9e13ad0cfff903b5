"""A stream of batches through the stages: one queue and `slots` workers for each device.

At most `limit` batches are in flight, so memory stays bounded whatever the stages do.
Older batches go first, results leave in order, the first error ends the stream.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from deepseek_core.contracts.errors import Interrupted
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.runtime.interrupts import held_back
from deepseek_core.runtime.result import Result, pick
from deepseek_core.runtime.routes import Route
from deepseek_core.runtime.runner import StageRunner

_NO_MORE: Final[Any] = object()
_LOOK_S: Final = 0.05  # how long Ctrl-C may have to wait


class _Flight:
    """A batch on its way: its tensors so far, and how many stages each stage waits for."""

    def __init__(self, route: Route, sequence: int, inputs: Mapping[str, Array], batch: int):
        self.route, self.sequence, self.batch = route, sequence, batch
        self.tensors = dict(inputs)
        self.waits = dict(route.waits)
        self.left = len(route.graph.stages)
        self.ran_on: dict[str, str] = {}
        self.start_s = time.perf_counter()


class _Pipeline:
    def __init__(self, runner: StageRunner) -> None:
        self._runner = runner
        # One condition guards everything: a batch costs milliseconds, a lock microseconds.
        self._changed = threading.Condition()
        self._ready: dict[str, list[tuple[int, int, _Flight, Stage]]] = {}
        self._workers: list[threading.Thread] = []
        self._done: dict[int, _Flight] = {}
        self._error: BaseException | None = None
        self._stopping = False
        self._pid = os.getpid()

    def submit(self, flight: _Flight) -> None:
        """Start a batch with the stages that wait for nobody."""
        self._check_process()
        with held_back(), self._changed:
            for stage in flight.route.graph.stages:
                if flight.waits[stage.name] == 0:
                    self._enqueue(flight, stage)

    def take(self, sequence: int) -> _Flight:
        """Wait for one batch; raises the first error of the stream."""
        self._check_process()
        with held_back() as came, self._changed:
            while self._error is None and sequence not in self._done:
                if came:
                    raise KeyboardInterrupt
                self._changed.wait(_LOOK_S)  # Ctrl-C, held back, wakes nobody
            if self._error is not None:
                raise self._error
            return self._done.pop(sequence)

    def stop(self) -> None:
        """Let the running tasks end, drop the others, join the workers."""
        if os.getpid() != self._pid:
            return  # the workers, and whoever held the lock, stayed in the other process
        with held_back(), self._changed:
            self._stopping = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise Interrupted(
                "the process was forked in the middle of a stream; only its parent goes on with it",
                remedy="open a session and a stream of its own in each process",
            )

    def _enqueue(self, flight: _Flight, stage: Stage) -> None:
        device_id = flight.route.devices[stage.name]
        if device_id not in self._ready:
            self._ready[device_id] = []
            for slot in range(self._runner.slots(device_id)):
                self._start_worker(device_id, slot)
        item = (flight.sequence, flight.route.order[stage.name], flight, stage)
        heapq.heappush(self._ready[device_id], item)
        self._runner.recorder.queued(device_id, len(self._ready[device_id]))
        self._changed.notify_all()

    def _start_worker(self, device_id: str, slot: int) -> None:
        worker = threading.Thread(
            target=self._work, args=(device_id,), name=f"{device_id}-{slot}", daemon=True
        )
        self._workers.append(worker)
        worker.start()

    def _work(self, device_id: str) -> None:
        ready = self._ready[device_id]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(ready) or self._stopping)
                if self._stopping:
                    return
                _, _, flight, stage = heapq.heappop(ready)
                self._runner.recorder.queued(device_id, len(ready))
            try:
                outputs, ran_on = self._runner.run(
                    flight.route, stage, flight.tensors,
                    sequence=flight.sequence, batch=flight.batch,
                )  # fmt: skip
                self._finish(flight, stage, outputs, ran_on)
            except BaseException as error:  # noqa: BLE001 - the consumer must see every outcome
                self._fail(error)
                return

    def _finish(
        self, flight: _Flight, stage: Stage, outputs: Mapping[str, Array], ran_on: Mapping[str, str]
    ) -> None:
        with self._changed:
            flight.tensors.update(outputs)
            flight.ran_on.update(ran_on)
            flight.left -= 1
            for follower in flight.route.followers[stage.name]:
                flight.waits[follower.name] -= 1
                if flight.waits[follower.name] == 0:
                    self._enqueue(flight, follower)
            if flight.left == 0:
                self._done[flight.sequence] = flight
                self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._stopping = True
            self._changed.notify_all()


def stream(
    runner: StageRunner,
    graph: Graph,
    batches: Iterable[Mapping[str, Any]],
    *,
    limit: int,
    first: int = 0,
) -> Iterator[Result]:
    """Results of the batches, numbered from `first`, in order; its workers stop at its end.

    Raises:
        InputError: a batch that does not fit the graph's inputs.
        StageFailed: the first stage that failed, with its device.
    """
    pipeline = _Pipeline(runner)
    incoming = iter(batches)
    submitted = taken = first
    exhausted = False
    try:
        while True:
            while not exhausted and submitted - taken < limit:
                given = next(incoming, _NO_MORE)
                if given is _NO_MORE:
                    exhausted = True
                    break
                inputs = graph.admit(given)
                items = graph.items(inputs)
                batch = 1 if items is None else items
                pipeline.submit(_Flight(runner.route(submitted), submitted, inputs, batch))
                submitted += 1
            if taken == submitted:
                return
            yield _result(graph, pipeline.take(taken))
            taken += 1
    finally:
        pipeline.stop()


def _result(graph: Graph, flight: _Flight) -> Result:
    return Result(
        outputs=pick(graph, flight.tensors),
        ran_on=flight.ran_on,
        seconds=time.perf_counter() - flight.start_s,
        batch=flight.batch,
        sequence=flight.sequence,
    )
