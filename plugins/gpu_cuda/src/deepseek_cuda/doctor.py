"""The rows of `ds-sdk doctor` about GPUs: what is missing, or how to use what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from deepseek_core import DeviceInfo, Finding
from deepseek_cuda.discovery.nvml import readings
from deepseek_cuda.discovery.visible import VARIABLE
from deepseek_cuda.probe import Survey, survey

_GIB = 1 << 30


def check_gpus() -> Iterable[Finding]:
    """A finding for each device, and one for what CUDA_VISIBLE_DEVICES hides."""
    found = survey()
    units = {unit.id: unit for unit in found.view.units}
    for row in found.rows:
        if row.status == "available":
            yield _usable(row, readings(units[row.id]))
        else:
            yield _unusable(row)
    yield from _hidden(found)


def _usable(row: DeviceInfo, read: Mapping[str, float | None]) -> Finding:
    facts = [f"driver {row.driver}", *_told(row, read)]
    text = f"{row.id}: {row.name} can be used ({', '.join(facts)})"
    return Finding(status="ok", text=text, remedy=f"ds-sdk run MODEL --device {row.id}")


def _told(row: DeviceInfo, read: Mapping[str, float | None]) -> Iterator[str]:
    free, temperature, busy = (read[n] for n in ("available_bytes", "temperature_c", "busy"))
    if free is not None and row.mem_bytes is not None:
        yield f"{free / _GIB:.1f} of {row.mem_bytes / _GIB:.1f} GiB free"
    if temperature is not None:
        yield f"{temperature:.0f} C"
    if busy is not None:
        yield f"busy {busy:.0%} of the time"


def _unusable(row: DeviceInfo) -> Finding:
    """No GPU at all is no fault of an installation; one that can't be used is."""
    text = row.reason if row.absent else f"{row.id}: {row.name} can't be used: {row.reason}"
    return Finding(status="ok" if row.absent else "warn", text=text or row.id, remedy=row.remedy)


def _hidden(found: Survey) -> Iterator[Finding]:
    seen = {unit.gpu.index for unit in found.view.units}
    hidden = [gpu for gpu in found.machine.gpus if gpu.index not in seen and not gpu.fault]
    if seen and hidden:
        names = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in hidden)
        yield Finding(status="ok", text=f"{VARIABLE} hides GPU {names}", remedy=f"unset {VARIABLE}")
