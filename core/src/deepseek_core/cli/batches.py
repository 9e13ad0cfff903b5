"""A run's inputs, call by call, out of arrays and a folder of pictures."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from deepseek_core.cli.inputs import folder_of
from deepseek_core.cli.pictures.arguments import picture_flags
from deepseek_core.contracts.batching import Batching
from deepseek_core.contracts.errors import (
    ArtifactError,
    ConfigError,
    InputRejected,
    TensorMismatch,
)
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.tensor import TensorSpec
from deepseek_core.contracts.units import counted

if TYPE_CHECKING:
    from deepseek_core.cli.pictures.layout import PictureInput
    from deepseek_core.cli.pictures.reading import Pictures

_WITH_COLORS = 4  # axes of an input whose first one counts pictures
_LEAST_SIDE = 5  # smaller axes are channels


class Batches:
    """Inputs of each call, made while they are iterated, once.

    `calls` is how many there are at the most; `files` are the names of the pictures that were
    given to the model, in the order of its outputs, `failed` those that could not be, with why.
    """

    def __init__(self, calls: int, inputs: Iterator[dict[str, Any]]) -> None:
        self.calls = calls
        self.files: list[str] = []
        self.failed: dict[str, str] = {}
        self.pictures: Pictures | None = None
        self._inputs = inputs
        self._ahead: list[dict[str, Any]] = []

    def __iter__(self) -> Iterator[dict[str, Any]]:
        ahead, self._ahead = self._ahead, []
        return chain(ahead, self._inputs)

    def first(self) -> dict[str, Any]:
        """The inputs of the first call, which are given again when it is iterated."""
        if not self._ahead:
            self._ahead = list(islice(self._inputs, 1))
        if not self._ahead:
            raise ArtifactError("the inputs hold nothing to run on", remedy="check --input")
        return self._ahead[0]


def batches_of(graph: Graph, args: argparse.Namespace, arrays: Mapping[str, Any]) -> Batches:
    """What `--input` gives: arrays in batches of `--batch` items, or the pictures of a folder.

    Raises:
        ArtifactError: a file or folder that can't be read.
        TensorMismatch: inputs that do not fit.
        ConfigError: options that contradict each other.
    """
    folder = picture_folder(args)
    if folder is not None:
        return _of_pictures(graph, args, folder, arrays)
    cut = _split(graph, arrays, args.batch)
    return Batches(len(cut), iter(cut))


def trial_batches(
    graph: Graph,
    args: argparse.Namespace,
    arrays: Mapping[str, Any],
    sizes: Mapping[str, int],
    *,
    most: int,
) -> list[dict[str, Any]]:
    """Up to so many batches to measure with: what `--input` gives, else noise of these sizes.

    Raises:
        as `batches_of`, and what `synthetic_inputs` raises.
    """
    folder = picture_folder(args)
    if not arrays and folder is None:
        from deepseek_core.runtime.calibration import synthetic_inputs

        return [synthetic_inputs(graph.inputs, args.batch, sizes)]
    if sizes:
        raise ConfigError("--shape is for inputs that are made up", remedy="drop it, or --input")
    if folder is None:
        _check_complete(graph, arrays)
    batches = batches_of(graph, args, arrays)
    batches.first()
    return list(islice(batches, most))


@contextmanager
def trial_of(args: argparse.Namespace, arrays: Mapping[str, Any]) -> Iterator[None]:
    """Say what helps where a model does not take the values that were made up for it.

    Raises:
        TensorMismatch: it does not.
    """
    try:
        yield
    except InputRejected as error:
        if arrays or picture_folder(args) is not None:
            raise
        raise TensorMismatch(
            f"the model does not take made-up inputs: {error.message}",
            remedy="pass real ones (--input FILE.npz), or give other sizes (--shape SYMBOL=SIZE)",
        ) from error


def _check_complete(graph: Graph, arrays: Mapping[str, Any]) -> None:
    """See that arrays are given for all inputs or for none.

    Raises:
        TensorMismatch: some are given, which is how constants are given as well.
    """
    missing = [s.name for s in graph.inputs if not s.optional and s.name not in arrays]
    if missing and all(any(s.name == name for s in graph.inputs) for name in arrays):
        fixed = " ".join(f"--constant {quote(name)}" for name in arrays)
        raise TensorMismatch(
            f"input {missing[0]!r} is missing; given: {', '.join(arrays)}",
            remedy=f"pass all inputs, or fix those given and the others are made up: {fixed}",
        )


def _split(graph: Graph, arrays: Mapping[str, Any], batch: int) -> list[dict[str, Any]]:
    """The arrays in batches of `batch` items, the last one smaller; as given without a batch axis.

    Raises:
        TensorMismatch: an input is missing or does not fit.
    """
    given = graph.admit(arrays)
    items = graph.items(given)
    if not items:
        return [given]
    return [_piece(graph, given, start, start + batch) for start in range(0, items, batch)]


def _piece(graph: Graph, arrays: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    axes = {spec.name: spec.batch_axis for spec in graph.inputs}
    return {
        name: array[(slice(None),) * (axes[name] or 0) + (slice(start, stop),)]
        for name, array in arrays.items()
    }


def picture_folder(args: argparse.Namespace) -> Path | None:
    """The folder of pictures that `--input` gives.

    Raises:
        ConfigError: there are several, or none and options for pictures.
    """
    folder, flags = folder_of(args.input), picture_flags(args)
    if flags and folder is None:
        raise ConfigError(f"{flags[0]} is for pictures", remedy="give --input FOLDER, too")
    return folder


def _of_pictures(
    graph: Graph, args: argparse.Namespace, folder: Path, arrays: Mapping[str, Any]
) -> Batches:
    from deepseek_core.cli.pictures.options import PictureOptions
    from deepseek_core.cli.pictures.reading import open_pictures

    spec = _picture_input(graph, arrays)
    _check_beside(graph, arrays)
    at_once = _at_once(graph, spec, args.batch)
    pictures = open_pictures(folder, _wanted(spec, at_once), PictureOptions.from_args(args))
    if "N" not in pictures.layout:
        at_once = 1
    made = Batches(-(-len(pictures.files) // at_once), iter(()))
    made.pictures = pictures
    is_fixed = isinstance((spec.shape or ("?",))[0], int)
    made._inputs = _stacked(pictures, at_once, arrays, made, is_fixed=is_fixed)
    return made


def _check_beside(graph: Graph, arrays: Mapping[str, Any]) -> None:
    """See that arrays beside pictures are the same for each of them.

    Raises:
        TensorMismatch: one has items of its own, and nothing says which picture each belongs to.
    """
    for spec in graph.inputs if graph.is_batched else ():
        axis, array = spec.batch_axis, arrays.get(spec.name)
        if axis is None or array is None or array.ndim <= axis or array.shape[axis] == 1:
            continue
        raise TensorMismatch(
            f"input {spec} has {counted(array.shape[axis], 'item')}, which can't be paired with "
            "the pictures of a folder",
            remedy="give one item for all of them, or all inputs as arrays in an NPZ file",
        )


def _wanted(spec: TensorSpec, at_once: int) -> PictureInput:
    """The input as it takes pictures: one at a time they may differ in size."""
    from deepseek_core.cli.pictures.layout import PictureInput

    shape = spec.shape or ()
    if at_once == 1 and (len(shape) == _WITH_COLORS or spec.batch_axis == 0):
        shape = (1, *shape[1:])
    return PictureInput(name=spec.name, dtype=spec.dtype, shape=shape, batch_axis=spec.batch_axis)


def batched_by_picture(graph: Graph, arrays: Mapping[str, Any]) -> Graph:
    """The graph without a proven batch axis that is a side of each picture.

    Raises:
        TensorMismatch: no input can take pictures, or several.
    """
    if graph.batching.source != "proven" or not _is_side(_picture_input(graph, arrays)):
        return graph
    return graph.with_batching(Batching(reason=f"{graph.batching.symbol} is a side of a picture"))


def _is_side(spec: TensorSpec) -> bool:
    """Whether its batch axis is height or width if it takes pictures, by the shape alone."""
    fixed = [dim for dim in spec.shape or () if isinstance(dim, int)]
    rank = len(spec.shape or ())
    if rank == _WITH_COLORS:
        return spec.batch_axis != 0
    if rank == _WITH_COLORS - 1:
        return spec.batch_axis != 0 or any(dim < _LEAST_SIDE for dim in fixed)
    return not fixed


def _picture_input(graph: Graph, arrays: Mapping[str, Any]) -> TensorSpec:
    """The one input that can take pictures.

    Raises:
        TensorMismatch: none can, or several.
    """
    specs = [s for s in graph.inputs if s.name not in arrays and not s.optional]
    fits = [s for s in specs if s.shape is not None and len(s.shape) in (2, 3, 4)]
    if len(fits) != 1 or len(specs) > 1:
        told = "; ".join(map(str, specs)) or "none"
        raise TensorMismatch(
            f"a folder of pictures is for one input of the model; without an array are: {told}",
            remedy="pass the other inputs by name in an NPZ file, too",
        )
    return fits[0]


def _at_once(graph: Graph, spec: TensorSpec, batch: int) -> int:
    """How many pictures one call takes, if the input's first axis counts pictures."""
    size = spec.shape[0] if spec.shape else 1
    if isinstance(size, int):
        return max(size, 1)
    alone = len(graph.inputs) == 1 and graph.is_batched and spec.batch_axis == 0
    return batch if alone else 1


def _stacked(
    pictures: Pictures,
    at_once: int,
    arrays: Mapping[str, Any],
    made: Batches,
    *,
    is_fixed: bool,
) -> Iterator[dict[str, Any]]:
    import numpy as np

    held: list[Any] = []
    for picture in pictures:
        if picture.array is None:
            made.failed[picture.name] = str(picture.error)
            continue
        made.files.append(picture.name)
        held.append(picture.array)
        if len(held) == at_once:
            yield {pictures.name: _given(np, held, pictures), **arrays}
            held = []
    if not held:
        return
    if is_fixed:
        _leave_out(held, at_once, made)
    else:
        yield {pictures.name: _given(np, held, pictures), **arrays}


def _given(np: Any, held: list[Any], pictures: Pictures) -> Any:
    return np.stack(held) if "N" in pictures.layout else held[0]


def _leave_out(held: list[Any], at_once: int, made: Batches) -> None:
    """Tell of pictures that do not fill a call of a model that takes so many at a time.

    Raises:
        TensorMismatch: there was no call at all.
    """
    left, made.files = made.files[-len(held) :], made.files[: -len(held)]
    why = f"left over: the model takes {at_once} pictures at a time"
    made.failed.update(dict.fromkeys(left, why))
    if not made.files:
        raise TensorMismatch(
            f"the model takes {at_once} pictures at a time, and the folder has {len(held)}",
            remedy=f"add {at_once - len(held)}, or export the model with a free batch axis",
        )
