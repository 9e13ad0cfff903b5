"""GF(2^8) with the polynomial 0x11d: tables, products, and elimination.

Matrices are uint8 arrays. Addition is XOR. The polynomial and with it every product are those
of ISA-L, so that fragments of either kernel are the same bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.uint8]

POLYNOMIAL = 0x11D


def _logarithms() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Powers of the generator 2 (twice around) and their logarithms (of 0: unused)."""
    power, log = np.zeros(510, np.int64), np.zeros(256, np.int64)
    value = 1
    for exponent in range(255):
        power[exponent] = power[exponent + 255] = value
        log[value] = exponent
        value = (value << 1) ^ (POLYNOMIAL if value & 0x80 else 0)
    return power, log


def _products() -> Matrix:
    power, log = _logarithms()
    table: Matrix = power[log[:, None] + log[None, :]].astype(np.uint8)
    table[0, :] = 0
    table[:, 0] = 0
    return table


# MULTIPLY[a, b] is the product; INVERSE[0] is 0 and means nothing.
MULTIPLY: Matrix = _products()
INVERSE: Matrix = np.argmax(MULTIPLY == 1, axis=1).astype(np.uint8)
MULTIPLY.setflags(write=False)
INVERSE.setflags(write=False)


def product(left: Matrix, right: Matrix) -> Matrix:
    """The matrix product of [a, b] and [b, c]."""
    out = np.zeros((left.shape[0], right.shape[1]), np.uint8)
    for column, row in zip(left.T, right, strict=True):
        out ^= MULTIPLY[column[:, None], row[None, :]]
    return out


def eliminate(rows: Matrix, unknowns: int) -> list[int]:
    """Reduce the first `unknowns` columns to units, in place; the rows that were used.

    Row i of the answer's list holds, after the call, the unit of column i. Rows are taken in
    their order where there is a choice. A list shorter than `unknowns` means that the rank is
    too low; the matrix is then only partly reduced.
    """
    used: list[int] = []
    for column in range(unknowns):
        pivot = next((r for r in np.flatnonzero(rows[:, column]) if r not in used), None)
        if pivot is None:
            return used
        used.append(int(pivot))
        rows[pivot] = MULTIPLY[INVERSE[rows[pivot, column]], rows[pivot]]
        factors = rows[:, column].copy()
        factors[pivot] = 0
        rows ^= MULTIPLY[factors[:, None], rows[pivot][None, :]]
    return used
