"""What devices read of themselves now, as temperatures and free memory."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from deepseek_core.contracts.device import Device
from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.discovery.strangers import text_of
from deepseek_core.runtime.answers import asked
from deepseek_core.runtime.pool import DevicePool

_MOST: Final = 1000  # readings of one device


@attrs.frozen(kw_only=True)
class Readings:
    """Readings of a device by name; None is not observable. `reason` says why there are none."""

    device_id: str
    values: Mapping[str, float | None] = attrs.field(factory=dict)
    reason: str | None = None


def readings(pool: DevicePool, device_ids: Iterable[str], *, limit_s: float) -> list[Readings]:
    """Open each device if it was not, and ask it; one that fails is told, the others answer."""
    return [_of(pool, device_id, limit_s) for device_id in device_ids]


def _of(pool: DevicePool, device_id: str, limit_s: float) -> Readings:
    try:
        found = _within(pool.open(device_id), limit_s)
    except DeepSeekError as error:
        return Readings(device_id=device_id, reason=text_of(error))
    if found is None:
        pool.abandon(device_id)
        return Readings(device_id=device_id, reason=f"no answer in {limit_s:g} s")
    return found


def _within(device: Device, limit_s: float) -> Readings | None:
    """The readings, asked for in a thread of their own; None if they do not come in time."""
    found: list[Readings] = []
    asking = threading.Thread(
        target=lambda: found.append(_asked(device)), name="readings", daemon=True
    )
    asking.start()
    asking.join(limit_s)
    return found[0] if found else None


def _asked(device: Device) -> Readings:
    try:
        return Readings(device_id=device.info.id, values=_checked(device))
    except DeepSeekError as error:
        return Readings(device_id=device.info.id, reason=text_of(error))


def _checked(device: Device) -> dict[str, float | None]:
    """The readings, each a finite number or nothing, under names that are words.

    Raises:
        PluginError: it gives something else, or raises.
    """
    device_id = device.info.id
    return asked(device_id, "telemetry", lambda: _copied(device_id, device.telemetry()), dict)


def _copied(device_id: str, given: Mapping[str, float | None]) -> dict[str, float | None]:
    values = dict(given)
    for name, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        sound = value is None or (number and math.isfinite(value))
        if not (isinstance(name, str) and name.isidentifier() and sound):
            told = f"{text_of(name)} = {text_of(value)}"
            raise ValueError(f"{told} is no reading: a name and a finite number, or None")
    if len(values) > _MOST:
        raise ValueError(f"{len(values):,} readings; {_MOST:,} are the most")
    return values
