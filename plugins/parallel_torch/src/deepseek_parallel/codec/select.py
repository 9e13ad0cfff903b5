"""The k largest magnitudes of a vector, exactly, without sorting all of it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_SAMPLED: Final = 16_384  # magnitudes that are looked at for a first threshold
_WORTH_IT: Final = 8  # shorter than so many samples, or a larger share than 1 in so many: no sample
_MARGIN: Final = 1.5  # candidates for each one that is wanted

Vector = NDArray[np.float32]
Places = NDArray[np.int64]


def num_kept(length: int, ratio: float) -> int:
    """How many of so many values a ratio keeps: one at least, if there are any."""
    return min(length, max(1, round(length * ratio)))


def largest(values: Vector, num: int) -> Places:
    """Places of the `num` largest magnitudes in ascending order; zeros are left out.

    A threshold out of a sample leaves few candidates, and a partition decides among them. If it
    was too high, a partition of all decides: the answer does not depend on the sample.
    """
    magnitudes = np.abs(values)
    places = _above_sampled(magnitudes, num)
    if places is None:
        places = _partitioned(magnitudes, num)
    else:
        places = places[_partitioned(magnitudes[places], num)]
    return np.sort(places[magnitudes[places] > 0])


def _above_sampled(magnitudes: Vector, num: int) -> Places | None:
    """Candidates above a threshold, `num` or more; None if that is not to be had."""
    length = len(magnitudes)
    if length < _WORTH_IT * _SAMPLED or num * _WORTH_IT > length:
        return None
    sample = magnitudes[:: length // _SAMPLED]
    wanted = min(len(sample) - 1, int(_MARGIN * num / length * len(sample)) + 8)
    threshold = np.partition(sample, len(sample) - wanted)[len(sample) - wanted]
    places: Places = np.flatnonzero(magnitudes >= threshold)
    return places if len(places) >= num else None


def _partitioned(magnitudes: Vector, num: int) -> Any:
    if num >= len(magnitudes):
        return np.arange(len(magnitudes))
    return np.argpartition(magnitudes, len(magnitudes) - num)[len(magnitudes) - num :]
