"""The k largest magnitudes of a vector, exactly, without sorting all of it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_SAMPLED: Final = 4096  # magnitudes that are looked at for a first threshold
_WORTH_IT: Final = 8  # shorter than so many samples, or a larger share than 1 in so many: no sample
_MARGIN: Final = 1.5  # candidates for each one that is wanted
_SPARE: Final = 8  # and so many more of the sample, lest a small share be missed

Vector = NDArray[np.float32]
Places = NDArray[np.int64]
_NONE: Final = np.empty(0, np.int64)


def num_kept(length: int, ratio: float) -> int:
    """How many of so many values a ratio keeps: one at least, if there are any."""
    return min(length, max(1, round(length * ratio)))


def largest(values: Vector, num: int) -> Places:
    """Places of the `num` largest magnitudes in ascending order; zeros are left out.

    Of equal magnitudes the first are taken. A threshold out of a sample leaves few candidates, and
    a partition decides among them. If it was too high, all that is not zero is a candidate: the
    answer does not depend on the sample.
    """
    magnitudes = np.abs(values)
    places = _candidates(magnitudes, num)
    if len(places) <= num:
        return places
    found = magnitudes[places]
    # A partition of values is several times faster than one that tells places.
    smallest = np.partition(found, len(found) - num)[len(found) - num]
    is_kept = found >= smallest
    too_many = np.count_nonzero(is_kept) - num
    if too_many:
        equal = np.flatnonzero(found == smallest)
        is_kept[equal[len(equal) - too_many :]] = False
    kept: Places = places[is_kept]
    return kept


def _candidates(magnitudes: Vector, num: int) -> Places:
    """Places that hold the `num` largest; ascending, none of a zero."""
    length = len(magnitudes)
    if length >= _WORTH_IT * _SAMPLED and num * _WORTH_IT <= length:
        sample = magnitudes[:: length // _SAMPLED]
        wanted = min(len(sample) - 1, int(_MARGIN * num / length * len(sample)) + _SPARE)
        threshold = np.partition(sample, len(sample) - wanted)[len(sample) - wanted]
        places: Places = np.flatnonzero(magnitudes >= threshold) if threshold > 0 else _NONE
        if len(places) >= num:
            return places
    return np.flatnonzero(magnitudes)
