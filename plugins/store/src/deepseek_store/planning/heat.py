"""The heat of an object: a rate of accesses that decays with its half-life.

Times are seconds of any clock, and the clock may jump: no time passes while it is behind the last
access, so heat never grows by itself, and is never negative or NaN.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

LN2: Final = math.log(2.0)
_MOST_PER_S: Final = 1e9  # beyond it a rate is no rate, but a broken caller


@attrs.frozen(kw_only=True)
class Heat:
    """Accesses per second, decayed up to `at_s`, the last access."""

    rate_per_s: float
    at_s: float


COLD: Final = Heat(rate_per_s=0.0, at_s=0.0)


def age_s(heat: Heat, now_s: float) -> float:
    """Seconds since the last access; 0 when the clock is behind it."""
    passed_s = now_s - heat.at_s
    return passed_s if passed_s > 0.0 and math.isfinite(passed_s) else 0.0


def rate_at(heat: Heat, now_s: float, half_life_s: float) -> float:
    """The rate, in accesses per second, as it has decayed by now."""
    return heat.rate_per_s * math.exp2(-age_s(heat, now_s) / half_life_s)


def touch(heat: Heat | None, now_s: float, half_life_s: float, *, accesses: float = 1.0) -> Heat:
    """The heat after an access now, or after several.

    A clock that is behind the last access is believed from here on: else the heat would stay as it
    is until the clock has caught up, which may be years.
    """
    before = heat or COLD
    rate = rate_at(before, now_s, half_life_s) + accesses * LN2 / half_life_s
    at_s = now_s if math.isfinite(now_s) else before.at_s
    return Heat(rate_per_s=min(rate, _MOST_PER_S), at_s=at_s)


def accesses(rate_per_s: float, half_life_s: float) -> float:
    """The decayed number of accesses behind a rate: 1 right after a single one."""
    return rate_per_s * half_life_s / LN2
