"""Runs one stage of one batch where it is placed; places it again when its device fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from deepseek_core.contracts.device import Executable, LoadOptions
from deepseek_core.contracts.errors import (
    DeepSeekError,
    DeviceError,
    InputError,
    NoDevice,
    OutOfMemory,
    StageFailed,
)
from deepseek_core.contracts.event import DeviceQuarantined, Event
from deepseek_core.contracts.graph import Array, Graph, Stage
from deepseek_core.discovery.strangers import is_a, one_line, raise_if_ours, told
from deepseek_core.runtime.interrupts import stop_if_interrupted
from deepseek_core.runtime.planner import Planner, Request
from deepseek_core.runtime.trace import Recorder, Span
from deepseek_core.schedule.problem import Placement, Problem
from deepseek_core.schedule.throughput.turns import RoundRobin

_log = logging.getLogger(__name__)
T = TypeVar("T")


class StageRunner:
    """Owns the executables of a plan; safe to use from the workers of all devices.

    Not strict: a device that is lost or crashes is quarantined, its stages are placed
    again, and the batch at hand runs there. Strict: the first failure ends the run.
    """

    def __init__(
        self,
        planner: Planner,
        graph: Graph,
        request: Request,
        *,
        strict: bool,
        emit: Callable[[Event], None],
    ) -> None:
        self._planner, self._graph, self._request = planner, graph, request
        self._strict, self._emit = strict, emit
        self._loaded: dict[tuple[str, str], Executable] = {}
        self._lock = threading.RLock()
        self.recorder = Recorder()
        self.notices: list[str] = []
        self.problem: Problem
        self.placement: Placement
        self._decide()

    def slots(self, device_id: str) -> int:
        """How many runs at once the device takes."""
        return self.problem.concurrency[device_id].slots

    def device_of(self, stage: Stage, sequence: int) -> str:
        """Where the stage of a batch is placed now; batches take the routes in turn."""
        return self._route(sequence)[stage.name]

    def _route(self, sequence: int) -> Mapping[str, str]:
        routes = self.placement.routes
        if len(routes) == 1:
            return routes[0][0]
        with self._lock:
            while len(self._turns) <= sequence:
                self._turns.append(self._round_robin.next())
            return routes[self._turns[sequence]][0]

    def _decide(self) -> None:
        self.problem, self.placement = self._planner.decide(self._graph, self._request)
        self._round_robin = RoundRobin([share for _, share in self.placement.routes])
        self._turns: list[int] = []

    def prepare(self, batch: int) -> None:
        """Load and warm up every stage wherever it is placed.

        Raises:
            StageFailed: it could not be loaded there nor anywhere else.
        """
        for stage in self._graph.stages:
            for device_id in self.placement.shares(stage.name):
                self._persist(
                    stage, lambda executable: executable.warmup(batch), device_id=device_id
                )

    def run(
        self, stage: Stage, tensors: Mapping[str, Array], *, sequence: int, batch: int, slot: int
    ) -> tuple[Mapping[str, Array], str]:
        """Outputs of the stage and the device that made them.

        Raises:
            InputError: the inputs do not fit.
            StageFailed: it failed and no other device can take it.
        """
        inputs = {spec.name: tensors[spec.name] for spec in stage.inputs}

        def once(executable: Executable) -> Mapping[str, Array]:
            start_s = time.perf_counter()
            outputs = executable.run(inputs)
            end_s = time.perf_counter()
            device_id = executable.device_id
            self.recorder.add(Span(stage.name, device_id, slot, sequence, batch, start_s, end_s))
            return outputs

        device_id = self.device_of(stage, sequence)
        return self._persist(stage, once, device_id=device_id)

    def _persist(
        self, stage: Stage, action: Callable[[Executable], T], *, device_id: str
    ) -> tuple[T, str]:
        """Do it on this device, and elsewhere when that one fails."""
        while True:
            try:
                return action(self._executable(stage, device_id)), device_id
            except InputError:
                raise
            except BaseException as error:  # noqa: BLE001 - a driver may raise anything
                raise_if_ours(error)
                stop_if_interrupted(error)
                device_id = self._recover(stage, device_id, error)

    def _executable(self, stage: Stage, device_id: str) -> Executable:
        key = stage.name, device_id
        with self._lock:
            if key not in self._loaded:
                options = LoadOptions(latency=self._request.latency, strict=True)
                self._loaded[key] = self._planner.pool.open(device_id).load(stage, options)
            return self._loaded[key]

    def _recover(self, stage: Stage, device_id: str, error: BaseException) -> str:
        """Place what the failed device had again; returns where this stage runs now.

        Raises:
            StageFailed: strict, not worth a retry, or nobody else can run it.
        """
        reason = one_line(error)
        if self._strict:
            raise _failed(stage, device_id, error, None) from error
        with self._lock:
            # Unless another worker placed it again already.
            if device_id in self.placement.shares(stage.name):
                self._put_out(stage, device_id, error, reason)
                try:
                    self._decide()
                except NoDevice as nobody:
                    raise _failed(stage, device_id, error, nobody) from error
                moved = " and ".join(self.placement.shares(stage.name))
                self._note(
                    f"stage {stage.name} failed on {device_id} ({reason}) and moved to {moved}"
                )
            return self.placement.devices[stage.name]

    def _put_out(self, stage: Stage, device_id: str, error: BaseException, reason: str) -> None:
        """A device that is gone gets no more work; one that refuses a stage keeps the others."""
        refused = isinstance(error, DeepSeekError) and not error.retryable
        if refused or isinstance(error, OutOfMemory):
            self._planner.exclude(device_id, stage, reason)
        elif self._planner.pool.quarantine(device_id, reason):
            self._emit(DeviceQuarantined(time_s=time.time(), device_id=device_id, reason=reason))

    def _note(self, text: str) -> None:
        _log.warning("%s", text)
        self.notices.append(text)

    def close(self) -> None:
        """Free the executables; idempotent."""
        with self._lock:
            loaded, self._loaded = list(self._loaded.values()), {}
        for executable in loaded:
            executable.close()


def _failed(
    stage: Stage, device_id: str, error: BaseException, nobody: NoDevice | None
) -> StageFailed:
    text = told(error)[0] if is_a(error, DeepSeekError) else one_line(error)
    elsewhere = f"; {nobody.message}" if nobody is not None else ""
    remedy = error.remedy if isinstance(error, DeviceError) else None
    return StageFailed(
        f"stage {stage.name!r} failed on {device_id}: {text}{elsewhere}",
        stage=stage.name,
        device_id=device_id,
        remedy=remedy or "`ds-sdk devices` shows what is there; `--debug` shows the traceback",
    )
