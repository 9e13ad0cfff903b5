"""Reads what a user passes as `--input`: NPZ files and folders of pictures."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deepseek_core.contracts.errors import ArtifactError, InputError, TensorMismatch
from deepseek_core.contracts.graph import Array, Graph
from deepseek_core.contracts.tensor import BATCH, TensorSpec

_PICTURES: Final = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


def read_inputs(paths: Iterable[str], graph: Graph) -> dict[str, Array]:
    """Arrays by input name.

    Raises:
        ArtifactError: a file that is missing or can't be read.
        TensorMismatch: a folder where the model has no input for pictures, or a name given twice.
    """
    arrays: dict[str, Array] = {}
    for text in paths:
        path = Path(text)
        found = _read_folder(path, graph) if path.is_dir() else _read_npz(path)
        twice = set(found) & set(arrays)
        if twice:
            raise TensorMismatch(f"input {sorted(twice)[0]!r} is given twice, again in {path}")
        arrays |= found
    return arrays


def _read_npz(path: Path) -> dict[str, Array]:
    import numpy as np

    if not path.is_file():
        raise ArtifactError(f"no such file or folder: {path}", remedy="check the path")
    if not zipfile.is_zipfile(path):
        raise ArtifactError(
            f"{path} is no NPZ file, or a truncated one", remedy="write it with numpy.savez"
        )
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: np.asarray(archive[name]) for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        # numpy would have the user load them unsafely.
        reason = "an array holds Python objects" if "pickle" in str(error) else error
        raise ArtifactError(
            f"{path} can't be read as NPZ: {reason}", remedy="write numbers with numpy.savez"
        ) from error


def _read_folder(folder: Path, graph: Graph) -> dict[str, Array]:
    import numpy as np

    spec = _picture_input(graph)
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in _PICTURES)
    if not files:
        raise ArtifactError(
            f"{folder} has no pictures", remedy=f"formats: {', '.join(sorted(_PICTURES))}"
        )
    return {spec.name: np.stack([_read_picture(file, spec) for file in files])}


def _picture_input(graph: Graph) -> TensorSpec:
    """The one batched input whose items have two dimensions, or three with 1 or 3 channels."""
    fits = [s for s in graph.inputs if BATCH in s.shape and len(s.shape) in (3, 4)]
    if len(fits) != 1:
        raise TensorMismatch(
            f"{len(fits)} inputs of the model could take pictures",
            remedy="pass arrays by name in an NPZ file",
        )
    return fits[0]


def _read_picture(file: Path, spec: TensorSpec) -> Array:
    """Pixels in the input's size, channels and dtype; floats are scaled to 0..1."""
    import numpy as np

    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise InputError(
            "reading pictures needs Pillow, which is not installed", remedy="pip install pillow"
        ) from None
    channels, height, width = _layout(spec)
    try:
        with Image.open(file) as picture:
            pixels = np.asarray(picture.convert("RGB" if channels == 3 else "L"))
            if isinstance(height, int) and isinstance(width, int):
                resized = Image.fromarray(pixels).resize((width, height))
                pixels = np.asarray(resized)
    except (OSError, UnidentifiedImageError) as error:
        raise ArtifactError(f"{file} is no readable picture: {error}") from error
    pixels = pixels if spec.dtype == "uint8" else (pixels / 255.0).astype(spec.dtype)
    if len(spec.shape) == 3:
        return pixels
    if spec.shape[1] == channels:
        return pixels.transpose(2, 0, 1) if channels == 3 else pixels[None]
    return pixels if channels == 3 else pixels[..., None]


def _layout(spec: TensorSpec) -> tuple[int, int | str, int | str]:
    """Channels, height, width of an input [N,H,W], [N,C,H,W] or [N,H,W,C]."""
    if len(spec.shape) == 3:
        return 1, spec.shape[1], spec.shape[2]
    _, a, b, c = spec.shape
    if a in (1, 3):
        return int(a), b, c
    if c in (1, 3):
        return int(c), a, b
    raise TensorMismatch(f"input {spec} has neither 1 nor 3 channels; pass an NPZ file")
