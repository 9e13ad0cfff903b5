"""What commands write: the outputs of a run, and checks before the work."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.files import whole_file
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.tensor import dtype_name
from deepseek_core.runtime.result import Result

_ADDED: Final = 2  # `dtype.isbuiltin` of what another library adds to numpy (bfloat16, float8)


def check_writable(*paths: str | None, read: Iterable[str] = ()) -> None:
    """Fail before the work, not after it; `read` are files that the work reads.

    Raises:
        ConfigError: a path that can't become a file, or that is read or written already.
    """
    taken = {os.path.realpath(text): "would overwrite what this command reads" for text in read}
    for text in filter(None, paths):
        target = os.path.realpath(text)
        if target in taken:
            raise ConfigError(f"{text} {taken[target]}", remedy="choose another file")
        taken[target] = "is to be written by two options"
        try:
            _check_place(Path(text), Path(target))
        except OSError as error:
            raise ConfigError(f"{text}: {error.strerror}", remedy="choose another file") from error


def _check_place(path: Path, target: Path) -> None:
    folder = target.parent
    if not folder.is_dir():
        raise ConfigError(
            f"the folder of {path} does not exist", remedy="make it, or choose another"
        )
    if target.is_dir():
        raise ConfigError(f"{path} is a folder", remedy="name a file in it")
    if target.exists() and not target.is_file():
        return  # a pipe or `/dev/null` is written to as it is
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"{folder} can't be written to", remedy="choose another folder")


def joined(graph: Graph, results: Sequence[Result]) -> dict[str, Any]:
    """Outputs of all batches, whole: never an item less than the runs gave.

    Batches are joined along the batch axis. Results of calls that are no batches stand along a
    new first axis, in place of one of size 1. What differs in shape otherwise has a name of its
    own, `NAME.0`, `NAME.1`.
    """
    if len(results) == 1:
        return dict(results[0])
    found: dict[str, Any] = {}
    for spec in graph.output_specs:
        values = [result[spec.name] for result in results]
        axis = spec.batch_axis if graph.is_batched else None
        whole = _whole(values, axis)
        if whole is None:
            found |= _below(spec.name, ".", dict(enumerate(values)), {*graph.outputs, *found})
        else:
            found[spec.name] = whole
    return found


def _whole(values: Sequence[Any], axis: int | None) -> Any:
    """The values of all calls as one array; None where they differ."""
    import numpy as np

    if not _are_alike(values, axis):
        return None
    if axis is not None:
        return np.concatenate(values, axis=axis)
    return np.concatenate(values) if values[0].shape[:1] == (1,) else np.stack(values)


def _below(
    name: str, mark: str, values: Mapping[Any, Any], taken: Container[str]
) -> dict[str, Any]:
    """The values as `NAME.KEY`, or `NAME_.KEY` where another output is called so."""
    while any(f"{name}{mark}{key}" in taken for key in values):
        name += "_"
    return {f"{name}{mark}{key}": value for key, value in values.items()}


def _are_alike(values: Sequence[Any], but: int | None = None) -> bool:
    """Whether all are arrays of one dtype and shape, but for the size of one axis."""
    import numpy as np

    kinds = {_kind(v, but) if isinstance(v, np.ndarray) else None for v in values}
    return len(kinds) == 1 and None not in kinds


def _kind(array: Any, but: int | None) -> tuple[object, ...]:
    sizes = tuple(None if axis == but else size for axis, size in enumerate(array.shape))
    return array.dtype, sizes


def names_of(files: Sequence[str], outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The names of the pictures in the order of the outputs, under a name that is free."""
    import numpy as np

    name = "files"
    while name in outputs:
        name = f"input_{name}"
    return {name: np.array(files)} if files else {}


def described(value: Any) -> dict[str, Any]:
    """An output in a report: dtype and shape; of a sequence or map its type and length."""
    if hasattr(value, "dtype"):
        return {"dtype": dtype_name(value.dtype), "shape": list(value.shape)}
    if value is None:  # an optional that holds nothing
        return {"dtype": "nothing", "shape": []}
    return {"dtype": type(value).__name__, "shape": [len(value)]}


def write_npz(path: Path, outputs: Mapping[str, Any]) -> None:
    """Write outputs by name, all or nothing; what sequences and maps hold as `NAME/KEY`."""
    import numpy as np

    # By hand: np.savez has parameters of its own, whose names an output may have.
    with (
        whole_file(path) as partial,
        partial.open("wb") as file,
        zipfile.ZipFile(file if partial.is_file() else _OneWay(file), "w") as archive,
    ):
        for name, value in _flat(outputs).items():
            plain = _plain(np.asarray(value))
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, plain, allow_pickle=False)


class _OneWay(io.RawIOBase):
    """What has no positions to go back to: a pipe, `/dev/null`, which both may claim to have."""

    def __init__(self, file: BinaryIO) -> None:
        self.write = file.write  # type: ignore[method-assign]


def _plain(array: Any) -> Any:
    """An array that numpy alone can read: strings as such, dtypes that it lacks as raw bytes."""
    if array.dtype.hasobject:
        return array.astype(str)
    return array.view(f"V{array.dtype.itemsize}") if array.dtype.isbuiltin == _ADDED else array


def _flat(outputs: Mapping[Any, Any]) -> dict[str, Any]:
    """What outputs hold, by names of which none is lost; an empty optional holds nothing."""
    found = {str(n): v for n, v in outputs.items() if v is not None and not _holds_more(v)}
    for name, value in outputs.items():
        if _holds_more(value):
            inner = _flat(value if isinstance(value, Mapping) else dict(enumerate(value)))
            found |= _below(str(name), "/", inner, found)
    return found


def _holds_more(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)
