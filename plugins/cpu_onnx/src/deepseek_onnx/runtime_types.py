"""Types of values that onnx can't infer (of contrib operators): ONNX Runtime's own inference."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from deepseek_onnx.dtypes import dtype_of_ort
from deepseek_onnx.faults import FAULTS
from deepseek_onnx.model import Model
from deepseek_onnx.model_file import model_bytes
from deepseek_onnx.protos import ModelProto, ValueInfoProto
from deepseek_onnx.sessions import output_types
from deepseek_onnx.shapes import Value


def typed(model: Model) -> Model:
    """The model with the types that only the runtime can tell; as it is where none is missing.

    Loads the model once, unoptimized, with the values in question as outputs.
    """
    made = (name for node in model.nodes for name in node.output if name)
    missing = [n for n in made if model.value(n).dtype is None and not model.value(n).container]
    if not missing:
        return model
    asked = ModelProto()
    asked.CopyFrom(model.proto)
    del asked.graph.output[:]
    asked.graph.output.extend(ValueInfoProto(name=name) for name in missing)
    try:
        found = output_types(model_bytes(asked), model.file.folder)
    except FAULTS:
        return model
    return attrs.evolve(model, asked={n: _value(n, *told) for n, told in found.items()})


def _value(name: str, text: str, shape: Sequence[int | str | None]) -> Value:
    dtype = dtype_of_ort(text)
    if dtype is None:
        return Value(name, None, None, text)
    dims = (f"{name}_{axis}" if dim is None else dim for axis, dim in enumerate(shape))
    return Value(name, dtype, tuple(dims))
