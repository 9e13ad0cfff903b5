"""How long the calls of a device may take before they count as ones that hang."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from deepseek_core.contracts.device import Estimate
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.units import as_duration

_FACTOR: Final = 20.0  # of the 99 % quantile
_Z99: Final = 2.3263
_MOST_SIGMA: Final = 3.0  # a factor of 1,000
_FLOOR_S: Final = 5.0  # whatever was measured: a machine may be busy with something else
PATIENT_S: Final = 600.0
"""The least where nothing was measured, or nobody else could do it."""


def _check_seconds(_record: object, field: attrs.Attribute[Any], value: Any) -> None:
    as_duration(f"Limits.{field.name}", value)


def _seconds(default_s: float) -> Any:
    return attrs.field(default=default_s, validator=_check_seconds)


@attrs.frozen(kw_only=True)
class Limits:
    """Seconds that a session waits for calls of a device.

    `ask_s`: all that it is asked at once about a graph (`supports`, `estimate`, `concurrency`).
    `open_s`: opening it. `load_s`: loading a stage, which may compile it, warming it up, or a run
    that calibrates.
    `close_s`: closing it, or a stage on it. A device that takes longer is left out.
    """

    ask_s: float = _seconds(10.0)
    open_s: float = _seconds(60.0)
    load_s: float = _seconds(300.0)
    close_s: float = _seconds(2.0)

    @classmethod
    def of(cls, given: Mapping[str, float]) -> Limits:
        """These, and the usual ones where nothing is given.

        Raises:
            ConfigError: an unknown name, or no time.
        """
        known = [field.name for field in attrs.fields(cls)]
        unknown = next((name for name in given if name not in known), None)
        if unknown is not None:
            raise ConfigError(f"no limit {unknown!r}", remedy=f"use {', '.join(known)}")
        return cls(**given)


def loading_s(limits: Limits) -> float:
    """After what time a stage is surely loaded, or its loading given up."""
    return 1.5 * (limits.ask_s + limits.open_s + limits.load_s)


def limit_s(estimates: Iterable[Estimate | None]) -> float:
    """Seconds for stages of these costs that run as one; None: nobody was asked for it."""
    floor_s, total_s = _FLOOR_S, 0.0
    for estimate in estimates:
        if estimate is None:
            return PATIENT_S
        if estimate.source == "prior":
            floor_s = PATIENT_S
        total_s += estimate.seconds * math.exp(_Z99 * min(estimate.sigma, _MOST_SIGMA))
    return max(floor_s, _FACTOR * total_s)
