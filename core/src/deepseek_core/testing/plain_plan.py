"""A plan over a device of the kit: plain numpy, the same answer every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.device import (
    Device,
    DeviceInfo,
    DeviceSpec,
    Estimate,
    Executable,
    LoadOptions,
    OpenOptions,
    Support,
)
from deepseek_core.contracts.errors import DeviceClosed, DeviceUnavailable
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array, Operation, Stage, Task
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.contracts.tensor import TensorSpec
from deepseek_core.discovery.probe_result import ProbeResult
from deepseek_core.discovery.status import Status
from deepseek_core.runtime.history import History
from deepseek_core.runtime.plan import Plan
from deepseek_core.runtime.planner import Planner
from deepseek_core.runtime.pool import DevicePool
from deepseek_core.runtime.request import Request

DOMAIN: Final = "deepseek.testing"
DEVICE_ID: Final = "kit:0"
POISON: Final = -1e9
"""A value that the device refuses to work on."""

_COMPUTE: Final[Mapping[str, Callable[..., Array]]] = {
    "Double": lambda x: x * 2,
    "Square": lambda x: x * x,
    "Add": lambda x, y: x + y,
}
_INFO: Final = DeviceInfo(
    id=DEVICE_ID, kind="cpu", name="plain numpy", evidence="model", fingerprint="kit-1"
)
_SPEC: Final = DeviceSpec(
    name="kit",
    kind="cpu",
    factory="deepseek_core.testing.plain_plan:PlainDevice",
    probe="deepseek_core.testing.plain_plan:probe",
)


def probe() -> list[DeviceInfo]:
    """The one device."""
    return [_INFO]


class PlainDevice(Device):
    """Doubles, squares and adds float64 arrays."""

    def __init__(self, device_id: str, options: OpenOptions) -> None:
        self.info = _INFO
        self.closed = False

    def supports(self, operation: Operation) -> Support:
        """Support its own three operations."""
        if operation.domain == DOMAIN and operation.name in _COMPUTE:
            return Support.yes()
        return Support.no(f"runs {DOMAIN}::{', '.join(_COMPUTE)} only")

    def estimate(self, task: Task) -> Estimate:
        """A microsecond for each item."""
        return Estimate(seconds=1e-6 * task.batch, sigma=1.0, source="prior")

    def load(self, stage: Stage, options: LoadOptions) -> Executable:
        """Nothing to build."""
        if self.closed:
            raise DeviceClosed("the kit's device is closed", device_id=DEVICE_ID)
        return PlainExecutable(stage, self)

    def to_host(self, value: Any) -> Array:
        """Return the tensor: all are numpy arrays."""
        return np.asarray(value)

    def close(self) -> None:
        """Nothing to free."""
        self.closed = True


class PlainExecutable(Executable):
    """Computes the stage's one operation."""

    def __init__(self, stage: Stage, device: PlainDevice) -> None:
        self.stage, self.device_id = stage, DEVICE_ID
        self._device = device

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The operation of one batch; `POISON` in it is a failure."""
        if self._device.closed:
            raise DeviceClosed("the kit's device is closed", device_id=DEVICE_ID)
        values = [inputs[spec.name] for spec in self.stage.inputs]
        if any((value == POISON).any() for value in values):
            raise DeviceUnavailable("the batch is poisoned", device_id=DEVICE_ID)
        return {self.stage.outputs[0].name: _COMPUTE[self.stage.operations[0].name](*values)}

    def close(self) -> None:
        """Nothing to free."""


def make_plan(folder: Path) -> Plan:
    """`sum = (2 x) ** 2 + x ** 2`, planned on the kit's device; `folder` takes its history."""
    found = ProbeResult(
        spec=_SPEC, plugin="kit", dist="deepseek-core", rows=(_INFO,), status=Status.AVAILABLE
    )
    pool = DevicePool([found], OpenOptions(threads=1, cache_dir=folder))
    history = History(folder / "history.sqlite")
    planner = Planner(pool, lambda: history, host_cores=1)
    request = Request(latency=LatencyClass.OFFLINE, workload=Workload.INFERENCE, batch=1)
    return Plan(planner, _graph(), request, strict=True, emit=lambda _event: None)


def _graph() -> Graph:
    return Graph(
        name="kit",
        stages=[
            _stage("double", "Double", ["x"], "doubled"),
            _stage("square", "Square", ["doubled"], "large"),
            _stage("beside", "Square", ["x"], "small"),
            _stage("join", "Add", ["large", "small"], "sum"),
        ],
        outputs=["sum"],
    )


def _stage(name: str, operation: str, reads: list[str], makes: str) -> Stage:
    inputs = [_tensor(tensor) for tensor in reads]
    outputs = [_tensor(makes)]
    return Stage(
        name=name,
        kind="kit",
        operations=[Operation(name=operation, domain=DOMAIN, inputs=inputs, outputs=outputs)],
        inputs=inputs,
        outputs=outputs,
        artifact=Artifact.from_bytes(f"{name} {operation}".encode(), format="kit"),
    )


def _tensor(name: str) -> TensorSpec:
    return TensorSpec(name=name, dtype="float64", shape=("batch", 2), batch_axis=0)
