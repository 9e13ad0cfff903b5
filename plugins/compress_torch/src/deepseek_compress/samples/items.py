"""Samples that a data set gives one by one, by their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import attrs
import numpy as np

from deepseek_compress.samples.arrays import Array, Rows, in_order
from deepseek_compress.samples.convert import as_array, check_finite
from deepseek_compress.samples.names import Expected, named
from deepseek_core import compression, errors


@attrs.frozen(kw_only=True, eq=False)
class ItemSamples:
    """A data set with `__getitem__` and `__len__`, as torch has them; `rows` are those in use.

    Items may differ from read to read (random augmentation).
    """

    items: Any
    rows: Rows
    expected: Expected

    @classmethod
    def of(cls, items: Any, expected: Expected) -> ItemSamples:
        """All items of a data set; the first one is read, to see whether it fits.

        Raises:
            InputError: it is empty, or an item is not a sample.
        """
        count = _length(items, expected)
        if not count:
            raise errors.InputError(
                f"{expected.where} is empty", remedy="check the path and the split"
            )
        made = cls(items=items, rows=np.arange(count), expected=expected)
        made.at(made.rows[:1])
        return made

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[compression.Batch]:
        """All samples once, as `compression.Samples` has it."""
        return (batch for _, batch in self.indexed(size, seed=seed))

    def indexed(
        self, size: int, *, seed: int | None = None
    ) -> Iterator[tuple[Rows, compression.Batch]]:
        """Batches with the places of their samples."""
        for places in in_order(len(self), size, seed):
            yield places, self.at(self.rows[places])

    def at(self, numbers: Rows) -> compression.Batch:
        """The items of these numbers, read and stacked.

        Raises:
            InputError: one raises, is not a sample, or has another shape than the others.
        """
        return stacked([self._read(int(n)) for n in numbers], list(numbers), self.expected)

    def select(self, rows: Rows) -> ItemSamples:
        """The samples in these places, as a data set."""
        return attrs.evolve(self, rows=self.rows[rows])

    def fingerprint(self) -> str:
        """A hash of which items are in use; what is in them may change from read to read."""
        return sha256(f"{len(self.items)}".encode() + self.rows.tobytes()).hexdigest()

    def _read(self, number: int) -> Any:
        try:
            return self.items[number]
        except errors.DeepSeekError:
            raise
        except Exception as error:
            raise errors.InputError(
                f"{self.expected.where}: sample {number} can't be read: "
                f"{type(error).__name__}: {error}",
                remedy="correct the data set, or leave the sample out",
            ) from error


def _length(items: Any, expected: Expected) -> int:
    try:
        return len(items)
    except Exception as error:
        raise errors.InputError(
            f"{expected.where}: {type(items).__name__} has no length: "
            f"{type(error).__name__}: {error}",
            remedy="define __len__, or return an iterable of (x, y) pairs",
        ) from error


def stacked(items: Sequence[Any], numbers: Sequence[int], expected: Expected) -> compression.Batch:
    """Samples as one batch; `numbers` is what they are called in messages.

    Raises:
        InputError: some are no samples, hold NaN, or differ in shape.
    """
    inputs: dict[str, list[Array]] = {}
    labels: list[Array] = []
    for number, item in zip(numbers, items, strict=True):
        parts, label = named(item, expected)
        for name, value in parts.items():
            inputs.setdefault(name, []).append(as_array(value, f"{expected.where}: {name}"))
        if label is not None:
            labels.append(as_array(label, f"{expected.where}: the label of sample {number}"))
    arrays = {name: _stack(parts, numbers, name, expected) for name, parts in inputs.items()}
    for name, array in arrays.items():
        check_finite(array, f"{expected.where}: {name}")
        expected.check_shape(name, array.shape[1:])
    if labels and len(labels) != len(items):
        raise errors.InputError(
            f"{expected.where}: some samples have no label", remedy="give all of them or none"
        )
    found = _stack(labels, numbers, "the label", expected) if labels else None
    return compression.Batch(inputs=arrays, labels=found)


def _stack(parts: list[Array], numbers: Sequence[int], name: str, expected: Expected) -> Array:
    for number, part in zip(numbers, parts, strict=False):
        if part.shape != parts[0].shape:
            raise errors.TensorMismatch(
                f"{expected.where}: {name} of sample {number} has shape {part.shape}, that of "
                f"sample {numbers[0]} has {parts[0].shape}",
                remedy="make all samples of one shape",
            )
    return np.stack(parts)
