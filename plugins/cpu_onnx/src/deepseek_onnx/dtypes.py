"""Names of element types: those of `TensorSpec` and those of ONNX."""

from __future__ import annotations

from typing import Final

from deepseek_onnx.protos import TensorProto

_NAMES: Final = {
    "bool": "BOOL", "int2": "INT2", "uint2": "UINT2", "int4": "INT4", "uint4": "UINT4",
    "int8": "INT8", "uint8": "UINT8", "int16": "INT16", "uint16": "UINT16", "int32": "INT32",
    "uint32": "UINT32", "int64": "INT64", "uint64": "UINT64", "float4_e2m1fn": "FLOAT4E2M1",
    "float8_e4m3fn": "FLOAT8E4M3FN", "float8_e4m3fnuz": "FLOAT8E4M3FNUZ",
    "float8_e5m2": "FLOAT8E5M2", "float8_e5m2fnuz": "FLOAT8E5M2FNUZ",
    "float8_e8m0fnu": "FLOAT8E8M0", "float16": "FLOAT16", "bfloat16": "BFLOAT16",
    "float32": "FLOAT", "float64": "DOUBLE", "complex64": "COMPLEX64",
    "complex128": "COMPLEX128", "string": "STRING",
}  # fmt: skip

NOT_OF_NUMPY: Final = frozenset(
    name
    for name in _NAMES
    if name.startswith(("bfloat", "float8", "float4")) or name.endswith(("int2", "int4"))
)
"""Those that numpy knows only once `ml_dtypes` is imported."""

ELEMENT: Final[dict[str, int]] = {
    name: getattr(TensorProto, enum)
    for name, enum in _NAMES.items()
    if hasattr(TensorProto, enum)  # older onnx lacks the newest
}
"""dtype of a TensorSpec -> TensorProto.DataType."""

DTYPE: Final[dict[int, str]] = {element: dtype for dtype, element in ELEMENT.items()}
"""TensorProto.DataType -> dtype of a TensorSpec; the others have none."""

# ONNX Runtime's own words for the types that it reports.
_ORT_WORDS: Final = {
    "float": "float32", "double": "float64",
    **{name.replace("_", ""): name for name in _NAMES if "_" in name},
    "float8e8m0": "float8_e8m0fnu", "float4e2m1": "float4_e2m1fn",
}  # fmt: skip


def dtype_text(element: int) -> str:
    """A type's name, or its number where it has none."""
    return DTYPE.get(element, f"type {element}")


def dtype_of_ort(text: str) -> str | None:
    """`tensor(float)` -> `float32`; None for sequences and types without a name."""
    if not text.startswith("tensor("):
        return None
    word = text[len("tensor(") : -1]
    dtype = _ORT_WORDS.get(word, word)
    return dtype if dtype in ELEMENT else None
