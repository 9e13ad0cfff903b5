"""Samples of a data set, as steps of compression read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol, runtime_checkable

import attrs

from deepseek_core.contracts.stage import Array


@attrs.frozen(kw_only=True, eq=False)
class Batch:
    """Some samples: `inputs` by the model's input names, and their `labels` where there are any.

    The first axis of each array counts the samples.
    """

    inputs: Mapping[str, Array]
    labels: Array | None = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values()))) if self.inputs else 0


@runtime_checkable
class Samples(Protocol):
    """A data set that can be gone through again and again."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[Batch]:
        """All samples once, `size` at a time (the last batch may be smaller).

        In their own order, or in an order that depends on nothing but `seed`.
        """
        ...
