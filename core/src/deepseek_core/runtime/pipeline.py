"""A stream of batches through the stages: one queue and `slots` workers for each device.

At most `limit` batches are in flight, so memory stays bounded whatever the stages do.
Older batches go first, results leave in order, the first error ends the stream. A run that takes
far too long is left behind with its device; another thread does the same elsewhere.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final

from deepseek_core.contracts.errors import DeviceLost, Interrupted, StageFailed, TensorLost
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.contracts.units import format_seconds
from deepseek_core.runtime.interrupts import held_back
from deepseek_core.runtime.limits import PATIENT_S
from deepseek_core.runtime.residents import Readers
from deepseek_core.runtime.result import Result, pick
from deepseek_core.runtime.routes import Route
from deepseek_core.runtime.runner import StageRunner

_NO_MORE: Final[Any] = object()
_LOOK_S: Final = 0.05  # how long Ctrl-C may have to wait
_MOST_ATTEMPTS: Final = 3  # devices that may hang in a stage of a batch
MOST_STARTS: Final = 10
"""How often a batch may begin whose tensors are lost; each time a device is left out."""


class _Flight:
    """A batch on its way: its tensors so far, and how many stages each stage waits for.

    `start` counts its starts: one whose tensors are lost begins again, and `is_dropped`.
    """

    def __init__(
        self,
        route: Route,
        sequence: int,
        inputs: Mapping[str, Array],
        batch: int,
        start: int = 1,
    ):
        self.route, self.sequence, self.batch = route, sequence, batch
        self.inputs, self.start, self.is_dropped = inputs, start, False
        self.tensors = dict(inputs)
        self.readers = Readers(route.reads)  # who still reads a tensor: freed after the last one
        self.waits = dict(route.waits)
        self.left = len(route.graph.stages)  # stages that have not ended
        self.ran_on: dict[str, str] = {}  # stage -> device
        self.start_s = time.perf_counter()


class _Attempt:
    """A stage of a batch at work on a device, until when, and whether it was given up since."""

    def __init__(self, flight: _Flight, stage: Stage, number: int, limit_s: float) -> None:
        self.flight, self.stage, self.number = flight, stage, number
        self.given_up = False
        self.thread = threading.current_thread()
        self.begins(flight.route, stage, limit_s)

    def begins(self, route: Route, part: Stage, limit_s: float) -> None:
        """Note what is asked of which device now; of one that was given up, where it hung stays."""
        if self.given_up:
            return
        self.route, self.part, self.limit_s = route, part, limit_s
        self.start_s = time.perf_counter()
        self.until_s = self.start_s + limit_s

    def waits_on(self) -> bool:
        """Give it more time, unless it had that: nobody else could do it."""
        before, self.limit_s = self.limit_s, max(self.limit_s, PATIENT_S)
        self.until_s = self.start_s + self.limit_s
        return self.limit_s > before

    @property
    def device_id(self) -> str:
        """The device at work."""
        return self.route.devices[self.part.name]


class _Pipeline:
    def __init__(self, runner: StageRunner) -> None:
        self._runner = runner
        # One lock guards everything: a batch costs milliseconds, a lock microseconds. Who waits
        # is woken by what concerns it alone: a device far away has many workers.
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)  # a batch, or the stream
        self._queued: dict[str, threading.Condition] = {}  # one more stage for a device, or the end
        # by device: a heap of (batch, position of the stage), oldest first
        self._ready: dict[str, list[tuple[int, int, _Flight, Stage]]] = {}
        self._workers: list[threading.Thread] = []
        self._attempts: set[_Attempt] = set()  # runs that somebody waits for
        self._left: dict[threading.Thread, str] = {}  # in a call that hangs, on which device
        self._done: dict[int, _Flight] = {}  # by number: batches that ended before an earlier one
        self._error: BaseException | None = None
        self._stopping = False
        self._pid = os.getpid()

    def submit(self, flight: _Flight) -> None:
        """Start a batch with the stages that wait for nobody."""
        self._check_process()
        with held_back(), self._lock:
            for stage in flight.route.graph.stages:
                if flight.waits[stage.name] == 0:
                    self._enqueue(flight, stage)

    def _begin_anew(self, flight: _Flight) -> None:
        """Start a batch again from its inputs, on the devices that are left."""
        route = self._runner.route(flight.sequence)
        again = _Flight(route, flight.sequence, flight.inputs, flight.batch, flight.start + 1)
        with self._lock:
            if flight.is_dropped:
                return  # another stage of it came first
            flight.is_dropped = True
            for stage in route.graph.stages:
                if again.waits[stage.name] == 0:
                    self._enqueue(again, stage)

    def take(self, sequence: int) -> _Flight:
        """Wait for one batch; raises the first error of the stream."""
        self._check_process()
        with held_back() as came, self._lock:
            while self._error is None and sequence not in self._done:
                if came:
                    raise KeyboardInterrupt
                self._ended.wait(_LOOK_S)  # Ctrl-C, held back, wakes nobody
                self._give_up_hangs()
            if self._error is not None:
                raise self._error
            return self._done.pop(sequence)

    def stop(self) -> None:
        """Let the running tasks end, drop the others, join the workers."""
        if os.getpid() != self._pid:
            return  # the workers, and whoever held the lock, stayed in the other process
        with held_back(), self._lock:
            self._stop_workers()
        for worker in self._workers:
            while worker.is_alive() and not self._is_left_behind(worker):
                worker.join(_LOOK_S)
        for device_id in set(self._left.values()):
            self._runner.leave(device_id, "a run hangs")

    def _is_left_behind(self, worker: threading.Thread) -> bool:
        """Whether the run that a worker waits for hangs; nobody waits for it."""
        with held_back(), self._lock:
            self._give_up_hangs()
            return worker in self._left

    def _give_up_hangs(self) -> None:
        """Let another thread do elsewhere what takes too long; under the lock."""
        now_s = time.perf_counter()
        for attempt in [a for a in self._attempts if a.until_s <= now_s]:
            if not self._runner.may_move(attempt.route, attempt.part) and attempt.waits_on():
                continue
            attempt.given_up = True
            self._attempts.discard(attempt)
            self._left[attempt.thread] = attempt.device_id
            if not self._stopping:
                self._start_worker(attempt.flight.route.devices[attempt.stage.name], attempt)

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
            self._queued[device_id] = threading.Condition(self._lock)
            for _ in range(self._runner.slots(device_id)):
                self._start_worker(device_id)
        item = (flight.sequence, flight.route.order[stage.name], flight, stage)
        heapq.heappush(self._ready[device_id], item)
        self._runner.recorder.queued(device_id, len(self._ready[device_id]))
        self._queued[device_id].notify()

    def _stop_workers(self) -> None:
        self._stopping = True
        for queued in self._queued.values():
            queued.notify_all()

    def _start_worker(self, device_id: str, hung: _Attempt | None = None) -> None:
        worker = threading.Thread(
            target=self._work, args=(device_id, hung), name=f"{device_id} worker", daemon=True
        )
        self._workers.append(worker)
        worker.start()

    def _work(self, device_id: str, hung: _Attempt | None) -> None:
        """Do what is ready for a device, first of all what hangs elsewhere."""
        ready, queued = self._ready[device_id], self._queued[device_id]
        if hung is not None and not self._do(hung.flight, hung.stage, hung):
            return
        while True:
            with queued:
                queued.wait_for(lambda: bool(ready) or self._stopping)
                if self._stopping:
                    return
                _, _, flight, stage = heapq.heappop(ready)
                self._runner.recorder.queued(device_id, len(ready))
            if not self._do(flight, stage):
                return

    def _do(self, flight: _Flight, stage: Stage, hung: _Attempt | None = None) -> bool:
        """Do a stage of a batch; False if this worker is at its end."""
        if flight.is_dropped:
            return True
        if hung is None:
            attempt = _Attempt(flight, stage, 1, self._runner.limit_s(flight.route, stage))
        else:  # what it takes to move is not a time of a run
            attempt = _Attempt(flight, stage, hung.number + 1, self._runner.moving_s)
        with self._lock:
            self._attempts.add(attempt)
        try:
            if hung is not None:
                self._move(hung)
            outputs, ran_on = self._runner.run(
                flight.route, stage, flight.tensors,
                sequence=flight.sequence, batch=flight.batch,
                begins=partial(self._begins, attempt),
            )  # fmt: skip
            with self._lock:
                if attempt.given_up:
                    return False
                self._attempts.discard(attempt)
                if not flight.is_dropped:
                    self._finish(flight, stage, outputs, ran_on)
        except BaseException as error:  # noqa: BLE001 - the consumer must see every outcome
            return self._failed(attempt, error)
        return True

    def _failed(self, attempt: _Attempt, error: BaseException) -> bool:
        """End the stream, or begin the batch again whose tensors are lost; False as `_do`."""
        flight = attempt.flight
        with self._lock:
            if attempt.given_up:
                return False
            self._attempts.discard(attempt)
            if flight.is_dropped:
                return True
            if not isinstance(error, TensorLost) or flight.start >= MOST_STARTS:
                self._fail(error)
                return False
        try:
            self._begin_anew(flight)
        except BaseException as worse:  # noqa: BLE001 - the consumer must see every outcome
            with self._lock:
                self._fail(worse)
            return False
        return True

    def _begins(self, attempt: _Attempt, route: Route, part: Stage) -> None:
        limit_s = self._runner.limit_s(route, part)
        with self._lock:
            attempt.begins(route, part, limit_s)

    def _move(self, hung: _Attempt) -> None:
        """Take the device out in which an attempt hangs.

        Raises:
            StageFailed: no other one can do it, or as many hung as may be tried.
        """
        error = DeviceLost(
            f"no answer after {format_seconds(hung.limit_s)}", device_id=hung.device_id
        )
        self._runner.leave(hung.device_id, error.message)
        self._runner.recover(hung.route, hung.part, error, hangs=True)
        if hung.number >= _MOST_ATTEMPTS:
            raise StageFailed(
                f"stage {hung.stage.name!r} hung on {hung.number} devices, at last on "
                f"{hung.device_id}: {error.message}",
                stage=hung.stage.name,
                device_id=hung.device_id,
            )

    def _finish(
        self, flight: _Flight, stage: Stage, outputs: Mapping[str, Array], ran_on: Mapping[str, str]
    ) -> None:
        flight.tensors.update(outputs)
        flight.readers.done(stage, flight.tensors)
        flight.ran_on.update(ran_on)
        flight.left -= 1
        for follower in flight.route.followers[stage.name]:
            flight.waits[follower.name] -= 1
            if flight.waits[follower.name] == 0:
                self._enqueue(flight, follower)
        if flight.left == 0:
            self._done[flight.sequence] = flight
            self._ended.notify_all()

    def _fail(self, error: BaseException) -> None:
        self._error = self._error or error
        self._stop_workers()
        self._ended.notify_all()


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
