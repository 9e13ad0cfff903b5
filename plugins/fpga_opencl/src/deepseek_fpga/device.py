"""An OpenCL device as a device of the SDK: it runs the matching operators.

`ai.deepseek::MatchL2` and `MatchHamming`: inputs query [B, D], gallery [N, D] and k [1];
outputs indices int64 [B, k] and distances [B, k].
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from deepseek_core import (
    Concurrency,
    Device,
    DeviceInfo,
    Estimate,
    LatencyClass,
    LoadOptions,
    OpenOptions,
    Operation,
    Stage,
    Support,
    Task,
    errors,
)
from deepseek_fpga.executable import MakeMatcher, MatchExecutable
from deepseek_fpga.manifest import read_manifest
from deepseek_fpga.matcher import Matcher
from deepseek_fpga.opening import PATCH_REMEDY, UNPATCHED, OpenDevice, open_device
from deepseek_fpga.operators import DOMAIN, check_operands, metric_of, rows_and_width
from deepseek_fpga.platforms import DeviceRecord, list_devices
from deepseek_fpga.pocl_target import is_unknown_cpu
from deepseek_fpga.settings import Settings
from deepseek_fpga.variants import Form, Metric, default_variant

BINARY_VARIABLE: Final = "DEEPSEEK_FPGA_BINARY"
_POCL_THREADS: Final = "POCL_MAX_PTHREAD_COUNT"

# Assumed, not measured: the spread of devices is covered by the sigma.
_PAIR_ELEMENTS_PER_S: Final = 25e9
_LAUNCH_S: Final = 30e-6
_PRIOR_SIGMA: Final = 1.0


def probe(settings: Mapping[str, object] | None = None) -> Iterable[DeviceInfo]:
    """A row for each OpenCL device, or one that says why there is none."""
    patch = Settings.of(settings or {}).pocl_patch
    listing = list_devices()
    rows = [_info(record, patch=patch) for record in listing.devices]
    rows += [_none(each.id, each.name, each.reason, each.remedy) for each in listing.dead]
    return rows or [_none("opencl", "OpenCL", listing.reason, listing.remedy)]


def _none(device_id: str, name: str, reason: str | None, remedy: str | None) -> DeviceInfo:
    return DeviceInfo(
        id=device_id,
        kind="fpga",
        name=name,
        evidence="hardware",
        status="unavailable",
        reason=reason,
        remedy=remedy,
    )


def board_binary() -> Path | None:
    """The kernel compiled by a vendor's tools, if the user named one."""
    named = os.environ.get(BINARY_VARIABLE)
    return Path(named) if named else None


def _info(record: DeviceRecord, *, patch: bool = True) -> DeviceInfo:
    reason, remedy = _lacks(record, patch)
    return DeviceInfo(
        id=record.id,
        kind="gpu" if record.type == "gpu" else "fpga",
        name=f"{record.name} ({record.description})",
        evidence=record.evidence,
        fingerprint=record.fingerprint,
        vendor=record.vendor,
        driver=record.driver_version,
        mem_bytes=record.mem_bytes,
        uses_host_cores=record.evidence != "hardware",
        status="available" if reason is None else "unavailable",
        reason=reason,
        remedy=remedy,
    )


def _lacks(record: DeviceRecord, patch: bool) -> tuple[str | None, str | None]:
    """Why a device can't be used, and what to do about it."""
    if record.is_board and board_binary() is None:
        reason = "a board needs the kernel compiled by its vendor's tools"
        return reason, f"set {BINARY_VARIABLE} to the .aocx or .xclbin file"
    if not patch and is_unknown_cpu(record.platform_version, record.device_version):
        return UNPATCHED, PATCH_REMEDY
    return None, None


def open_matching_device(device_id: str, options: OpenOptions) -> MatchingDevice:
    """Open an OpenCL device by the id that the probe gave.

    PoCL reads its number of threads once a process, so the first session's grant holds.

    Raises:
        DeviceUnavailable: there is no such device, or it can't be used as the settings are.
    """
    patch = Settings.of(options.settings).pocl_patch
    with _granted(options.threads):
        return MatchingDevice(open_device(device_id, patch_pocl=patch), options)


@contextmanager
def _granted(threads: int) -> Iterator[None]:
    """Tell PoCL its number of threads while it starts.

    Results of probes depend on the environment: left there, the next session would ask anew.
    """
    if _POCL_THREADS in os.environ:
        yield
        return
    os.environ[_POCL_THREADS] = str(threads)
    try:
        yield
    finally:
        os.environ.pop(_POCL_THREADS, None)


class MatchingDevice(Device):
    """One OpenCL device, one command at a time."""

    def __init__(self, opened: OpenDevice, options: OpenOptions) -> None:
        self.info = _info(opened.record)
        self._opened = opened
        self._folder = options.cache_dir / "opencl"
        self._loaded: weakref.WeakSet[MatchExecutable] = weakref.WeakSet()
        self._closed = False

    def supports(self, operation: Operation) -> Support:
        """Matching of float32, int8 and packed bits; nothing else."""
        if metric_of(operation) is not None:
            return Support.yes()
        if operation.domain == DOMAIN and operation.inputs:
            return Support.no(f"no kernel for {operation.inputs[0].dtype}")
        return Support.no(f"runs {DOMAIN}::MatchL2 and MatchHamming only")

    def estimate(self, task: Task) -> Estimate:
        """Elements of all query-gallery pairs over an assumed rate: a prior.

        Raises:
            Unsupported: gallery or k are not given.
        """
        check_operands(task.stage, self.info.id)
        elements = sum(_pair_elements(task.stage, op) for op in task.stage.operations)
        busy_s = elements * task.batch / _PAIR_ELEMENTS_PER_S
        return Estimate(seconds=_LAUNCH_S + busy_s, sigma=_PRIOR_SIGMA, source="prior")

    def load(self, stage: Stage, options: LoadOptions) -> MatchExecutable:
        """Pack and upload the gallery, if it is a constant; build or recall the kernels.

        Raises:
            Unsupported: an operation that is no matching, k over 16, a gallery that is not given.
            CompileError, OutOfMemory: what the device answered.
            DeviceClosed: after `close`.
        """
        if self._closed:
            raise errors.DeviceClosed(f"{self.info.id} is closed", device_id=self.info.id)
        check_operands(stage, self.info.id)
        for operation in stage.operations:
            support = self.supports(operation)
            if not support:
                raise errors.Unsupported(
                    f"{self.info.id}: {operation.qualified_name}: {support.reason}",
                    device_id=self.info.id,
                )
        loaded = MatchExecutable(stage, [self._make(op) for op in stage.operations], self.info.id)
        self._loaded.add(loaded)
        return loaded

    def _make(self, operation: Operation) -> MakeMatcher:
        """What makes the matcher of an operation, once gallery and k are known."""
        metric = metric_of(operation)
        assert metric is not None
        chosen: dict[str, Any] = {}
        if (binary := board_binary()) is not None:
            chosen = self._chosen(binary, metric)
        return partial(Matcher, self._opened, metric=metric, cache_folder=self._folder, **chosen)

    def _chosen(self, binary: Path, metric: Metric) -> dict[str, Any]:
        """The binary and its variant; nothing, if it is for another sort of device than this.

        Without a manifest it is taken for what this device would build by itself.
        """
        record = self._opened.record
        manifest = read_manifest(binary)
        if manifest is None:
            channels = "cl_intel_channels" in record.extensions
            form: Form = "channels" if channels else "single"
            return {"binary": binary, "variant": default_variant(record, metric, form)}
        if not record.is_board and not (record.evidence == manifest.target == "emulator"):
            return {}
        if manifest.variant.metric != metric:
            raise errors.ArtifactError(
                f"the binary {binary} computes {manifest.variant.metric}, and {metric} is asked of "
                f"{self.info.id}",
                remedy=f"ds-sdk fpga build --kernel {metric}, and name that one",
            )
        return {"binary": binary, "variant": manifest.variant}

    def to_host(self, value: Any) -> Any:
        """Return the value: results are numpy arrays already."""
        return np.asarray(value)

    def concurrency(self, latency: LatencyClass) -> Concurrency:
        """One run at once; a CPU runtime or emulator spreads it over the host's cores."""
        busy = self._opened.record.compute_units if self.info.uses_host_cores else 0
        return Concurrency(slots=1, host_threads=busy)

    def close(self) -> None:
        """Free the context and every loaded stage."""
        self._closed = True
        for loaded in list(self._loaded):
            loaded.close()
        self._opened.close()


def _pair_elements(stage: Stage, operation: Operation) -> float:
    """Multiplications for one query: gallery rows x elements of a row."""
    rows, width = rows_and_width(stage, operation)
    return float(rows) * width
