"""A device on a node, as an actor has it."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import (
    Concurrency,
    Device,
    DeviceInfo,
    Estimate,
    Executable,
    LatencyClass,
    LoadOptions,
    Operation,
    Stage,
    Support,
    Task,
    Workload,
    errors,
    places,
)
from deepseek_ray.pieces import cut
from deepseek_ray.pulse import Pulse
from deepseek_ray.tensor import RefTensor
from deepseek_ray.worker import SMALL, Look, nbytes_of

_AHEAD: Final = 3  # runs whose inputs travel while another one computes
_numbers: Final = itertools.count(1)


class RayDevice(Device):
    """Asks, loads and runs in its actor; a call that does not come back ends by the pulse."""

    def __init__(self, info: DeviceInfo, pulse: Pulse, workloads: frozenset[Workload]) -> None:
        self.info, self.workloads = info, workloads
        self.pulse = pulse
        self._known: weakref.WeakKeyDictionary[Stage, int] = weakref.WeakKeyDictionary()
        self._gone: deque[int] = deque()  # numbers of stages that nobody has any more
        self._supports: dict[str, Support] = {}
        self._closed = False
        self._lock = threading.Lock()

    def _call(self, method: Any, *given: Any) -> Any:
        if self._closed:
            raise errors.DeviceClosed(f"{self.info.id} is closed", device_id=self.info.id)
        return self.pulse.result(self.pulse.sent(method, *given))

    def number(self, stage: Stage) -> int:
        """The number of a stage there, where it is carried once."""
        with self._lock:
            found = self._known.get(stage)
            if found is None:
                while self._gone:
                    self.pulse.actor.forget.remote(self._gone.popleft())
                found = next(_numbers)
                self._call(self.pulse.actor.know, found, stage.carried())
                self._known[stage] = found
                weakref.finalize(stage, self._gone.append, found)  # no call of Ray in there
            return found

    def supports(self, operation: Operation) -> Support:
        """Ask the device, once for each operation."""
        key = repr(operation)
        found = self._supports.get(key)
        if found is None:
            found = self._supports[key] = self._call(self.pulse.actor.ask, "supports", operation)
        return found

    def supports_stage(self, stage: Stage, latency: LatencyClass) -> Support:
        """Ask the device."""
        ask, number = self.pulse.actor.ask_about, self.number(stage)
        told: Support = self._call(ask, "supports_stage", number, latency)
        return told

    def estimate(self, task: Task) -> Estimate:
        """Ask the device: a run there, without the transfer."""
        ask, number = self.pulse.actor.estimate, self.number(task.stage)
        told: Estimate = self._call(ask, number, task.batch, task.latency, task.workload)
        return told

    def concurrency(self, latency: LatencyClass) -> Concurrency:
        """Slots, with one run ahead; the cores that it takes are not those of this host."""
        told: Concurrency = self._call(self.pulse.actor.ask, "concurrency", latency)
        return attrs.evolve(told, host_threads=0, ahead=told.ahead + _AHEAD)

    def telemetry(self) -> Mapping[str, float | None]:
        """Ask the device."""
        told: Mapping[str, float | None] = self._call(self.pulse.actor.ask, "telemetry")
        return told

    def load(self, stage: Stage, options: LoadOptions) -> RayExecutable:
        """Load a stage there.

        Raises:
            DeviceError: what the device raised.
            DeviceClosed: after `close`.
        """
        loaded: int = self._call(self.pulse.actor.load, self.number(stage), options)
        return RayExecutable(self, stage, loaded)

    def to_host(self, value: Any) -> NDArray[Any]:
        """A copy of a tensor that lies there."""
        return value.to_host() if isinstance(value, RefTensor) else np.asarray(value)

    def close(self) -> None:
        """End the actor, and all that it has."""
        self._closed = True
        import ray

        if ray.is_initialized():
            ray.kill(self.pulse.actor)


class RayExecutable(Executable):
    """A stage loaded there; what it makes stays there until somebody reads it."""

    def __init__(self, device: RayDevice, stage: Stage, number: int) -> None:
        self.stage, self.device_id = stage, device.info.id
        self._device, self._number = device, number
        self._pulse = device.pulse
        self._inputs = tuple(spec.name for spec in stage.inputs)
        self._outputs = tuple(spec.name for spec in stage.outputs)
        # Each object that Ray returns costs: only outputs that were large once are returned apart.
        self._call = self._calling(list(range(len(self._outputs))))
        self._closed = False

    def _calling(self, left: list[int]) -> tuple[list[int], Any]:
        """The places of outputs that may stay there, and the method that returns so many."""
        method = self._pulse.actor.run
        return left, method.options(num_returns=1 + len(left), concurrency_group="runs")

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run one batch there; tensors that lie on a node go straight from there.

        Raises:
            DeviceLost: the device, or its node, is gone or silent.
            TensorLost: one of its inputs is.
            DeviceError: what the device raised.
            DeviceClosed: after `close`.
        """
        if self._closed:
            raise errors.DeviceClosed(f"{self.device_id} is closed", device_id=self.device_id)
        given: list[Any] = []
        values: list[Any] = []
        remote: dict[str, Pulse] = {}
        for place, name in enumerate(self._inputs):
            if name not in inputs:
                continue
            value = inputs[name]
            if isinstance(value, RefTensor):
                remote[value.ref.hex()] = value.pulse
                value = value.ref
            pieces, look = cut(value)
            given.append([place, len(pieces), look])
            values += pieces
        left, run = self._call
        sent = self._pulse.sent(run, [self._number, given, left], *values)
        answer, *refs = sent if left else [sent]
        try:
            seconds, told = self._pulse.result(answer, *remote.values())
        except errors.TensorLost as error:
            raise _of_maker(error, remote) from error
        stayed = dict(zip(left, refs, strict=True))
        outputs = {
            name: RefTensor(stayed[place], *value, self._pulse) if type(value) is Look else value
            for place, (name, value) in enumerate(zip(self._outputs, told, strict=True))
        }
        large = [i for i, v in enumerate(told) if type(v) is Look or nbytes_of(v) > SMALL]
        if large != left:
            self._call = self._calling(large)
        return places.TimedOutputs(outputs, seconds)

    def warmup(self, batch: int) -> None:
        """Warm up on the device."""
        self._device._call(self._pulse.actor.ask, "warmup", self._number, batch)

    def close(self) -> None:
        """Free it there, without waiting for it."""
        if not self._closed:
            self._closed = True
            if not self._device._closed:
                self._pulse.actor.unload.remote(self._number)


def _of_maker(error: errors.TensorLost, pulses: Mapping[str, Pulse]) -> errors.TensorLost:
    """The error by the name of the device that made what is lost, not of the one that read it."""
    if any(pulse.device_id == error.device_id for pulse in pulses.values()):
        return error
    text = str(error.__cause__)
    maker = next((p for ref, p in pulses.items() if ref in text), None)
    maker = maker or next(iter(pulses.values()), None)
    if maker is None:
        return error
    return errors.TensorLost(
        f"what {maker.device_id} made is gone, as {error.device_id} was to read it",
        device_id=maker.device_id,
    )
