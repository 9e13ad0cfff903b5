"""Small models in ONNX's text form.

A line is "[@opset] inputs -> statements". Inputs whose names begin with w are fixed by the caller;
values whose names begin with y are the outputs.
"""

from __future__ import annotations

import itertools
import zlib
from typing import Any

import attrs
import numpy as np
import onnx

Array = np.ndarray[Any, np.dtype[Any]]

OPSET = 21


@attrs.frozen
class Case:
    """A model with the names of the inputs that its caller fixes."""

    model: onnx.ModelProto
    fixed: tuple[str, ...]


def case(line: str) -> Case:
    opset, line = (line[1:].split(" ", 1)) if line.startswith("@") else (str(OPSET), line)
    inputs, _, body = line.partition(" -> ")
    statements = [statement.strip() for statement in body.split(";")]
    made = [n.strip() for s in statements for n in s.partition(" = ")[0].split(",")]
    outputs = ", ".join(name for name in made if name.startswith("y"))
    opsets = (
        f'"" : {opset}, "ai.onnx.ml" : {5 if "TreeEnsemble <" in body else 3}, "com.microsoft" : 1'
    )
    model = onnx.parser.parse_model(
        f"<ir_version: 9, opset_import: [{opsets}]> g ({inputs}) => ({outputs}) "
        "{ " + "\n".join(statements) + " }"
    )
    names = [value.name for value in model.graph.input]
    return Case(model, tuple(name for name in names if name.startswith("w")))


def feeds(model: onnx.ModelProto, n: int, sizes: dict[str, int] | None = None) -> dict[str, Array]:
    """Random inputs for n items; other symbols have the size 4."""
    found = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [
            d.dim_value or (n if d.dim_param == "N" else (sizes or {}).get(d.dim_param, 4))
            for d in tensor.shape.dim
        ]
        found[value.name] = _random(value.name, shape, tensor.elem_type)
    return found


def _random(name: str, shape: list[int], elem_type: int) -> Array:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    dtype = onnx.helper.tensor_dtype_to_np_dtype(elem_type)
    if elem_type == onnx.TensorProto.STRING:
        return rng.choice(np.array(["a", "b c", "d e f", ""], dtype=object), shape)
    if dtype.kind == "f":
        # Scales must be positive, and what is named so.
        values = rng.standard_normal(shape)
        return np.asarray(np.abs(values) + 0.5 if "scale" in name else values, dtype=dtype)
    # Places, for the most part: all that is indexed has three entries at least.
    return np.asarray(rng.integers(0, 2 if dtype.kind == "b" else 3, shape), dtype=dtype)


def each(template: str, **choices: Any) -> tuple[str, ...]:
    """The template for each combination of choices; written $name."""
    lines = []
    for picked in itertools.product(*choices.values()):
        line = template
        for name, value in zip(choices, picked, strict=True):
            line = line.replace(f"${name}", str(value))
        lines.append(line)
    return tuple(lines)
