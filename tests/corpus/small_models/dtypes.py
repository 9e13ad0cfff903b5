"""Every dtype, inside a model and at its borders; strings of every form."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from onnx import TensorProto

from small_models.building import (
    BOOL,
    INT64,
    STRING,
    Built,
    Cases,
    as_model,
    floats,
    node,
    tensor,
)

cases = Cases("dtypes")

# name -> element, dtype; those of the second table are none of numpy's own
_PLAIN = {
    "float16": (TensorProto.FLOAT16, np.float16),
    "float64": (TensorProto.DOUBLE, np.float64),
    "int8": (TensorProto.INT8, np.int8),
    "uint8": (TensorProto.UINT8, np.uint8),
    "int16": (TensorProto.INT16, np.int16),
    "uint16": (TensorProto.UINT16, np.uint16),
    "int32": (TensorProto.INT32, np.int32),
    "uint32": (TensorProto.UINT32, np.uint32),
    "int64": (TensorProto.INT64, np.int64),
    "uint64": (TensorProto.UINT64, np.uint64),
    "bool": (TensorProto.BOOL, np.bool_),
}
_ODD = {
    "bfloat16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
    "float8_e4m3fn": (TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn),
    "float8_e5m2": (TensorProto.FLOAT8E5M2, ml_dtypes.float8_e5m2),
    "int4": (TensorProto.INT4, ml_dtypes.int4),
    "uint4": (TensorProto.UINT4, ml_dtypes.uint4),
}


def _at_borders(element: int, dtype: Any) -> Built:
    nodes = [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("Identity", ["t"], ["y"])]
    ends = [tensor("x", ["N", 2, 3], element)], [tensor("y", ["N", 3, 2], element)]
    return Built(
        model=as_model(nodes, *ends, opset=21, ir_version=10),
        inputs=lambda rng, items: {"x": rng.integers(0, 5, (items, 2, 3)).astype(dtype)},
        axes={"x": 0},
    )


def _inside(element: int) -> Built:
    nodes = [node("Cast", ["x"], ["h"], to=element), node("Cast", ["h"], ["y"], to=1)]
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    return Built(
        model=as_model(nodes, *ends, opset=21, ir_version=10),
        inputs=lambda rng, items: {"x": floats(rng, items, 3)},
        axes={"x": 0},
    )


def _going_in(element: int, dtype: Any) -> Built:
    ends = [tensor("x", ["N", 3], element)], [tensor("y", ["N", 3])]
    return Built(
        model=as_model([node("Cast", ["x"], ["y"], to=1)], *ends, opset=21, ir_version=10),
        inputs=lambda rng, items: {"x": rng.integers(0, 5, (items, 3)).astype(dtype)},
        axes={"x": 0},
    )


def _coming_out(element: int) -> Built:
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3], element)]
    return Built(
        model=as_model([node("Cast", ["x"], ["y"], to=element)], *ends, opset=21, ir_version=10),
        inputs=lambda rng, items: {"x": floats(rng, items, 3)},
        axes={"x": 0},
    )


for _name, (_element, _dtype) in _PLAIN.items():
    cases.put(f"{_name}_at_borders", f"{_name} in and out.", _at_borders(_element, _dtype))
for _name, (_element, _dtype) in _ODD.items():
    cases.put(f"{_name}_inside", f"{_name} between two Casts.", _inside(_element))
    cases.put(f"{_name}_going_in", f"{_name} as an input.", _going_in(_element, _dtype))
    cases.put(f"{_name}_coming_out", f"{_name} as an output.", _coming_out(_element))


@cases.add
def weights_of_bfloat16() -> Built:
    """An initializer of bfloat16."""
    w = TensorProto(data_type=TensorProto.BFLOAT16, dims=[3])
    w.raw_data = np.array([1.5, -2, 0.25]).astype(ml_dtypes.bfloat16).tobytes()
    nodes = [node("Cast", ["w"], ["f"], to=1), node("Mul", ["x", "f"], ["y"])]
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    return Built(
        model=as_model(nodes, *ends, {"w": w}),
        inputs=lambda rng, items: {"x": floats(rng, items, 3)},
        axes={"x": 0},
    )


@cases.add
def weights_of_int4() -> Built:
    """An initializer of int4, two values a byte, with blocks of scales."""
    w = TensorProto(data_type=TensorProto.INT4, dims=[4, 3])
    w.raw_data = bytes(range(0x21, 0x27))
    nodes = [
        node("DequantizeLinear", ["w", "scale"], ["f"], axis=0, block_size=2),
        node("MatMul", ["x", "f"], ["y"]),
    ]
    constants = {"w": w, "scale": np.full((2, 3), 0.5, "f")}
    ends = [tensor("x", ["N", 4])], [tensor("y", ["N", 3])]
    return Built(
        model=as_model(nodes, *ends, constants, opset=21, ir_version=10),
        inputs=lambda rng, items: {"x": floats(rng, items, 4)},
        axes={"x": 0},
    )


@cases.add
def several_dtypes_at_once() -> Built:
    """float32, int64 and bool go in; float64, int32 and bool come out."""
    nodes = [
        node("Cast", ["x"], ["a"], to=TensorProto.DOUBLE),
        node("Cast", ["ids"], ["b"], to=TensorProto.INT32),
        node("Not", ["mask"], ["c"]),
    ]
    inputs = [tensor("x", ["N"]), tensor("ids", ["N"], INT64), tensor("mask", ["N"], BOOL)]
    outputs = [
        tensor("a", ["N"], TensorProto.DOUBLE),
        tensor("b", ["N"], TensorProto.INT32),
        tensor("c", ["N"], BOOL),
    ]

    def make(rng, items):
        ids = rng.integers(0, 99, items)
        return {"x": floats(rng, items), "ids": ids, "mask": rng.random(items) < 0.5}

    axes = {"x": 0, "ids": 0, "mask": 0}
    return Built(model=as_model(nodes, inputs, outputs), inputs=make, axes=axes)


# -- arrays that are not laid out as C has them -----------------------------------------------


@cases.add
def array_with_strides() -> Built:
    """The caller's array is a view: every other column, turned."""
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    return Built(
        model=as_model([node("Neg", ["x"], ["y"])], *ends),
        inputs=lambda rng, items: {"x": floats(rng, 6, items)[::2].T},
        axes={"x": 0},
    )


@cases.add
def array_that_is_read_only() -> Built:
    """The caller's array can't be written to."""
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]

    def make(rng, items):
        array = floats(rng, items, 3)
        array.flags.writeable = False
        return {"x": array}

    return Built(model=as_model([node("Neg", ["x"], ["y"])], *ends), inputs=make, axes={"x": 0})


# -- strings ----------------------------------------------------------------------------------


def _words(rng, *shape: int) -> np.ndarray:
    known = np.array(["", "one", "two words", "три", "字", "a" * 40], object)
    return np.asarray(known[rng.integers(0, len(known), shape)], object)


def _strings(shape, make) -> Built:
    ends = [tensor("x", shape, STRING)], [tensor("y", shape, STRING)]
    axes = {"x": 0} if shape else {}
    return Built(model=as_model([node("Identity", ["x"], ["y"])], *ends), inputs=make, axes=axes)


@cases.add
def strings_as_objects() -> Built:
    """Strings [N] in an array of objects."""
    return _strings(["N"], lambda rng, items: {"x": _words(rng, items)})


@cases.add
def strings_as_numpy_text() -> Built:
    """Strings [N] in an array of numpy's own text, `<U`."""
    return _strings(["N"], lambda rng, items: {"x": _words(rng, items).astype(str)})


@cases.add
def strings_in_two_axes() -> Built:
    """Strings [N, 2]."""
    return _strings(["N", 2], lambda rng, items: {"x": _words(rng, items, 2)})


@cases.add
def one_string() -> Built:
    """A string without an axis."""
    return _strings([], lambda rng, _: {"x": _words(rng)})


@cases.add
def no_strings() -> Built:
    """An empty array of strings."""
    return _strings(["N"], lambda _, __: {"x": np.array([], object)})


@cases.add
def strings_from_numbers() -> Built:
    """Numbers in, strings out."""
    ends = [tensor("x", ["N"], INT64)], [tensor("y", ["N"], STRING)]
    return Built(
        model=as_model([node("Cast", ["x"], ["y"], to=STRING)], *ends),
        inputs=lambda rng, items: {"x": rng.integers(-9, 9, items)},
        axes={"x": 0},
    )


@cases.add
def strings_compared() -> Built:
    """Strings in, bools out."""
    nodes = [node("Equal", ["x", "z"], ["y"])]
    inputs = [tensor("x", ["N"], STRING), tensor("z", ["N"], STRING)]
    return Built(
        model=as_model(nodes, inputs, [tensor("y", ["N"], BOOL)], opset=19),
        inputs=lambda rng, items: {"x": _words(rng, items), "z": _words(rng, items)},
        axes={"x": 0, "z": 0},
    )


@cases.add
def strings_split() -> Built:
    """StringSplit: as many columns as the longest line has words."""
    nodes = [node("StringSplit", ["x"], ["words", "count"], delimiter=" ")]
    outputs = [tensor("words", ["N", "most"], STRING), tensor("count", ["N"], INT64)]
    return Built(
        model=as_model(nodes, [tensor("x", ["N"], STRING)], outputs, opset=20),
        inputs=lambda rng, items: {"x": _words(rng, items)},
    )


@cases.add
def strings_normalized() -> Built:
    """StringNormalizer drops words: fewer come out."""
    rules = {"case_change_action": "UPPER", "stopwords": ["one"], "locale": "C"}
    nodes = [node("StringNormalizer", ["x"], ["y"], **rules)]
    ends = [tensor("x", ["N"], STRING)], [tensor("y", ["kept"], STRING)]
    return Built(
        model=as_model(nodes, *ends),
        inputs=lambda rng, items: {"x": _words(rng, items + 1)},
    )
