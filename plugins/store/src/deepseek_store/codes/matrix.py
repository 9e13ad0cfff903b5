"""The rows of a code: how each parity fragment follows from the data."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from deepseek_store.codes.code import Code
from deepseek_store.codes.field import INVERSE, Matrix


@lru_cache(maxsize=64)
def parity_rows(code: Code) -> Matrix:
    """Coefficients [n - k, k] of all parities over the data, read-only.

    Local parities are the XOR of their group. The others are the rows 1 / ((k + i) xor j) of a
    Cauchy matrix: with an all-ones row on top every square part of it is regular, and the local
    rows are that row split up, which makes a Pyramid code (Huang, Chen, Li, NCA 2007). Any
    globals + 1 losses can be rebuilt. Never Vandermonde rows: those have singular parts.
    """
    rows = np.zeros((code.n - code.k, code.k), np.uint8)
    for group in range(code.groups):
        rows[group, list(code.group_data(group))] = 1
    rows[code.groups :] = _cauchy(code) if code.family != "replication" else 1
    rows.setflags(write=False)
    return rows


def _cauchy(code: Code) -> Matrix:
    row, column = np.arange(code.k, code.k + code.parities), np.arange(code.k)
    found: Matrix = INVERSE[row[:, None] ^ column[None, :]]
    return found
