"""Makes parities and rebuilds lost fragments, columnwise, on any byte range."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from deepseek_core import errors
from deepseek_store.codes import solve
from deepseek_store.codes.choose_kernel import find_kernel
from deepseek_store.codes.code import Code
from deepseek_store.codes.kernel import Buffer, Row
from deepseek_store.codes.matrix import parity_rows
from deepseek_store.codes.solve import DecodePlan

_NOTHING = np.zeros(0, np.uint8)


class Codec:
    """The arithmetic of one code with one kernel; safe to share between threads.

    `kernel`: "isal", "numpy", or None for the fastest that works here.
    """

    def __init__(self, code: Code, kernel: str | None = None) -> None:
        self.code = code
        self._kernel = find_kernel(kernel)
        self._parities = self._kernel.prepare(parity_rows(code))

    def encode(self, data: Sequence[Buffer | None], nbytes: int) -> list[bytearray]:
        """The n - k parity fragments of `nbytes` each.

        Rows that are shorter than `nbytes`, None, or missing at the end count as zeros there.

        Raises:
            InputError: More than k rows, or a row longer than `nbytes`.
        """
        if len(data) > self.code.k:
            raise errors.InputError(
                f"{self.code.name} takes {self.code.k} data fragments at most, not {len(data)}"
            )
        rows = [_row(buffer, nbytes) for buffer in data]
        rows += [_NOTHING] * (self.code.k - len(rows))
        return self._parities(rows, nbytes)

    def plan(
        self,
        lost: Collection[int],
        wanted: Collection[int] | None = None,
        virtual: Collection[int] = (),
    ) -> DecodePlan:
        """The fewest reads that rebuild `wanted` (all of `lost` where None).

        `virtual` are data fragments of nothing but zeros (a short stripe's), never read.

        Raises:
            Unrecoverable: More is lost than the code can bear.
        """
        return solve.plan(self.code, lost, wanted, virtual)

    def rebuild(
        self, plan: DecodePlan, fragments: Mapping[int, Buffer | None], nbytes: int
    ) -> dict[int, bytearray]:
        """The wanted fragments (or one byte range of them), from the same range of the reads.

        A fragment that is shorter than `nbytes`, or None, counts as zeros there.

        Raises:
            InputError: A fragment of the plan's reads is not given, or is too long.
        """
        absent = [index for index in plan.reads if index not in fragments]
        if absent:
            raise errors.InputError(f"the plan reads fragments {absent}, which are not given")
        rows = [_row(fragments[index], nbytes) for index in plan.reads]
        made = self._kernel.prepare(plan.matrix)(rows, nbytes)
        return dict(zip(plan.wanted, made, strict=True))

    def decodable(self, lost: Collection[int]) -> bool:
        """Whether all lost fragments can be rebuilt."""
        return solve.decodable(self.code, lost)


def _row(buffer: Buffer | None, nbytes: int) -> Row:
    if buffer is None:
        return _NOTHING
    row = np.frombuffer(buffer, np.uint8) if memoryview(buffer).nbytes else _NOTHING
    if row.size > nbytes:
        raise errors.InputError(f"a fragment of {row.size} bytes where {nbytes} are coded")
    return row
