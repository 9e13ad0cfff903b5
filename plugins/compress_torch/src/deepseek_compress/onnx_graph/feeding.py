"""Samples as a model's inputs: checked against names, dtypes and shapes, in batches it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

import attrs
import numpy as np
from onnx import ModelProto, helper

from deepseek_compress.errors import BadCalibration
from deepseek_compress.samples.arrays import ArraySamples
from deepseek_core import compression

Array = np.ndarray[Any, Any]
BATCH: Final = 16
"""Samples that go in together where the model leaves the number open: bounds the memory."""


@attrs.frozen(kw_only=True)
class Input:
    """An input of a model: its dtype, and its dimensions (None where they are open)."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        dims = ", ".join("?" if dim is None else str(dim) for dim in self.shape)
        return f"{self.name!r} {self.dtype}[{dims}]"


@attrs.frozen(kw_only=True)
class Fed:
    """One call of the model: its inputs, the number of the first sample, how many are real."""

    inputs: Mapping[str, Array]
    first: int
    count: int


def as_samples(given: Any, model: ModelProto) -> compression.Samples:
    """What was given as samples: arrays by input name, or one array for the only input.

    Raises:
        BadCalibration: it is neither, there are none, or arrays do not count the same samples.
    """
    samples = given if isinstance(given, compression.Samples) else _arrays(given, model)
    if not len(samples):
        raise BadCalibration("there are no samples", remedy="give some real ones")
    return samples


def _arrays(given: Any, model: ModelProto) -> compression.Samples:
    if isinstance(given, np.ndarray):
        given = {inputs_of(model)[0].name: given}
    if not isinstance(given, Mapping) or not all(hasattr(a, "shape") for a in given.values()):
        raise BadCalibration(
            f"samples must be Samples, an array, or arrays by input name, got {type(given)}",
            remedy="give {input name: array of shape (samples, ...)}",
        )
    counts = {name: array.shape[0] if array.ndim else 0 for name, array in given.items()}
    if len(set(counts.values())) > 1:
        raise BadCalibration(f"inputs hold different numbers of samples: {counts}")
    found = {name: np.asarray(array) for name, array in given.items()}
    return ArraySamples(inputs=found if any(counts.values()) else {})


def inputs_of(model: ModelProto) -> tuple[Input, ...]:
    """The inputs that have no default."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return tuple(_input(value) for value in model.graph.input if value.name not in constants)


def _input(value: Any) -> Input:
    tensor = value.type.tensor_type
    dims = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    return Input(
        name=value.name,
        dtype=np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)),
        shape=dims,
    )


@attrs.frozen(eq=False)
class Feeder:
    """Turns samples into the calls of one model.

    Where arrays have one dimension more than the input, each sample is a whole input by itself.
    """

    inputs: tuple[Input, ...]

    @classmethod
    def of(cls, model: ModelProto) -> Feeder:
        """The feeder of a model."""
        return cls(inputs_of(model))

    def calls(self, samples: compression.Samples, size: int = BATCH) -> Iterator[Fed]:
        """All samples once, in batches of a size that the model takes.

        Raises:
            BadCalibration: a name, dtype or shape does not fit the model.
        """
        first = 0
        size = self._size(samples, size)
        for batch in samples.batches(size):
            count = len(batch)
            yield Fed(inputs=self._fitted(batch.inputs, size, first), first=first, count=count)
            first += count

    def _size(self, samples: compression.Samples, size: int) -> int:
        """1 for whole inputs, the model's own number where it has one, else `size`."""
        found = next(iter(samples.batches(1)), None)
        if found is None:
            return 1
        self._check_names(found.inputs)
        if any(np.ndim(found.inputs[i.name]) != len(i.shape) for i in self.inputs):
            return 1
        fixed = {i.shape[0] for i in self.inputs if i.shape and i.shape[0] is not None}
        return min(fixed) if fixed else size

    def _check_names(self, given: Mapping[str, Array]) -> None:
        known = [i.name for i in self.inputs]
        for name in given:
            if name not in known:
                close = get_close_matches(name, known, n=1, cutoff=0.0) or known
                raise BadCalibration(
                    f"the model has no input {name!r}; its inputs are {', '.join(known)}",
                    remedy=f"call it {close[0]!r}",
                )
        missing = [name for name in known if name not in given]
        if missing:
            raise BadCalibration(
                f"samples lack the input {missing[0]!r}", remedy="give an array for each input"
            )

    def _fitted(self, given: Mapping[str, Array], size: int, first: int) -> dict[str, Array]:
        return {i.name: _fit(np.asarray(given[i.name]), i, size, first) for i in self.inputs}


def _fit(array: Array, wanted: Input, size: int, first: int) -> Array:
    """An array as the model takes it; a last, smaller batch is filled up with its last sample."""
    if array.dtype != wanted.dtype:
        raise BadCalibration(
            f"input {wanted} is given as {array.dtype}",
            remedy=f"convert the samples as the model's users do, to {wanted.dtype}",
        )
    if size == 1 and array.ndim == len(wanted.shape) + 1:
        array = np.asarray(array[0])  # of a scalar input it would be no array
    elif wanted.shape and wanted.shape[0] is not None and 0 < len(array) < wanted.shape[0]:
        missing = wanted.shape[0] - len(array)
        array = np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
    fits = array.ndim == len(wanted.shape) and all(
        dim is None or dim == given for dim, given in zip(wanted.shape, array.shape, strict=False)
    )
    if not fits:
        raise BadCalibration(f"input {wanted} is given as {array.shape} at sample {first}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0]) if array.ndim else 0
        raise BadCalibration(
            f"sample {first + (row if size > 1 else 0)} has NaN or infinity in input "
            f"{wanted.name!r}",
            remedy="leave it out, or fix what reads it",
        )
    return array
