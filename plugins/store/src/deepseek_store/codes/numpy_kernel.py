"""The kernel that needs numpy alone: bit-plane Horner in columns that stay in cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepseek_store.codes.field import POLYNOMIAL, Matrix
from deepseek_store.codes.kernel import Product, Row

_BLOCK_NBYTES = 32 << 10
_REDUCE = np.uint8(POLYNOMIAL & 0xFF)


class NumpyKernel:
    """Multiplies with numpy's XOR over whole columns."""

    name = "numpy"

    def prepare(self, matrix: Matrix) -> Product:
        """The product with this matrix [outputs, inputs], as a function."""
        planes = [_planes(row) for row in matrix]

        def run(rows: Sequence[Row], nbytes: int) -> list[bytearray]:
            out = [bytearray(nbytes) for _ in planes]
            views = [np.frombuffer(made, np.uint8) if nbytes else None for made in out]
            for start in range(0, nbytes, _BLOCK_NBYTES):
                block = [row[start : start + _BLOCK_NBYTES] for row in rows]
                for view, plane in zip(views, planes, strict=True):
                    if view is not None:
                        _horner(view[start : start + _BLOCK_NBYTES], plane, block)
            return out

        return run


def _planes(row: Row) -> list[list[int]]:
    """For bit 7 to 0 the inputs whose coefficient has it; leading empty bits left out."""
    planes = [list(map(int, np.flatnonzero(row >> bit & 1))) for bit in range(7, -1, -1)]
    while len(planes) > 1 and not planes[0]:
        planes.pop(0)
    return planes


def _horner(total: Row, planes: list[list[int]], block: list[Row]) -> None:
    """Double the total, add the inputs that have the bit; bit after bit."""
    carry = np.empty_like(total)
    for step, plane in enumerate(planes):
        if step:
            np.right_shift(total.view(np.int8), 7, out=carry.view(np.int8))
            np.bitwise_and(carry, _REDUCE, out=carry)
            np.add(total, total, out=total)
            np.bitwise_xor(total, carry, out=total)
        for index in plane:
            part = block[index]
            if part.size == total.size:
                np.bitwise_xor(total, part, out=total)
            elif part.size:
                np.bitwise_xor(total[: part.size], part, out=total[: part.size])
