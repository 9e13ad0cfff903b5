"""Rows of a data set: numbers, categories as text, and the target.

Legend: N rows, M columns of numbers, C columns of categories.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_core import errors

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Texts = npt.NDArray[np.str_]

LARGEST = np.float32(1e30)
"""Numbers are held within this, so that their logarithm and square stay finite."""


def _column_names(value: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in value)


@attrs.frozen(kw_only=True)
class Columns:
    """Names of the columns that a model reads, in its order."""

    numbers: tuple[str, ...] = attrs.field(converter=_column_names)
    categories: tuple[str, ...] = attrs.field(converter=_column_names)

    def __attrs_post_init__(self) -> None:
        if not self.numbers and not self.categories:
            raise errors.InputError(
                "no column is left to predict from",
                remedy="drop fewer columns, or give data with more than a target",
            )


@attrs.frozen(kw_only=True, eq=False)
class Inputs:
    """What a model reads: `numbers` (N, M) with NaN where one is missing, `categories` (N, C)."""

    columns: Columns
    numbers: Floats
    categories: Texts

    def __attrs_post_init__(self) -> None:
        rows = len(self.numbers)
        wanted = (rows, len(self.columns.numbers)), (rows, len(self.columns.categories))
        if (self.numbers.shape, self.categories.shape) != wanted:
            raise errors.TensorMismatch(
                f"numbers {self.numbers.shape} and categories {self.categories.shape} do not fit "
                f"{len(self.columns.numbers)} and {len(self.columns.categories)} columns",
                remedy="give a row of each column for every sample",
            )

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: Ints) -> Inputs:
        """These rows."""
        return Inputs(
            columns=self.columns, numbers=self.numbers[rows], categories=self.categories[rows]
        )


@attrs.frozen(kw_only=True, eq=False)
class Table:
    """Inputs and their target, 1 where clicked and 0 where not."""

    inputs: Inputs
    target: Ints

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: Ints) -> Table:
        """These rows."""
        return Table(inputs=self.inputs.take(rows), target=self.target[rows])


def bounded(numbers: npt.NDArray[Any]) -> Floats:
    """Numbers as float32 within the bounds; NaN stays."""
    with np.errstate(over="ignore"):
        return np.clip(numbers.astype(np.float32), -LARGEST, LARGEST)
