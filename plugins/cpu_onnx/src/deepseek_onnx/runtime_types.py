"""Types of values that are not known from the operators: of contrib operators, of stale files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from deepseek_onnx.dtypes import dtype_of_ort
from deepseek_onnx.model import Model
from deepseek_onnx.parts import Part
from deepseek_onnx.protos import ModelProto
from deepseek_onnx.sessions import as_bytes, output_types
from deepseek_onnx.shapes import Value, value_of
from deepseek_onnx.vendor_errors import FAULTS


def typed(model: Model) -> Model:
    """The model with the types that its operators tell, and those that only the runtime can.

    Loads the model once, unoptimized, with the values in question as outputs.
    """
    model = attrs.evolve(model, asked=_inferred(model))
    made = (name for node in model.nodes for name in node.output if name)
    missing = [n for n in made if model.value(n).dtype is None and not model.value(n).container]
    if not missing:
        return model
    return attrs.evolve(model, asked={**model.asked, **_told(model, missing)})


def _inferred(model: Model) -> dict[str, Value]:
    """Values that pass from node to node, whatever the file says of them.

    Files whose inputs were given other sizes often still tell the old ones inside.
    """
    bare = ModelProto()
    bare.CopyFrom(model.proto)
    del bare.graph.value_info[:]
    from onnx import shape_inference

    try:
        found = shape_inference.infer_shapes(bare, data_prop=True)
    except Exception:  # noqa: BLE001 - a model that contradicts itself; what it declares counts
        return {}
    values = map(value_of, found.graph.value_info)
    return {value.name: value for value in values if value.can_cross}


def _told(model: Model, names: Iterable[str]) -> dict[str, Value]:
    """What ONNX Runtime says of these values."""
    try:
        asked = as_bytes(Part(model, model.nodes, model.given, tuple(names)))
        found = output_types(asked.content, asked.folder)
    except FAULTS:
        return {}
    return {name: _value(name, *told) for name, told in found.items()}


def _value(name: str, text: str, shape: Sequence[int | str | None]) -> Value:
    dtype = dtype_of_ort(text)
    if dtype is None:
        return Value(name, None, None, text)
    dims = (f"{name}_{axis}" if dim is None else dim for axis, dim in enumerate(shape))
    return Value(name, dtype, tuple(dims))
