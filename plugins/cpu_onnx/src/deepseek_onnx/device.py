"""The CPU as a device: ONNX Runtime's CPU provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from deepseek_core import DeviceInfo, OpenOptions, errors
from deepseek_onnx.host import cpu_fingerprint, cpu_name, cpu_vendor, memory_bytes, readings
from deepseek_onnx.ort import ort
from deepseek_onnx.session_device import SessionDevice
from deepseek_onnx.sessions import CPU
from deepseek_onnx.settings import Settings

DEVICE_ID: Final = "onnx:cpu"


def probe() -> Iterable[DeviceInfo]:
    """The one row of this plugin: the host's CPU."""
    return [
        DeviceInfo(
            id=DEVICE_ID,
            kind="cpu",
            name=cpu_name(),
            evidence="hardware",
            fingerprint=f"{cpu_fingerprint()}|onnxruntime {ort.__version__}",
            vendor=cpu_vendor(),
            driver=f"onnxruntime {ort.__version__}",
            mem_bytes=memory_bytes(),
            uses_host_cores=True,
        )
    ]


def open_device(device_id: str, options: OpenOptions) -> OnnxCpu:
    """Open the CPU.

    Raises:
        DeviceUnavailable: another id than the probe's.
        ConfigError: a setting that does not fit.
    """
    found = {info.id: info for info in probe()}
    if device_id not in found:
        raise errors.DeviceUnavailable(
            f"deepseek-onnx has no device {device_id!r}",
            device_id=device_id,
            remedy=f"use {', '.join(found)}",
        )
    return OnnxCpu(found[device_id], options)


class OnnxCpu(SessionDevice):
    """ONNX Runtime's CPU provider within a budget of host threads.

    Offline, each of `threads` runs at once has one thread, which is the most work per second;
    realtime, one run has them all, and they spin between its operators.
    """

    def __init__(self, info: DeviceInfo, options: OpenOptions) -> None:
        super().__init__(info, options.threads, Settings.of(options.settings), CPU)

    def telemetry(self) -> Mapping[str, float | None]:
        """Temperature, clock, load and free memory of the host."""
        return readings()
