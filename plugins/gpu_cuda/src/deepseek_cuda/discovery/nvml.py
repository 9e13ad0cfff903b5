"""NVML's answers as records. It makes no CUDA context and survives a fork.

The only module that imports `pynvml`, and only when it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from deepseek_cuda.discovery.gpus import Fault, Gpu, Instance, Machine, Trouble, Unit, Version

T = TypeVar("T")
_NAMELESS: Final = "NVIDIA GPU"


def machine() -> Machine:
    """Ask NVML for the driver and every GPU; never raises for what the machine lacks."""
    import pynvml as nvml

    try:
        with _open(nvml):
            return Machine(
                driver=_text(nvml.nvmlSystemGetDriverVersion),
                cuda=_cuda(nvml),
                gpus=tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())),
            )
    except nvml.NVMLError as error:
        return Machine(trouble=_trouble(nvml, error.value), words=str(error))


def readings(unit: Unit) -> Mapping[str, float | None]:
    """What NVML reads of a GPU now; None for what it can't tell of this one.

    `busy` and `memory_busy` are shares of the last sample in which a kernel ran or memory was
    read or written; neither is a share of throughput, and bandwidth is not observable here.
    """
    import pynvml as nvml

    try:
        with _open(nvml):
            return _read(nvml, nvml.nvmlDeviceGetHandleByUUID(unit.uuid))
    except nvml.NVMLError:
        return dict.fromkeys([*_READINGS, "available_bytes"])


_READINGS: Final[Mapping[str, Callable[[Any, Any], float]]] = {
    "temperature_c": lambda n, h: n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU),
    "power_w": lambda n, h: n.nvmlDeviceGetPowerUsage(h) / 1e3,
    "clock_hz": lambda n, h: n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM) * 1e6,
    "busy": lambda n, h: n.nvmlDeviceGetUtilizationRates(h).gpu / 100,
    "memory_busy": lambda n, h: n.nvmlDeviceGetUtilizationRates(h).memory / 100,
}


def _read(nvml: Any, handle: Any) -> dict[str, float | None]:
    found = {name: _or_none(nvml, read, nvml, handle) for name, read in _READINGS.items()}
    memory = _memory(nvml, handle)
    return {**found, "available_bytes": None if memory is None else memory.free}


@contextmanager
def _open(nvml: Any) -> Iterator[None]:
    nvml.nvmlInit()
    try:
        yield
    finally:
        nvml.nvmlShutdown()


def _trouble(nvml: Any, code: int) -> Trouble:
    known: dict[int, Trouble] = {
        nvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no library",
        nvml.NVML_ERROR_DRIVER_NOT_LOADED: "not loaded",
        nvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "mismatch",
        nvml.NVML_ERROR_NO_PERMISSION: "no permission",
    }
    return known.get(code, "failed")


def _cuda(nvml: Any) -> Version | None:
    """NVML writes 12.4 as 12040."""
    number = _or_none(nvml, nvml.nvmlSystemGetCudaDriverVersion_v2)
    return None if number is None else (number // 1000, number % 1000 // 10)


def _gpu(nvml: Any, index: int) -> Gpu:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        has_mig = (_or_none(nvml, nvml.nvmlDeviceGetMigMode, handle) or [0])[0] == 1
        return Gpu(
            index=index,
            uuid=_text(nvml.nvmlDeviceGetUUID, handle),
            name=_text(nvml.nvmlDeviceGetName, handle) or _NAMELESS,
            bus_id=_or_none(nvml, _bus_id, nvml, handle) or "",
            capability=_or_none(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle),
            mem_bytes=_mem_bytes(nvml, handle),
            has_mig=has_mig,
            instances=tuple(_instances(nvml, handle)) if has_mig else (),
        )
    except nvml.NVMLError as error:
        return Gpu(index=index, fault=_fault(nvml, error.value), words=str(error))


def _fault(nvml: Any, code: int) -> Fault:
    known: dict[int, Fault] = {
        nvml.NVML_ERROR_GPU_IS_LOST: "lost",
        nvml.NVML_ERROR_RESET_REQUIRED: "reset",
        nvml.NVML_ERROR_NO_PERMISSION: "denied",
    }
    return known.get(code, "silent")


def _bus_id(nvml: Any, handle: Any) -> str:
    return _text(lambda: nvml.nvmlDeviceGetPciInfo(handle).busId)


def _instances(nvml: Any, handle: Any) -> Iterator[Instance]:
    """Places may be empty between instances, or of somebody else, which is no fault."""
    for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except (
            nvml.NVMLError_NotFound, nvml.NVMLError_InvalidArgument, nvml.NVMLError_NoPermission,
        ):  # fmt: skip
            continue
        yield Instance(
            uuid=_text(nvml.nvmlDeviceGetUUID, instance),
            name=_text(nvml.nvmlDeviceGetName, instance) or _NAMELESS,
            gpu_instance=nvml.nvmlDeviceGetGpuInstanceId(instance),
            compute_instance=nvml.nvmlDeviceGetComputeInstanceId(instance),
            mem_bytes=_mem_bytes(nvml, instance),
        )


def _mem_bytes(nvml: Any, handle: Any) -> int | None:
    memory = _memory(nvml, handle)
    return None if memory is None else int(memory.total)


def _memory(nvml: Any, handle: Any) -> Any | None:
    """Where the memory is the host's, as of a GB10, drivers give an error or a total of 0."""
    memory = _or_none(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    return memory if memory is not None and memory.total else None


def _text(ask: Callable[..., str | bytes], *arguments: Any) -> str:
    """What NVML writes; empty where it writes no text, as driver 555 under WSL does.

    An older package called pynvml hands over bytes.
    """
    try:
        text = ask(*arguments)
        return text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        return ""


def _or_none(nvml: Any, ask: Callable[..., T], *arguments: Any) -> T | None:
    """The answer, None where this GPU or driver does not give one; a lost GPU is an error."""
    try:
        return ask(*arguments)
    except nvml.NVMLError as error:
        if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED):
            raise
        return None
