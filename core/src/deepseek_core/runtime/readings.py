"""What devices read of themselves now, as temperatures and free memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.discovery.strangers import text_of
from deepseek_core.runtime.pool import DevicePool

_MOST: Final = 1000  # readings of one device


@attrs.frozen(kw_only=True)
class Readings:
    """Readings of a device by name; None is not observable. `reason` says why there are none."""

    device_id: str
    values: Mapping[str, float | None] = attrs.field(factory=dict)
    reason: str | None = None


def readings(pool: DevicePool, device_ids: Iterable[str]) -> list[Readings]:
    """Open each device if it was not, and ask it; one that fails is told, the others answer.

    Each has the limits of the pool: `Limits.open_s`, then `Limits.ask_s`.
    """
    return [_of(pool, device_id) for device_id in device_ids]


def _of(pool: DevicePool, device_id: str) -> Readings:
    try:
        opened = pool.use(device_id)
        values = opened.ask(
            "telemetry", lambda: _copied(device_id, opened.device.telemetry()), dict
        )
    except DeepSeekError as error:
        return Readings(device_id=device_id, reason=text_of(error))
    return Readings(device_id=device_id, values=values)


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
