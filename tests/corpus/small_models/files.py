"""Where a model lies: in memory, in odd folders, with weights in files beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from small_models.building import Built, Cases, as_model, node, rows, save, tensor, weights

cases = Cases("files")

_DATA = "model.data"


def _two_weights() -> onnx.ModelProto:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["y"])]
    constants = {"w": weights(0, 16, 16), "b": weights(1, 16)}
    return as_model(nodes, [tensor("x", ["N", 16])], [tensor("y", ["N", 16])], constants)


def _lying(write: Callable[[onnx.ModelProto, Path], Path], **more) -> Built:
    return Built(model=_two_weights(), inputs=rows("x", 16), axes={"x": 0}, write=write, **more)


def _save_with_data(model: onnx.ModelProto, folder: Path, data: str = _DATA) -> Path:
    """The model without its weights, which lie in one file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / data).parent.mkdir(parents=True, exist_ok=True)
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    path = folder / "model.onnx"
    onnx.save(copy, path, save_as_external_data=True, location=data, size_threshold=0)
    return path


@cases.add
def model_as_bytes() -> Built:
    """The session gets the bytes of a file."""
    return _lying(save, handed_over="bytes")


@cases.add
def model_as_a_proto() -> Built:
    """The session gets an onnx.ModelProto."""
    return _lying(save, handed_over="model")


@cases.add
def data_beside_the_model() -> Built:
    """Weights in one file in the same folder."""
    return _lying(_save_with_data)


@cases.add
def data_beside_a_proto() -> Built:
    """A ModelProto that was loaded whole from a file with data beside it."""
    return _lying(_save_with_data, handed_over="model")


@cases.add
def data_in_a_folder_below() -> Built:
    """Weights in `weights/model.data`."""
    return _lying(lambda model, folder: _save_with_data(model, folder, f"weights/{_DATA}"))


@cases.add
def one_data_file_each() -> Built:
    """Every weight has a file of its own."""

    def write(model, folder):
        copy = onnx.ModelProto.FromString(model.SerializeToString())
        path = folder / "model.onnx"
        onnx.save(
            copy,
            path,
            save_as_external_data=True,
            all_tensors_to_one_file=False,
            size_threshold=0,
        )
        return path

    return _lying(write)


@cases.add
def data_behind_symbolic_links() -> Built:
    """Model and data are links side by side into a folder of blobs, as a hub's cache has them."""

    def write(model, folder):
        blobs = _save_with_data(model, folder / "blobs").parent
        (blobs / "model.onnx").rename(blobs / "1111")
        (blobs / _DATA).rename(blobs / "2222")
        (folder / "model.onnx").symlink_to(blobs / "1111")
        (folder / _DATA).symlink_to(blobs / "2222")
        return folder / "model.onnx"

    return _lying(write)


@cases.add
def data_behind_symbolic_links_that_go_up() -> Built:
    """Links in `snapshots/1` to `blobs`, which lies beside `snapshots`: a hub's own layout."""

    def write(model, folder):
        blobs = _save_with_data(model, folder / "blobs").parent
        (folder / "snapshots" / "1").mkdir(parents=True)
        for name, blob in (("model.onnx", "1111"), (_DATA, "2222")):
            (blobs / name).rename(blobs / blob)
            (folder / "snapshots" / "1" / name).symlink_to(f"../../blobs/{blob}")
        return folder / "snapshots" / "1" / "model.onnx"

    return _lying(write)


@cases.add
def folder_behind_a_symbolic_link() -> Built:
    """The whole folder is a link."""

    def write(model, folder):
        _save_with_data(model, folder / "real")
        (folder / "link").symlink_to(folder / "real")
        return folder / "link" / "model.onnx"

    return _lying(write)


@cases.add
def data_with_hard_links() -> Built:
    """Model and data have a second name each."""

    def write(model, folder):
        path = _save_with_data(model, folder / "first")
        (folder / "second").mkdir()
        for file in (path, path.parent / _DATA):
            os.link(file, folder / "second" / file.name)
        return folder / "second" / "model.onnx"

    return _lying(write)


@cases.add
def data_at_offsets() -> Built:
    """The weights stand at pages of a larger file, with gaps, as aligned writers leave them."""

    def write(model, folder):
        copy = onnx.ModelProto.FromString(model.SerializeToString())
        content = bytearray()
        for weight in copy.graph.initializer:
            content += bytes(-len(content) % 4096 + 4096)
            _put_outside(weight, len(content))
            content += weight.raw_data
            weight.ClearField("raw_data")
        (folder / _DATA).write_bytes(content)
        return save(copy, folder)

    return _lying(write)


def _put_outside(weight: onnx.TensorProto, offset: int) -> None:
    weight.data_location = onnx.TensorProto.EXTERNAL
    entries = {"location": _DATA, "offset": offset, "length": len(weight.raw_data)}
    for key, value in entries.items():
        weight.external_data.add(key=key, value=str(value))


@cases.add
def data_shared_by_two_weights() -> Built:
    """Two initializers lie at the same place of the file."""
    nodes = [node("Mul", ["x", "w"], ["h"]), node("Add", ["h", "v"], ["y"])]
    shared = weights(0, 16)
    ends = [tensor("x", ["N", 16])], [tensor("y", ["N", 16])]

    def write(model, folder):
        (folder / _DATA).write_bytes(shared.tobytes())
        copy = onnx.ModelProto.FromString(model.SerializeToString())
        for weight in copy.graph.initializer:
            _put_outside(weight, 0)
            weight.ClearField("raw_data")
        return save(copy, folder)

    model = as_model(nodes, *ends, {"w": shared, "v": shared})
    return Built(model=model, inputs=rows("x", 16), axes={"x": 0}, write=write)


@cases.add
def data_without_a_length() -> Built:
    """The entry names a file and nothing else: the tensor begins where the file does."""

    def write(model, folder):
        copy = onnx.ModelProto.FromString(model.SerializeToString())
        for weight in copy.graph.initializer:
            (folder / f"{weight.name}.bin").write_bytes(weight.raw_data)
            weight.data_location = onnx.TensorProto.EXTERNAL
            weight.external_data.add(key="location", value=f"{weight.name}.bin")
            weight.ClearField("raw_data")
        return save(copy, folder)

    return _lying(write)


@cases.add
def data_of_a_node_s_attribute() -> Built:
    """A Constant node's value lies in the file beside the model."""
    nodes = [
        node("Constant", [], ["w"], value=onnx.numpy_helper.from_array(weights(0, 16))),
        node("Mul", ["x", "w"], ["y"]),
    ]
    ends = [tensor("x", ["N", 16])], [tensor("y", ["N", 16])]

    def write(model, folder):
        copy = onnx.ModelProto.FromString(model.SerializeToString())
        path = folder / "model.onnx"
        onnx.save(
            copy,
            path,
            save_as_external_data=True,
            location=_DATA,
            size_threshold=0,
            convert_attribute=True,
        )
        return path

    model = as_model(nodes, *ends)
    return Built(model=model, inputs=rows("x", 16), axes={"x": 0}, write=write)


@cases.add
def data_of_nothing() -> Built:
    """An empty initializer beside one that is not."""
    nodes = [node("Concat", ["w", "v"], ["c"], axis=0), node("Mul", ["x", "c"], ["y"])]
    ends = [tensor("x", ["N", 16])], [tensor("y", ["N", 16])]
    constants = {"w": weights(0, 16), "v": np.zeros(0, "f")}
    model = as_model(nodes, *ends, constants)
    return Built(model=model, inputs=rows("x", 16), axes={"x": 0}, write=_save_with_data)


@cases.add
def path_with_spaces_and_unicode() -> Built:
    """A folder that people name."""

    def write(model, folder):
        return _save_with_data(model, folder / "my models (2)" / "модель é")

    return _lying(write)


@cases.add
def path_with_a_suffix_in_capitals() -> Built:
    """MODEL.ONNX."""

    def write(model, folder):
        return save(model, folder).rename(folder / "MODEL.ONNX")

    return _lying(write)


@cases.add
def path_that_is_relative_inside() -> Built:
    """The path goes up and down again."""

    def write(model, folder):
        path = _save_with_data(model, folder / "a")
        (folder / "b").mkdir()
        return folder / "b" / ".." / "a" / path.name

    return _lying(write)


@cases.add
def file_that_is_read_only() -> Built:
    """Model and folder can't be written to."""

    def write(model, folder):
        path = _save_with_data(model, folder / "kept")
        path.chmod(0o444)
        (path.parent / _DATA).chmod(0o444)
        return path

    return _lying(write)
