"""Ascending places as the gaps between them, in the code of Golomb and Rice.

A gap g is written as g >> b in ones that a zero ends, and its low b bits. All that ends in a zero
stands first, then all low bits: so both are read and written as whole arrays.

Source: Rice and Plaunt, "Adaptive variable-length coding", IEEE Trans. Commun. 19 (1971); the
choice of b is that of Golomb, "Run-length encodings" (1966), for gaps of a geometric distribution.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors
from deepseek_parallel.codec.select import Places

MOST_LOW_BITS: Final = 40

Octets = NDArray[np.uint8]


def low_bits(length: int, num: int) -> int:
    """The b that is best for `num` places in `length`."""
    mean_gap = length / max(num, 1) - 1.0
    return min(MOST_LOW_BITS, max(0, math.floor(math.log2(max(0.693 * mean_gap, 1.0)))))


def most_nbytes(length: int, num: int) -> int:
    """Bytes that `encode` never exceeds for `num` places in `length`."""
    bits = low_bits(length, num)
    return _octets(num + ((length - num) >> bits)) + _octets(num * bits)


def encode(places: Places, length: int) -> bytes:
    """The bytes of ascending `places` in a vector of `length` elements."""
    num, bits = len(places), low_bits(length, len(places))
    if not num:
        return b""
    gaps = np.diff(places, prepend=-1) - 1
    ends = np.cumsum((gaps >> bits) + 1) - 1
    high = np.ones(int(ends[-1]) + 1, np.uint8)
    high[ends] = 0
    low = (gaps[:, None] >> np.arange(bits)) & 1
    return np.packbits(high).tobytes() + np.packbits(low.astype(np.uint8)).tobytes()


def decode(data: bytes | memoryview, num: int, length: int) -> Places:
    """The `num` places that `encode` was given.

    Raises:
        InputError: bytes that it did not make.
    """
    if not num:
        if len(data):
            raise _damaged("bytes for no place")
        return np.empty(0, np.int64)
    if not 0 < num <= length:
        raise _damaged(f"{num} places in {length}")
    bits = low_bits(length, num)
    low_nbytes = _octets(num * bits)
    octets = np.frombuffer(data, np.uint8)
    if len(octets) < low_nbytes + 1:
        raise _damaged("it is cut off")
    split = len(octets) - low_nbytes
    ends = np.flatnonzero(np.unpackbits(octets[:split]) == 0)
    if len(ends) < num or _octets(int(ends[num - 1]) + 1) != split:
        raise _damaged("gaps are missing")
    gaps = (np.diff(ends[:num], prepend=-1) - 1) << bits
    low = np.unpackbits(octets[split:], count=num * bits).reshape(num, bits)
    gaps += low.astype(np.int64) @ (1 << np.arange(bits, dtype=np.int64))
    places: Places = np.cumsum(gaps + 1) - 1
    if places[-1] >= length:
        raise _damaged(f"place {places[-1]} of {length}")
    return places


def _octets(num_bits: int) -> int:
    return (num_bits + 7) // 8


def _damaged(what: str) -> errors.InputError:
    return errors.InputError(f"these are not the places of a packed gradient: {what}")
