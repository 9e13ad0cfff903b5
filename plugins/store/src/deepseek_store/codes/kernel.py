"""What a kernel is: it multiplies a matrix of GF(2^8) with fragments."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deepseek_store.codes.field import Matrix

Buffer = bytes | bytearray | memoryview | mmap.mmap
Row = NDArray[np.uint8]
# (rows of at most nbytes each, nbytes) -> one bytearray of nbytes per row of the matrix
Product = Callable[[Sequence[Row], int], list[bytearray]]


class Kernel(Protocol):
    """Multiplies matrices of GF(2^8) with fragments."""

    @property
    def name(self) -> str:
        """Name of the kernel."""
        ...

    def prepare(self, matrix: Matrix) -> Product:
        """The product with this matrix [outputs, inputs], as a function.

        Rows that are shorter than what is asked for count as zeros there.
        """
        ...
