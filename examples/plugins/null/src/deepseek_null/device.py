"""The device: runs `deepseek.null::Sleep`, which hands its input on after a while."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from deepseek_core import (
    Device,
    DeviceInfo,
    Estimate,
    Executable,
    LoadOptions,
    OpenOptions,
    Operation,
    Stage,
    Support,
    Task,
    errors,
)

DOMAIN = "deepseek.null"


def probe() -> Iterable[DeviceInfo]:
    """The one device, which is always there."""
    return [
        DeviceInfo(id="null:0", kind="sim", name="sleeper", evidence="model", fingerprint="null-1")
    ]


def _seconds_per_item(stage: Stage) -> float:
    return sum(float(op.attributes.get("seconds_per_item", 0.0)) for op in stage.operations)


class NullDevice(Device):
    """Knows exactly what a run costs, since it makes the time up."""

    def __init__(self, device_id: str, options: OpenOptions) -> None:
        (self.info,) = probe()
        if device_id != self.info.id:
            raise errors.DeviceUnavailable(f"there is no {device_id}", device_id=device_id)
        self.closed = False

    def supports(self, operation: Operation) -> Support:
        """Only its own operation."""
        if (operation.domain, operation.name) == (DOMAIN, "Sleep"):
            return Support.yes()
        return Support.no(f"runs {DOMAIN}::Sleep only")

    def estimate(self, task: Task) -> Estimate:
        """Exact but for the clock."""
        seconds = _seconds_per_item(task.stage) * task.batch
        return Estimate(seconds=seconds, sigma=0.05, source="model")

    def load(self, stage: Stage, options: LoadOptions) -> Executable:
        """Nothing to compile."""
        if self.closed:
            raise errors.DeviceClosed("the null device is closed", device_id=self.info.id)
        for operation in stage.operations:
            if not (support := self.supports(operation)):
                raise errors.Unsupported(support.reason, device_id=self.info.id)
        return Sleeper(stage, self)

    def to_host(self, value: Any) -> Any:
        """Its tensors are numpy arrays."""
        return np.asarray(value)

    def close(self) -> None:
        """Nothing to free."""
        self.closed = True


class Sleeper(Executable):
    """Sleeps, then gives a copy of each input as the output of the same position."""

    def __init__(self, stage: Stage, device: NullDevice) -> None:
        self.stage, self.device_id = stage, device.info.id
        self._device = device
        self._closed = False

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Sleep for every item of the batch."""
        if self._closed or self._device.closed:
            raise errors.DeviceClosed("the stage is closed", device_id=self.device_id)
        arrays = [inputs[spec.name] for spec in self.stage.inputs]
        time.sleep(_seconds_per_item(self.stage) * len(arrays[0]))
        pairs = zip(self.stage.outputs, arrays, strict=True)
        return {spec.name: np.array(array) for spec, array in pairs}

    def close(self) -> None:
        """Nothing to free."""
        self._closed = True
