"""What the online scheduler may do, as settings; its rivals are the same engine with less of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.schedule.online.records import UNLIMITED


def _above_zero(_record: object, field: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ConfigError(f"Rules.{field.name} must be above 0, got {value!r}")


@attrs.frozen(kw_only=True)
class Rules:
    """How tasks are ordered, admitted, batched, cut and retried."""

    order: Literal["deadline", "arrival"] = "deadline"
    """Realtime tasks of a device by deadline (EDF) or as they came."""
    offline_apart: bool = True
    """Offline work waits apart and fills gaps; otherwise it queues with all the rest."""
    chunk_s: float = attrs.field(default=0.010, validator=_above_zero)
    """Offline runs take about so long, so that realtime work never waits longer for a device."""
    admission_z: float | None = 1.2816
    """Refuse when the deadline is below this quantile of the finish (1.2816: 90 %); None: never."""
    drop_hopeless: bool = True
    """Drop a task before it starts when even a quick run would end after its deadline."""
    batch_z: float | None = 2.3263
    """Batch while this quantile of the run is within all deadlines (2.3263: 99 %); None: never."""
    patience_s: float = attrs.field(default=1.0, validator=_above_zero)
    """A realtime task without a deadline queues as if it were due so long after its arrival."""
    steal: bool = True
    """An idle device takes over what waits elsewhere when it would finish it earlier."""
    thrift: float = 1.0
    """Seconds of finish that a second of extra device time is worth when a device is chosen."""
    aging_s: float = attrs.field(default=2.0, validator=_above_zero)
    """Offline work that waited so long counts as much as a device twice as apt."""
    offline_floor: float = 0.02
    """Share of a device's time that waiting offline work gets even under realtime overload."""
    learning: float = 0.05
    """Weight of a new measurement in the running correction of an estimate; 0: believe as told."""
    caller_limit: int = attrs.field(default=10_000, validator=_above_zero)
    """Tasks of one caller that wait or run; what comes besides is refused,"""
    queue_limit: int = attrs.field(default=40_000, validator=_above_zero)
    """and so is what comes besides so many of all callers."""
    most_attempts: int = attrs.field(default=3, validator=_above_zero)
    """Attempts of a task before it fails."""
    quarantine_s: float = attrs.field(default=1.0, validator=_above_zero)
    """First quarantine of a device; it doubles with each fault in a row, up to a minute."""
    hang_factor: float = attrs.field(default=20.0, validator=_above_zero)
    """A run hangs that takes so many times the 99 % quantile of its cost,"""
    hang_floor_s: float = attrs.field(default=2.0, validator=_above_zero)
    """and no less than this, nor than 3 times the longest yet; its device is out until it ends."""
    hang_guess_s: float = attrs.field(default=60.0, validator=_above_zero)
    """No less than this where a cost is a guess and no run ended, or nobody else could do it."""
    outage_s: float = attrs.field(default=60.0, validator=_above_zero)
    """A task fails when no device that runs it was in service for so long."""

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.offline_floor < 1:
            raise ConfigError(f"Rules.offline_floor must be 0 to below 1, got {self.offline_floor}")
        if not 0 <= self.learning <= 1:
            raise ConfigError(f"Rules.learning must be 0 to 1, got {self.learning}")


# A trace may say that a device comes back, and have as much wait as it likes.
_PATIENT: Final = Rules(outage_s=float("inf"), caller_limit=UNLIMITED, queue_limit=UNLIMITED)
_PLAIN: Final = attrs.evolve(
    _PATIENT,
    chunk_s=float("inf"),
    admission_z=None,
    drop_hopeless=False,
    batch_z=None,
    steal=False,
    thrift=0.0,
    offline_floor=0.0,
    learning=0.0,
)

POLICIES: Final[Mapping[str, Rules]] = {
    "deepseek": _PATIENT,
    "fifo": attrs.evolve(_PLAIN, order="arrival", offline_apart=False),
    "priority": attrs.evolve(_PLAIN, order="arrival"),
    "edf": _PLAIN,
}
"""Ours; earliest finish in order of arrival; realtime first; EDF without chunks or admission."""


def policy(name: str) -> Rules:
    """The rules of a policy by name.

    Raises:
        ConfigError: there is no such policy.
    """
    try:
        return POLICIES[name]
    except KeyError:
        known = ", ".join(POLICIES)
        raise ConfigError(f"there is no policy {name!r}", remedy=f"use one of {known}") from None
