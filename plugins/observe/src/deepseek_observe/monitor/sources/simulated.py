"""Devices that are not here, to see how the page looks with many; each says that it is none."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Final

from deepseek_observe.monitor.families import MEMORY, TEMPERATURE, UP, UTILIZATION, Series
from deepseek_observe.monitor.sample import Reading

KIND: Final = "simulation"
_ROUND_S, _THERE_S = 60, 45
_SIZE: Final = 80 * 2**30


class Simulation:
    """`count` devices with loads like waves; the last is lost at the end of each minute."""

    name = "simulation"

    def __init__(self, count: int) -> None:
        self._count, self._begun_s = count, time.monotonic()

    def read(self) -> Reading:
        """What they would tell now."""
        now_s, since_s = time.time(), time.monotonic() - self._begun_s
        values: dict[Series, float] = {}
        for number in range(self._count):
            labels = (f"sim:{number}", KIND)
            is_lost = number == self._count - 1 and since_s % _ROUND_S > _THERE_S
            values[UP, labels] = float(not is_lost)
            if not is_lost:
                values.update(((name, labels), v) for name, v in _values(number, now_s))
        return Reading(
            values=values, notes={"simulation": f"{self._count} devices of a simulation"}
        )


def _values(number: int, now_s: float) -> Iterator[tuple[str, float]]:
    load = 0.5 + 0.45 * math.sin(now_s / 20 + number * 0.7)
    used = 0.6 + 0.3 * math.sin(now_s / 300 + number)
    yield UTILIZATION, load
    yield MEMORY, used
    yield "deepseek_device_memory_used_bytes", used * _SIZE
    yield "deepseek_device_memory_size_bytes", _SIZE
    yield "deepseek_device_dram_bandwidth_ratio", load * 0.6
    yield "deepseek_device_pcie_transmit_bytes_per_second", load * 8e9
    yield "deepseek_device_pcie_receive_bytes_per_second", load * 20e9
    yield TEMPERATURE, 40 + 35 * load
    yield "deepseek_device_power_watts", 90 + 500 * load
    yield "deepseek_device_clock_hertz", 1.98e9 - 3e8 * load
