"""Samples that lie in memory as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_core import compression

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]


@attrs.frozen(kw_only=True, eq=False)
class ArraySamples:
    """Arrays by input name, and labels; the first axis of each counts the samples.

    A sample is the same each time that it is read, so what a teacher says of it may be kept.
    """

    inputs: Mapping[str, Array]
    labels: Array | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values()), ()))

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[compression.Batch]:
        """All samples once, as `compression.Samples` has it."""
        return (batch for _, batch in self.indexed(size, seed=seed))

    def indexed(
        self, size: int, *, seed: int | None = None
    ) -> Iterator[tuple[Rows, compression.Batch]]:
        """Batches with the places of their samples."""
        for rows in in_order(len(self), size, seed):
            yield rows, self.at(rows)

    def at(self, rows: Rows) -> compression.Batch:
        """The samples in these places, copied."""
        inputs = {name: array[rows] for name, array in self.inputs.items()}
        return compression.Batch(
            inputs=inputs, labels=None if self.labels is None else self.labels[rows]
        )

    def select(self, rows: Rows) -> ArraySamples:
        """The samples in these places, as a data set."""
        batch = self.at(rows)
        return ArraySamples(inputs=batch.inputs, labels=batch.labels)

    def fingerprint(self) -> str:
        """A hash of all that is in it."""
        whole = sha256()
        parts = {**self.inputs, **({} if self.labels is None else {"labels": self.labels})}
        for name, array in parts.items():
            whole.update(f"{name} {array.dtype} {array.shape}".encode())
            whole.update(np.ascontiguousarray(array).data)
        return whole.hexdigest()


def in_order(count: int, size: int, seed: int | None) -> Iterator[Rows]:
    """Places of samples, `size` at a time: in their order, or in one that `seed` alone decides."""
    order = np.arange(count) if seed is None else np.random.default_rng(seed).permutation(count)
    yield from (order[start : start + size] for start in range(0, count, size))
