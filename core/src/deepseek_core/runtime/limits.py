"""How long a run of a stream may take before it counts as one that hangs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from deepseek_core.contracts.device import Estimate

_FACTOR: Final = 20.0  # of the 99 % quantile
_Z99: Final = 2.3263
_MOST_SIGMA: Final = 3.0  # a factor of 1,000
_FLOOR_S: Final = 5.0  # whatever was measured: a machine may be busy with something else
PATIENT_S: Final = 600.0
"""The least where nothing was measured, or nobody else could do it."""


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
