"""What users return as a data set, as samples: arrays, torch data sets, pairs, batches, files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from deepseek_compress.samples.arrays import Array, ArraySamples
from deepseek_compress.samples.convert import as_array, check_finite, is_arraylike
from deepseek_compress.samples.items import ItemSamples, stacked
from deepseek_compress.samples.names import LABELS, Expected, named, same_length
from deepseek_core import compression, errors

MOST_GATHERED_NBYTES: Final = 4 << 30
_END: Final = object()
_AGAIN: Final = "give the function that makes it, or a list, or a torch Dataset"


def as_samples(given: Any, expected: Expected) -> compression.Samples:
    """The samples that a user's value stands for; where it could mean two things it is refused.

    Taken are `(x, y)` and `{input name: array, "labels": array}` of numpy arrays or torch tensors,
    arrays alone (without labels), torch data sets and loaders, lists of `(x, y)` pairs, iterables
    of batches or samples (read into memory), the path of an `.npz` file with the names of a
    mapping or x and y, a function or class that gives one of these, and samples of the contract.

    Raises:
        InputError: it is not a data set, is empty, holds NaN or text, or does not fit the model.
        ArtifactError: a file that can't be read.
    """
    if isinstance(given, type):
        return _called(given, expected)
    if isinstance(given, compression.Samples):
        return _of_contract(given, expected)
    if isinstance(given, str | Path):
        return as_samples(read_npz(Path(given), expected), expected)
    if isinstance(given, Mapping) or is_arraylike(given):
        return _arrays(given, expected)
    if isinstance(given, Iterator):
        raise errors.InputError(
            f"{expected.where} is a {type(given).__name__}, which can be gone through but once",
            remedy=_AGAIN,
        )
    if isinstance(given, tuple | list):
        return _of_sequence(given, expected)
    return _of_object(given, expected)


def _of_contract(given: compression.Samples, expected: Expected) -> compression.Samples:
    if not len(given):
        raise errors.InputError(f"{expected.where} is empty", remedy="check the path and the split")
    return given


def _of_sequence(given: Sequence[Any], expected: Expected) -> compression.Samples:
    if not given:
        raise errors.InputError(f"{expected.where} is empty", remedy="check the path and the split")
    if isinstance(given, tuple) and any(is_arraylike(value) for value in given):
        return _arrays(given, expected)
    if all(isinstance(item, tuple | list | Mapping) for item in given):
        return _gathered(given, expected)
    raise errors.InputError(
        f"{expected.where} is a {type(given).__name__} of {type(given[0]).__name__}",
        remedy="return a tuple (x, y) of arrays, or a list of (x, y) pairs",
    )


def _of_object(given: Any, expected: Expected) -> compression.Samples:
    tensors = getattr(given, "tensors", None)  # torch's TensorDataset
    if isinstance(tensors, tuple) and hasattr(given, "__getitem__"):
        return _arrays(tensors, expected)
    if _loads_plainly(given):
        return as_samples(given.dataset, expected)
    if hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        return ItemSamples.of(given, expected)
    if isinstance(given, Iterable):
        return _gathered(given, expected)
    if callable(given):
        return _called(given, expected)
    raise errors.InputError(
        f"{expected.where} is a {type(given).__name__}",
        remedy="return (x, y) arrays, a torch Dataset, or a list of (x, y) pairs",
    )


def _loads_plainly(given: Any) -> bool:
    """Whether it is a loader that only stacks what a data set gives."""
    collate = getattr(getattr(given, "collate_fn", None), "__name__", "")
    plain = collate == "default_collate"
    return plain and hasattr(getattr(given, "dataset", None), "__getitem__")


def _called(make: Any, expected: Expected) -> compression.Samples:
    try:
        made = make()
    except errors.DeepSeekError:
        raise
    except (Exception, SystemExit) as error:
        raise errors.InputError(
            f"{expected.where}: the function raised {type(error).__name__}: {error}",
            remedy="correct the function; it is called without arguments",
        ) from error
    if isinstance(made, Iterator):
        return _gathered(made, expected)  # it is new, so nothing of it was read before
    if callable(made) and not hasattr(made, "__getitem__") and not hasattr(made, "__iter__"):
        raise errors.InputError(
            f"{expected.where}: the function gave a {type(made).__name__}",
            remedy="return (x, y) arrays, a torch Dataset, or a list of (x, y) pairs",
        )
    return as_samples(made, expected)


def _arrays(given: Any, expected: Expected) -> ArraySamples:
    parts, labels = named(given, expected)
    inputs = {name: as_array(value, f"{expected.where}: {name}") for name, value in parts.items()}
    found = None if labels is None else as_array(labels, f"{expected.where}: labels")
    return checked(inputs, found, expected)


def checked(inputs: dict[str, Array], labels: Array | None, expected: Expected) -> ArraySamples:
    """Arrays that are a data set.

    Raises:
        InputError: lengths differ, it is empty, holds NaN, or does not fit the model.
    """
    everything = inputs | ({} if labels is None else {LABELS: labels})
    same_length(everything, expected.where)
    for name, array in everything.items():
        check_finite(array, f"{expected.where}: {name}")
    for name, array in inputs.items():
        expected.check_shape(name, array.shape[1:])
    return ArraySamples(inputs=inputs, labels=labels)


def _gathered(given: Iterable[Any], expected: Expected) -> ArraySamples:
    """Batches or samples, read once and kept in memory."""
    batches: list[compression.Batch] = []
    nbytes, number, remaining = 0, 0, _opened(given, expected)
    while (item := _next(remaining, number, expected)) is not _END:
        batch = _as_batch(item, number, expected)
        batches.append(batch)
        nbytes += sum(array.nbytes for array in batch.inputs.values())
        number += 1
        if nbytes > MOST_GATHERED_NBYTES:
            raise errors.InputError(
                f"{expected.where}: more than {MOST_GATHERED_NBYTES >> 30} GiB of batches, "
                "which are read into memory",
                remedy="return a torch Dataset, which is read as it is used",
            )
    return _joined(batches, expected)


def _opened(given: Iterable[Any], expected: Expected) -> Iterator[Any]:
    try:
        return iter(given)
    except TypeError as error:
        raise errors.InputError(f"{expected.where}: {error}", remedy=_AGAIN) from error


def _next(remaining: Iterator[Any], number: int, expected: Expected) -> Any:
    try:
        return next(remaining, _END)
    except errors.DeepSeekError:
        raise
    except Exception as error:
        raise errors.InputError(
            f"{expected.where}: batch {number} can't be read: {type(error).__name__}: {error}",
            remedy="correct the data set",
        ) from error


def _as_batch(item: Any, number: int, expected: Expected) -> compression.Batch:
    if isinstance(item, compression.Batch):
        return item
    parts, labels = named(item, expected)
    if not _is_batch(parts, labels, expected):
        return stacked([item], [number], expected)
    where = f"{expected.where}, batch {number}"
    found = _arrays(item, Expected(inputs=expected.inputs, where=where))
    return compression.Batch(inputs=found.inputs, labels=found.labels)


def _is_batch(parts: Mapping[str, Any], labels: Any, expected: Expected) -> bool:
    """Whether the first axis counts samples: told by the input's shape, else by the label's.

    Raises:
        InputError: it can't be told.
    """
    name, value = next(iter(parts.items()))
    rank, wanted = np.ndim(value) if np.isscalar(value) else _rank(value), expected.inputs.get(name)
    if wanted:
        return rank == len(wanted)
    if labels is None or (_rank(labels) == 1 and rank == 1):
        raise errors.InputError(
            f"{expected.where}: it can't be told whether an item is a sample or a batch",
            remedy="return arrays, or name the model's input shape: model.input = [1, ...]",
        )
    return _rank(labels) > 0


def _rank(value: Any) -> int:
    return len(value.shape) if hasattr(value, "shape") else np.ndim(value)


def _joined(batches: Sequence[compression.Batch], expected: Expected) -> ArraySamples:
    if not batches:
        raise errors.InputError(
            f"{expected.where} gave nothing: it is empty, or was gone through before",
            remedy=_AGAIN,
        )
    names = list(batches[0].inputs)
    for number, batch in enumerate(batches):
        if list(batch.inputs) != names or (batch.labels is None) != (batches[0].labels is None):
            raise errors.InputError(
                f"{expected.where}: batch {number} has other parts than the first",
                remedy="give each the same inputs, and labels to all or none",
            )
    inputs = {
        name: _concatenated([b.inputs[name] for b in batches], name, expected) for name in names
    }
    labels = [batch.labels for batch in batches if batch.labels is not None]
    return checked(inputs, _concatenated(labels, LABELS, expected) if labels else None, expected)


def _concatenated(parts: list[Array], name: str, expected: Expected) -> Array:
    try:
        return np.concatenate(parts)
    except ValueError as error:
        raise errors.TensorMismatch(
            f"{expected.where}: {name}: {error}", remedy="make all samples of one shape"
        ) from error


def read_npz(path: Path, expected: Expected) -> dict[str, Array]:
    """Arrays of an `.npz` file by name.

    Raises:
        ArtifactError: it is missing, damaged, or holds Python objects.
    """
    if path.suffix != ".npz":
        raise errors.ArtifactError(
            f"{expected.where}: {path} is no .npz file",
            remedy='save it with np.savez(path, x=x, y=y), or name a function: "file.py:function"',
        )
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise errors.ArtifactError(f"no such file: {path}", remedy="check the path") from error
    except Exception as error:  # zipfile, zlib and numpy each have their own
        raise errors.ArtifactError(
            f"{path} can't be read: {error}", remedy="save it again with np.savez(path, x=x, y=y)"
        ) from error
