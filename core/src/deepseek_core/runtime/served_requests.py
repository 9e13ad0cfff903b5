"""Requests on their way through a served graph: slices of batches in, whole batches out."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import Any

import attrs

from deepseek_core.contracts.errors import (
    AdmissionRefused,
    ConfigError,
    DeepSeekError,
    InputError,
)
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.contracts.units import as_duration
from deepseek_core.runtime.result import Result, pick
from deepseek_core.runtime.served_runs import cut, joined
from deepseek_core.schedule.online.records import Part, Reject


def _duration(value: Any) -> float | None:
    return None if value is None else as_duration("deadline_s", value)


class Answer(Future[Result]):
    """A request's future; canceled before it is done, it gives up its place at once.

    What a device runs at that moment is finished for nothing. Who waits holds nothing that a worker
    needs: a signal handler may interrupt it, and close the server that is to answer.
    """

    def __init__(self, withdraw: Callable[[], None]) -> None:
        super().__init__()
        self._withdraw = withdraw
        self._once = threading.Lock()
        self._gates: list[threading.Lock] = []  # of those who wait
        self._is_over = False
        self.add_done_callback(_let_through)

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the answer, up to so many seconds."""
        self._wait(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for what went wrong, None if nothing did."""
        self._wait(timeout)
        return super().exception(0)

    def cancel(self) -> bool:
        """Withdraw the request; whether it was not done yet."""
        if not super().cancel():
            return False
        if self._once.acquire(blocking=False):
            self.set_running_or_notify_cancel()  # tells those who wait for it
            self._withdraw()
        return True

    def _wait(self, timeout: float | None) -> None:
        gate = threading.Lock()
        gate.acquire()
        self._gates.append(gate)  # who lets through from now on sees it; what came before is over
        if not self._is_over:
            gate.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        self._gates.remove(gate)

    def let_through(self) -> None:
        """Wake all who wait; it is done."""
        self._is_over = True
        for gate in list(self._gates):
            gate.release()


def _let_through(future: Future[Result]) -> None:
    if isinstance(future, Answer):
        future.let_through()


@attrs.frozen(kw_only=True)
class Asked:
    """How a request is to be treated: its class, its limit in seconds from now, who asks."""

    latency: LatencyClass | str
    deadline_s: float | None = attrs.field(converter=_duration)
    caller: str

    def __attrs_post_init__(self) -> None:
        if self.latency not in list(LatencyClass):
            raise ConfigError(f"no LatencyClass {self.latency!r}", remedy="use realtime or offline")
        if not isinstance(self.caller, str):
            raise ConfigError(f"caller must be a string, got {self.caller!r}")
        if self.deadline_s is not None and self.latency == LatencyClass.OFFLINE:
            raise ConfigError(
                "offline work fills gaps and has no deadline",
                remedy='ask with latency="realtime", or leave deadline_s out',
            )


class ServedRequest:
    """What one caller wants: its tensors so far, and what of it has not ended.

    `start_s` and `deadline_s` are points of one clock; `waits` has the number of stages that each
    stage waits for.
    """

    def __init__(
        self,
        graph: Graph,
        inputs: Mapping[str, Any],
        asked: Asked,
        *,
        start_s: float,
        withdraw: Callable[[set[int]], None],
    ) -> None:
        self.tensors = graph.admit(inputs)  # by name: inputs, and what stages made of them
        items = graph.items(self.tensors)
        self.batch = 1 if items is None else items
        # Items that may be cut apart and joined with those of others; else it is one call.
        self.divisible = self.batch > 0 and items is not None
        self.latency, self.caller = LatencyClass(asked.latency), asked.caller
        self.start_s = start_s
        self.deadline_s = math.inf if asked.deadline_s is None else start_s + asked.deadline_s
        self.waits = {s.name: len(graph.predecessors(s)) for s in graph.stages}
        self.left = len(graph.stages)  # stages that have not ended
        self.ran_on: dict[str, str] = {}  # stage -> device
        self.tasks: set[int] = set()  # numbers of those that have not ended
        self.failed = False
        self.future = Answer(partial(withdraw, self.tasks))

    def result(self, graph: Graph, now_s: float) -> Result:
        """The answer, once no stage is left."""
        return Result(
            outputs=pick(graph, self.tensors),
            ran_on=self.ran_on,
            seconds=now_s - self.start_s,
            batch=self.batch,
        )


class StageTask:
    """A stage of a request; its outputs arrive in pieces."""

    def __init__(self, request: ServedRequest, stage: Stage) -> None:
        self.request, self.stage = request, stage
        self._pieces: dict[int, Mapping[str, Array]] = {}
        self.divisible = request.divisible and stage.divisible
        self.error: BaseException | None = None
        self.rejected: InputError | None = None

    def piece(self, part: Part) -> dict[str, Array]:
        """The inputs of a part."""
        given = self.request.tensors
        mine = [spec for spec in self.stage.inputs if spec.name in given]
        if not self.divisible:
            return {spec.name: given[spec.name] for spec in mine}
        stop = part.first + part.items
        return {spec.name: cut(given[spec.name], spec, part.first, stop) for spec in mine}

    def put(
        self, part: Part, outputs: Mapping[str, Array], device_id: str, names: Sequence[str]
    ) -> None:
        """Take the outputs of a part; `names` are the user's stages that it stands for."""
        self._pieces[part.first] = outputs
        self.request.ran_on.update(dict.fromkeys(names, device_id))

    def reject(self, error: InputError) -> None:
        """Note that a part of it was refused, while those that ran with it were not."""
        self.rejected = error

    def finish(self) -> None:
        """Put the whole outputs among the request's tensors."""
        pieces = [self._pieces[first] for first in sorted(self._pieces)]
        self.request.tensors.update(joined(self.stage.outputs, pieces))


def answer(future: Future[Result], result: Result) -> None:
    """Let the caller see a result, unless something was there before."""
    with contextlib.suppress(InvalidStateError):
        future.set_result(result)


def fail(future: Future[Result], error: DeepSeekError) -> None:
    """Let the caller see an error, unless something was there before."""
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)


def refusal(refused: Reject) -> AdmissionRefused:
    """The scheduler's refusal as the error that the caller sees."""
    return AdmissionRefused(
        f"refused: {refused.reason}",
        retry_after_s=refused.retry_after_s,
        remedy=_advice(refused.retry_after_s),
    )


def _advice(retry_after_s: float | None) -> str:
    if retry_after_s is None:
        return "give a later deadline or a smaller batch"
    return f"try again in {retry_after_s * 1e3:.0f} ms, or give a later deadline"
