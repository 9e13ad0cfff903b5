"""What a GPU could do at most, from what NVML tells of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """FP32 operations and bytes of its memory a second, at its highest clocks."""

    flop_per_s: float
    bytes_per_s: float


def peaks(uuid: str) -> Peaks | None:
    """Those of a GPU; None where NVML does not tell."""
    import pynvml as nvml

    nvml.nvmlInit()
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        return _peaks(nvml, handle)
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def _peaks(nvml: Any, handle: Any) -> Peaks:
    cores = nvml.nvmlDeviceGetNumGpuCores(handle)
    core_hz = 1e6 * nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)
    memory_hz = 1e6 * nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM)
    width = nvml.nvmlDeviceGetMemoryBusWidth(handle)
    # A multiply-add is two operations; memory moves on both edges of its clock.
    return Peaks(flop_per_s=2 * cores * core_hz, bytes_per_s=2 * memory_hz * width / 8)
