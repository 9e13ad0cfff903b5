"""Devices: what they say of themselves and the five things that each one does.

A plugin offers a `DeviceSpec`; its probe lists `DeviceInfo` rows; its factory opens a `Device`;
a device loads a stage into an `Executable`; that runs batches, from then on without any hook.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.contracts.units import (
    as_names,
    check_count,
    check_finite,
    check_locator,
    check_name,
)

if TYPE_CHECKING:  # a plugin that offers a device loads none of them
    from deepseek_core.contracts.stage import Array, Operation, Stage, Task

Evidence = Literal["hardware", "cpu-runtime", "emulator", "model"]
Source = Literal["measured", "model", "prior"]

_TOLD: Final = 3  # names of operations in a refusal
# Two-sided 90 % quantile of the normal distribution.
_Z90 = 1.645


@attrs.frozen(kw_only=True)
class DeviceSpec:
    """What a plugin offers: a family of devices, found by `probe`, opened by `factory`.

    `probe` names a function `() -> Iterable[DeviceInfo]`; it runs in a process of its own. One that
    has a parameter `settings` gets the plugin's own settings, without secrets.
    `factory` names a callable `(device_id: str, options: OpenOptions) -> Device`.
    `requires` lists the modules that both need, so that a missing one is told without importing.
    `operators` are the names (`Conv`, `com.acme::Foo`) of all that it may run, so that it is not
    opened for work that it can't do; empty: it is to be asked. `whole_formats` are formats of
    artifacts that it loads as they are, whatever their operators.
    """

    name: str = attrs.field(validator=check_name)
    kind: str = attrs.field(validator=check_name)
    factory: str = attrs.field(validator=check_locator)
    probe: str = attrs.field(validator=check_locator)
    summary: str = ""
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    operators: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    whole_formats: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0


@attrs.frozen(kw_only=True)
class DeviceInfo:
    """One device as its probe found it.

    `id` is stable across runs (`onnx:cpu`, `opencl:pocl:0`). `evidence` says what a figure
    measured on it means. `fingerprint` changes when hardware, driver or runtime version change.
    `uses_host_cores` is true when its work occupies the host's own cores. `absent` marks a row that
    stands for hardware which this machine does not have at all: nothing that can be repaired.
    """

    id: str
    kind: str
    name: str
    evidence: Evidence
    fingerprint: str = ""
    vendor: str = ""
    driver: str = ""
    mem_bytes: int | None = None
    uses_host_cores: bool = False
    status: Literal["available", "unavailable"] = "available"
    reason: str | None = None
    remedy: str | None = None
    absent: bool = False


@attrs.frozen(kw_only=True)
class Support:
    """Whether a device runs an operation, and if not, why."""

    ok: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.ok

    @classmethod
    def yes(cls) -> Support:
        """Supported."""
        return cls(ok=True)

    @classmethod
    def no(cls, reason: str) -> Support:
        """Not supported, for this reason."""
        return cls(ok=False, reason=reason)


@attrs.frozen(kw_only=True)
class Estimate:
    """Predicted seconds of one run, host to host.

    `sigma` is the standard deviation of log(seconds): 0.1 means about 10 %, 1.0 a factor of e.
    `samples` counts the measurements behind it. `mem_bytes` stay on the device as long as the stage
    is loaded, as weights do.
    """

    seconds: float = attrs.field(validator=check_finite)
    sigma: float = attrs.field(validator=check_finite)
    source: Source
    samples: int = 0
    mem_bytes: int = 0

    def quantile(self, z: float) -> float:
        """Seconds at `z` standard deviations from the median."""
        return self.seconds * math.exp(z * self.sigma)

    @property
    def interval_s(self) -> tuple[float, float]:
        """The central 90 % interval in seconds."""
        return self.quantile(-_Z90), self.quantile(_Z90)


@attrs.frozen(kw_only=True)
class Concurrency:
    """How many runs a device takes at once and how many host cores each occupies.

    `ahead` more may be handed over beforehand, so that it does not wait for a caller far away.
    """

    slots: int = attrs.field(default=1, validator=check_count(1))
    host_threads: int = attrs.field(default=0, validator=check_count(0))
    ahead: int = attrs.field(default=0, validator=check_count(0))

    @property
    def in_flight(self) -> int:
        """How many runs a caller may have handed over and not got back."""
        return self.slots + self.ahead


@attrs.frozen(kw_only=True)
class OpenOptions:
    """What a session grants a device: host threads and a folder for its own caches.

    `settings` are the plugin's own, as its hooks get them in `HostContext.settings`.
    """

    threads: int
    cache_dir: Path
    settings: Mapping[str, object] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class LoadOptions:
    """How a stage will be used; `strict` forbids running any part of it elsewhere."""

    latency: LatencyClass = LatencyClass.OFFLINE
    strict: bool = True


class BoundCall(ABC):
    """A run with fixed input and output arrays: call it after writing new values into them."""

    outputs: Mapping[str, Array]

    @abstractmethod
    def __call__(self) -> None:
        """Run once; the bound output arrays then hold the results."""


class _RebindingCall(BoundCall):
    """The default: an ordinary run, copied into the bound arrays."""

    def __init__(
        self, run: Callable[..., Any], inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> None:
        self._run, self._inputs, self.outputs = run, inputs, outputs

    def __call__(self) -> None:
        for name, value in self._run(self._inputs).items():
            if name in self.outputs:
                self.outputs[name][...] = value


class Executable(ABC):
    """A stage loaded on a device.

    `run` may be called from as many threads at once as the device has slots. One that
    `checks_inputs` itself gets what the caller passed, as it is; others get arrays that fit.
    """

    stage: Stage
    device_id: str
    checks_inputs: bool = False

    @abstractmethod
    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Run one batch: arrays by input name in, arrays by output name out.

        The inputs are the caller's: not written to, not kept, not handed back. The outputs are
        the caller's, too: just those of the stage, in memory that nothing writes into later.

        Raises:
            Unsupported: it does not take these values; another device may, nobody is to blame.
            DeviceError: what went wrong on the device.
        """

    @abstractmethod
    def close(self) -> None:
        """Free what it holds; idempotent. Later runs raise `DeviceClosed`."""

    def run_kept(self, inputs: Mapping[str, Any], keep: frozenset[str]) -> Mapping[str, Any]:
        """The same, where outputs named in `keep` may stay on the device.

        Asked of a device that `keeps_tensors`. What stays is the device's own, with a `dtype` and a
        `shape`; `Device.to_host` copies it, and it is an input of later runs on this device.

        Raises:
            DeviceError: what went wrong on the device.
        """
        return self.run(inputs)

    def warmup(self, batch: int) -> None:
        """Do what the first run of this batch size would do once; nothing by default."""

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> BoundCall:
        """Fix the arrays of repeated runs, which saves their set-up where a device can."""
        return _RebindingCall(self.run, inputs, outputs)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_TOLD]) + (" and more" if len(names) > _TOLD else "")


class Device(ABC):
    """An open device; one that `keeps_tensors` hands them from stage to stage itself."""

    info: DeviceInfo
    workloads: frozenset[Workload] = frozenset({Workload.INFERENCE})
    keeps_tensors: bool = False

    @abstractmethod
    def supports(self, operation: Operation) -> Support:
        """Whether it runs this `Operation`, with the reason when not."""

    def supports_stage(self, stage: Stage, latency: LatencyClass) -> Support:
        """Whether it runs all of a stage: by default, whether it supports each operation."""
        reasons: dict[str, dict[str, None]] = {}
        for operation in stage.operations:
            support = self.supports(operation)
            if not support:
                reasons.setdefault(support.reason, {})[operation.qualified_name] = None
            if sum(map(len, reasons.values())) > _TOLD:
                break  # a long model need not be gone through to its end
        if not reasons:
            return Support.yes()
        told = (f"{reason}, not {_listed(list(names))}" for reason, names in reasons.items())
        return Support.no("; ".join(told))

    @abstractmethod
    def estimate(self, task: Task) -> Estimate:
        """Predict a run without measuring and without I/O, in about 20 microseconds."""

    @abstractmethod
    def load(self, stage: Stage, options: LoadOptions) -> Executable:
        """Make a stage ready to run.

        Raises:
            Unsupported: it can't run one of the operations.
            CompileError: a kernel or an engine did not build.
            OutOfMemory: it does not fit.
        """

    @abstractmethod
    def to_host(self, value: Any) -> Array:
        """A tensor of this device as a numpy array."""

    @abstractmethod
    def close(self) -> None:
        """Free the device; idempotent. Later calls raise `DeviceClosed`."""

    def concurrency(self, latency: LatencyClass) -> Concurrency:
        """How many runs at once it takes for work of this latency class."""
        return Concurrency()

    def telemetry(self) -> Mapping[str, float | None]:
        """Readings by name with the unit in it; None means not observable, never 0."""
        return {}
