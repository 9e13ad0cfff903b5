"""NVIDIA GPUs, through NVML: what each one tells; one that is lost is a state, and no error.

NVML's utilization says that some kernel ran, and its memory utilization that the controller was
busy; neither is a bandwidth. That comes from GPU performance monitoring alone (Hopper or newer).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from deepseek_observe.monitor.families import MEMORY, TEMPERATURE, UP, UTILIZATION, Series
from deepseek_observe.monitor.sample import Reading, plain
from deepseek_observe.monitor.sources.bandwidth import Bandwidth

KIND: Final = "gpu"
_AGAIN_S: Final = 30.0  # until a driver, or a GPU, that was not there is looked for again
_TRAFFIC: Final = {  # field of the counter, number of the slow question (20 ms), family
    "sent": (197, 0, "deepseek_device_pcie_transmit_bytes_per_second"),
    "received": (198, 1, "deepseek_device_pcie_receive_bytes_per_second"),
}
_MOST_SLOW: Final = 8  # GPUs that may be asked the slow question in one sample
_REASONS: Final = {
    0x4: "power cap", 0x8: "hardware slowdown", 0x20: "temperature", 0x40: "hardware temperature",
    0x80: "power brake",
}  # fmt: skip


class Gpus:
    """All GPUs of this machine, and their MIG instances.

    `_gpus` are open; empty until there is a driver.
    """

    name = "gpus"

    def __init__(self) -> None:
        import pynvml

        self._nvml: Any = pynvml
        self._gpus: list[_Gpu] = []
        self._why = ""
        self._next_s = float("-inf")

    def read(self) -> Reading:
        """Read each GPU; where there is none, say why."""
        if not self._gpus and time.monotonic() >= self._next_s:
            self._open()
        values: dict[Series, float] = {}
        for gpu in self._gpus:
            values.update(gpu.read(slow=len(self._gpus) <= _MOST_SLOW))
        return Reading(values=values, notes={} if self._gpus else {"gpus": self._why})

    def _open(self) -> None:
        self._next_s = time.monotonic() + _AGAIN_S
        try:
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
        except self._nvml.NVMLError as error:
            self._why = f"no GPU is sampled: NVML: {plain(error)}"
            return
        self._gpus = [_Gpu(self._nvml, index) for index in range(count)]
        self._why = "the driver is here, and no GPU"


class _Gpu:
    """One GPU.

    `_labels` name it in each series, and `_description` is the series with its name. `_lacks` are
    the questions that it has no answer to, which are not asked again; `_handle` is None while it is
    lost, and is asked for again from `_next_s` on. `_counted` has the PCIe counters of the sample
    before, `_bandwidth` its monitoring of the memory.
    """

    def __init__(self, nvml: Any, index: int) -> None:
        self._nvml, self._index = nvml, index
        self._labels: tuple[str, ...] = (f"cuda:{index}", KIND)
        self._handle: Any = None
        self._lacks: set[str] = set()
        self._next_s = float("-inf")
        self._description: Series | None = None
        self._counted: dict[str, tuple[float, int]] = {}
        self._bandwidth: Bandwidth | None = None

    def read(self, *, slow: bool) -> dict[Series, float]:
        """What it tells now; lost: that alone."""
        nvml = self._nvml
        try:
            if self._handle is None:
                self._open()
            values: dict[Series, float] = {
                (name, self._labels): value for name, value in self._values(slow=slow)
            }
            values.update(self._throttled())
            values.update(self._instances())
        except _Lost:
            self._handle = None
            return {(UP, self._labels): 0.0}
        except nvml.NVMLError:
            self._handle, self._next_s = None, time.monotonic() + _AGAIN_S
            return {(UP, self._labels): 0.0}
        if self._description is not None:
            values[self._description] = 1.0
        return {(UP, self._labels): 1.0, **values}

    def _open(self) -> None:
        if time.monotonic() < self._next_s:
            raise _Lost
        self._next_s = time.monotonic() + _AGAIN_S
        handle = self._nvml.nvmlDeviceGetHandleByIndex(self._index)
        name = self._asked("nvmlDeviceGetName", handle)
        self._handle, self._counted = handle, {}
        self._bandwidth = Bandwidth(self._nvml, handle)
        if name is not None:
            self._description = ("deepseek_device_description", (*self._labels, plain(name)))

    def _values(self, *, slow: bool) -> Iterator[tuple[str, float]]:
        rates = self._asked("nvmlDeviceGetUtilizationRates")
        if rates is not None:
            yield from _within(UTILIZATION, rates.gpu, 100, 0.01)
            yield from _within(
                "deepseek_device_memory_controller_busy_ratio", rates.memory, 100, 0.01
            )
        memory = self._asked("nvmlDeviceGetMemoryInfo")
        if memory is not None:
            yield from _memory(memory)
        yield from _within(TEMPERATURE, self._asked("nvmlDeviceGetTemperature", None, 0), 200)
        power = self._asked("nvmlDeviceGetPowerUsage")
        yield from _within("deepseek_device_power_watts", power, 10_000_000, 1e-3)
        clock = self._asked("nvmlDeviceGetClockInfo", None, 1)
        yield from _within("deepseek_device_clock_hertz", clock, 100_000, 1e6)
        errors = self._asked("nvmlDeviceGetTotalEccErrors", None, 1, 1)  # since it was reset, ever
        yield from _within("deepseek_device_ecc_uncorrected_total", errors, 1 << 48)
        yield from self._traffic(slow=slow)
        if self._bandwidth is not None:
            share = self._guarded(self._bandwidth.read)
            yield from _within("deepseek_device_dram_bandwidth_ratio", share, 1)

    def _traffic(self, *, slow: bool) -> Iterator[tuple[str, float]]:
        for way, (field, number, family) in _TRAFFIC.items():
            count = self._counter(field)
            if count is not None:
                now_s = time.monotonic()
                then_s, before = self._counted.get(way, (now_s, count))
                self._counted[way] = now_s, count
                if now_s > then_s and count >= before:
                    yield family, (count - before) / (now_s - then_s)
            elif slow:
                found = self._asked("nvmlDeviceGetPcieThroughput", None, number)
                yield from _within(family, found, 1 << 30, 1024)

    def _counter(self, field: int) -> int | None:
        """Bytes over PCIe so far, from drivers that count them."""
        name = f"field {field}"
        if name in self._lacks:
            return None
        found = self._guarded(lambda: self._nvml.nvmlDeviceGetFieldValues(self._handle, [field])[0])
        if found is None or found.nvmlReturn != 0:
            self._lacks.add(name)
            return None
        value = int(found.value.ullVal)
        return value if value < 1 << 63 else None

    def _throttled(self) -> Iterator[tuple[Series, float]]:
        found = self._asked("nvmlDeviceGetCurrentClocksThrottleReasons")
        if found is not None:
            for bit, reason in _REASONS.items():
                yield (
                    ("deepseek_device_throttled", (*self._labels, reason)),
                    float(bool(found & bit)),
                )

    def _instances(self) -> Iterator[tuple[Series, float]]:
        """MIG instances tell of their memory alone."""
        nvml = self._nvml
        mode = self._asked("nvmlDeviceGetMigMode")
        if mode is None or not mode[0]:
            return
        for number in range(self._asked("nvmlDeviceGetMaxMigDeviceCount") or 0):
            try:
                one = nvml.nvmlDeviceGetMigDeviceHandleByIndex(self._handle, number)
                ids = nvml.nvmlDeviceGetGpuInstanceId(one), nvml.nvmlDeviceGetComputeInstanceId(one)
                memory = nvml.nvmlDeviceGetMemoryInfo(one)
            except nvml.NVMLError:
                continue  # no instance of that number, or one that was taken away just now
            labels = (f"{self._labels[0]}:{ids[0]}:{ids[1]}", KIND)
            yield (UP, labels), 1.0
            for name, value in _memory(memory):
                yield (name, labels), value

    def _asked(self, question: str, handle: Any = None, *more: int) -> Any:
        """An answer of NVML; None where this GPU, or driver, has none."""
        if question in self._lacks:
            return None
        asked = getattr(self._nvml, question)
        return self._guarded(lambda: asked(handle or self._handle, *more), question)

    def _guarded(self, ask: Callable[[], Any], question: str = "") -> Any:
        nvml = self._nvml
        try:
            return ask()
        except nvml.NVMLError as error:
            if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED):
                raise _Lost from error
            never = nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND
            if question and error.value in never:
                self._lacks.add(question)
            return None


class _Lost(Exception):
    """The GPU fell off the bus, or has to be reset."""


def _memory(found: Any) -> Iterator[tuple[str, float]]:
    if 0 < found.total < 1 << 48 and found.used <= found.total:
        yield MEMORY, found.used / found.total
        yield "deepseek_device_memory_used_bytes", found.used
        yield "deepseek_device_memory_size_bytes", found.total


def _within(
    name: str, value: float | None, most: float, scale: float = 1.0
) -> Iterator[tuple[str, float]]:
    """The value, unless there is none; what is out of range stands for "blank" (NVML, DCGM)."""
    if value is not None and 0 <= value <= most:
        yield name, value * scale
