"""Names of element types: those of `TensorSpec` and those of ONNX."""

from __future__ import annotations

from typing import Final

from onnx import TensorProto

ELEMENT: Final[dict[str, int]] = {
    "bool": TensorProto.BOOL,
    "int4": TensorProto.INT4,
    "uint4": TensorProto.UINT4,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int16": TensorProto.INT16,
    "uint16": TensorProto.UINT16,
    "int32": TensorProto.INT32,
    "uint32": TensorProto.UINT32,
    "int64": TensorProto.INT64,
    "uint64": TensorProto.UINT64,
    "float8_e4m3fn": TensorProto.FLOAT8E4M3FN,
    "float8_e5m2": TensorProto.FLOAT8E5M2,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "complex64": TensorProto.COMPLEX64,
    "complex128": TensorProto.COMPLEX128,
    "string": TensorProto.STRING,
}
"""dtype of a TensorSpec -> TensorProto.DataType."""

DTYPE: Final[dict[int, str]] = {element: dtype for dtype, element in ELEMENT.items()}
"""TensorProto.DataType -> dtype of a TensorSpec; the others have none."""

# ONNX Runtime's own words for the types that it reports.
_ORT_WORDS: Final = {
    "float": "float32", "double": "float64", "float8e4m3fn": "float8_e4m3fn",
    "float8e5m2": "float8_e5m2",
}  # fmt: skip


def dtype_of_ort(text: str) -> str | None:
    """`tensor(float)` -> `float32`; None for sequences and types without a name."""
    if not text.startswith("tensor("):
        return None
    word = text[len("tensor(") : -1]
    dtype = _ORT_WORDS.get(word, word)
    return dtype if dtype in ELEMENT else None
