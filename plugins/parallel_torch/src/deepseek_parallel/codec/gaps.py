"""Ascending places as the gaps between them, in the code of Golomb and Rice.

A gap g is written as g >> b in ones that a zero ends, and its low b bits.

Source: Rice and Plaunt, "Adaptive variable-length coding", IEEE Trans. Commun. 19 (1971); the
choice of b is that of Golomb, "Run-length encodings" (1966), for gaps of a geometric distribution.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from deepseek_core import errors
from deepseek_parallel.codec.bits import Counts
from deepseek_parallel.codec.select import Places

MOST_LOW_BITS: Final = 40


def low_bits(length: int, num: int) -> int:
    """The b that is best for `num` places in `length`."""
    mean_gap = length / max(num, 1) - 1.0
    return min(MOST_LOW_BITS, max(0, math.floor(math.log2(max(0.693 * mean_gap, 1.0)))))


def usual_ones(length: int, num: int) -> float:
    """Bits that the ones of `num` gaps take with their zeros, in the mean of random places."""
    bits = low_bits(length, num)
    longer = (1.0 - num / max(length, 1)) ** (1 << bits)  # share of gaps with one more
    most = num + ((length - num) >> bits)
    return min(most, num / (1.0 - longer)) if longer < 1.0 else most


def split(places: Places, bits: int) -> tuple[Counts, Counts]:
    """The gaps before ascending places: what stands above their low `bits`, and these."""
    gaps = np.diff(places, prepend=-1) - 1
    return gaps >> bits, gaps & ((1 << bits) - 1)


def joined(above: Counts, low: Counts, bits: int, length: int) -> Places:
    """The places that `split` was given.

    Raises:
        InputError: there are none such in a vector of `length`.
    """
    places: Places = np.cumsum((above << bits) + low + 1) - 1
    if len(places) and places[-1] >= length:
        raise errors.InputError(f"these are no places of a gradient: {places[-1]} of {length}")
    return places
