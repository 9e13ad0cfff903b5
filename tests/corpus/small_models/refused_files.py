"""Files that ONNX Runtime refuses to open: cut off, no models, or without their data."""

from __future__ import annotations

from pathlib import Path

import onnx

from small_models.building import as_model, node, save, weights
from small_models.refusing import Refusals, X, Y, relu

refusals = Refusals()


def _holding(content: bytes):
    def write(folder: Path) -> Path:
        path = folder / "model.onnx"
        path.write_bytes(content)
        return path

    return write


@refusals.saying("(?i)protobuf|parse|complete")
def cut_off():
    """A file without its last bytes."""
    return _holding(relu().SerializeToString()[:-9])


@refusals.saying("(?i)protobuf|parse|complete")
def no_model():
    """A text."""
    return _holding(b"hello\n" * 9)


@refusals.saying("(?i)protobuf|parse|complete|empty")
def empty():
    """An empty file."""
    return _holding(b"")


def _with_data_at(location: str, offset: int = 0):
    """A weight of 12 bytes in a file; `short.bin` has 8 and `../secret.bin` has 12."""
    model = as_model([node("Mul", ["x", "w"], ["y"])], X, Y, {"w": weights(0, 3)})
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": offset, "length": 12}.items():
        weight.external_data.add(key=key, value=str(value))

    def write(folder: Path) -> Path:
        (folder / "secret.bin").write_bytes(bytes(12))
        inside = folder / "inside"
        inside.mkdir()
        (inside / "short.bin").write_bytes(bytes(8))
        return save(model, inside)

    return write


@refusals.saying("gone.bin")
def data_that_is_gone():
    """The file beside it is missing."""
    return _with_data_at("gone.bin")


@refusals.saying("(?i)short.bin|size|length|bound")
def data_that_is_cut_off():
    """The file beside it is too short."""
    return _with_data_at("short.bin")


@refusals.saying("secret.bin")
def data_outside_the_folder():
    """The file lies above the model's folder."""
    return _with_data_at("../secret.bin")


@refusals.saying("(?i)short.bin|size|offset|bound")
def data_beyond_the_end():
    """The offset lies behind the end of the file."""
    return _with_data_at("short.bin", 4096)
