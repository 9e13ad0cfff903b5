"""From which score on a part is stopped: chosen on validation parts, for a share to be caught.

Legend: N pictures.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import attrs
import numpy as np

from deepseek_core import compression, errors

Array = np.ndarray[Any, Any]
_Z = 1.959964  # normal quantile of 95 %


@attrs.frozen(kw_only=True)
class Threshold:
    """`score` and above is stopped; `caught` of `defects` and `alarms` of `good` parts were.

    The counts are those of the parts that it was chosen on, so they flatter.
    """

    score: float
    target: float
    caught: int
    defects: int
    alarms: int
    good: int


def choose(scores: Array, defects: Array, target: float) -> Threshold:
    """The highest score at which at least `target` of the defects are caught.

    `scores` are (N,), `defects` bool (N,), both of the validation part alone.

    Raises:
        InputError: no defect or no good part among them, or a score that is not a number.
    """
    if not np.isfinite(scores).all():
        raise errors.InputError(
            "a score is not a finite number, so no threshold can be chosen",
            remedy="train again with a smaller learning_rate",
        )
    bad, good = np.sort(scores[defects])[::-1], scores[~defects]
    if not len(bad) or not len(good):
        raise errors.InputError(
            f"the validation part has {len(bad)} defects and {len(good)} good pictures",
            remedy="add pictures of both to the data, and prepare them again",
        )
    at = float(bad[max(1, ceil(target * len(bad) - 1e-9)) - 1])
    return Threshold(
        score=at, target=target, caught=int((bad >= at).sum()), defects=len(bad),
        alarms=int((good >= at).sum()), good=len(good),
    )  # fmt: skip


def share(count: int, of: int) -> compression.Interval:
    """A share with its 95 % interval (Wilson, 1927).

    Raises:
        InputError: it is a share of none.
    """
    if of < 1:
        raise errors.InputError(f"{count} of {of} is no share", remedy="give one part or more")
    part, z2 = count / of, _Z**2
    middle = (part + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z / (1 + z2 / of) * float(np.sqrt(part * (1 - part) / of + z2 / (4 * of**2)))
    low, high = max(0.0, min(part, middle - half)), min(1.0, max(part, middle + half))
    return compression.Interval(value=part, low=low, high=high, count=of)


def alarms_per_1000(scores: Array, defects: Array, at: float) -> compression.Interval:
    """False alarms among 1,000 good parts, with its 95 % interval (Wilson)."""
    good = scores[~defects]
    found = share(int((good >= at).sum()), len(good))
    ends = {"low": 1000 * found.low, "high": 1000 * found.high}
    return compression.Interval(value=1000 * found.value, count=found.count, **ends)
