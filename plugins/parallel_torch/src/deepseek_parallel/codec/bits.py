"""Rows of small whole numbers as bits: short ones in ones that a zero ends, others in fields.

Both are written and read as whole arrays, eight bits an octet, the first bit the highest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors

Octets = NDArray[np.uint8]
Counts = NDArray[np.int64]


def octets_of(num_bits: int) -> int:
    """Octets that so many bits take."""
    return (num_bits + 7) // 8


def as_ones(counts: Counts) -> bytes:
    """Each count as so many ones and a zero."""
    if not len(counts):
        return b""
    ends = np.cumsum(counts + 1) - 1
    ones = np.ones(int(ends[-1]) + 1, np.uint8)
    ones[ends] = 0
    return np.packbits(ones).tobytes()


def of_ones(octets: Octets, num: int) -> Counts:
    """The `num` counts that took just these octets.

    Raises:
        InputError: they hold others.
    """
    ends = np.flatnonzero(np.unpackbits(octets) == 0)[:num]
    used = int(ends[-1]) + 1 if len(ends) else 0
    if len(ends) < num or octets_of(used) != len(octets):
        raise errors.InputError("these are not the places of a packed gradient: some are missing")
    counts: Counts = np.diff(ends, prepend=-1) - 1
    return counts


def as_fields(values: Counts, width: int) -> bytes:
    """Each value in `width` bits, the lowest first."""
    fields = (values[:, None] >> np.arange(width)) & 1
    return np.packbits(fields.astype(np.uint8)).tobytes()


def of_fields(octets: Octets, num: int, width: int) -> Counts:
    """The `num` values of `width` bits."""
    fields = np.unpackbits(octets, count=num * width).reshape(num, width)
    values: Counts = fields.astype(np.int64) @ (1 << np.arange(width, dtype=np.int64))
    return values
