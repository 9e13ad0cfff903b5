"""What commands write: the outputs of a run, and checks before the work."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.files import whole_file
from deepseek_core.contracts.graph import Graph
from deepseek_core.runtime.result import Result

_ADDED: Final = 2  # `dtype.isbuiltin` of what another library adds to numpy (bfloat16, float8)


def check_writable(*paths: str | None) -> None:
    """Fail before the work, not after it."""
    for path in (Path(text) for text in paths if text):
        folder = path.resolve().parent
        if not folder.is_dir():
            raise ConfigError(
                f"the folder of {path} does not exist", remedy="make it, or choose another"
            )
        if path.is_dir():
            raise ConfigError(f"{path} is a folder", remedy="name a file in it")
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
        found |= (
            _batches(spec.name, values, axis) if axis is not None else _calls(spec.name, values)
        )
    return found


def _batches(name: str, values: Sequence[Any], axis: int) -> dict[str, Any]:
    import numpy as np

    if not _are_alike(values, axis):
        return _numbered(name, values)
    return {name: np.concatenate(values, axis=axis)}


def _calls(name: str, values: Sequence[Any]) -> dict[str, Any]:
    import numpy as np

    if not _are_alike(values):
        return _numbered(name, values)
    ones = values[0].shape[:1] == (1,)
    return {name: np.concatenate(values) if ones else np.stack(values)}


def _are_alike(values: Sequence[Any], but: int | None = None) -> bool:
    """Whether all are arrays of one dtype and shape, but for the size of one axis."""
    import numpy as np

    kinds = {_kind(v, but) if isinstance(v, np.ndarray) else None for v in values}
    return len(kinds) == 1 and None not in kinds


def _kind(array: Any, but: int | None) -> tuple[object, ...]:
    sizes = tuple(None if axis == but else size for axis, size in enumerate(array.shape))
    return array.dtype, sizes


def _numbered(name: str, values: Sequence[Any]) -> dict[str, Any]:
    return {f"{name}.{number}": value for number, value in enumerate(values)}


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
        return {"dtype": str(value.dtype), "shape": list(value.shape)}
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
        for name, value in _arrays(outputs):
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


def _arrays(outputs: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in outputs.items():
        if isinstance(value, Mapping):
            yield from _arrays({f"{name}/{key}": inner for key, inner in value.items()})
        elif isinstance(value, list | tuple):
            yield from _arrays({f"{name}/{key}": inner for key, inner in enumerate(value)})
        elif value is not None:
            yield str(name), value
