"""Dtype and shape of the values of a model, its symbols as the file has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from deepseek_core import TensorSpec
from deepseek_onnx.dtypes import DTYPE, ELEMENT, NOT_OF_NUMPY, dtype_text
from deepseek_onnx.protos import ModelProto, TensorProto, TypeProto, ValueInfoProto

Dim = int | str
Shape = tuple[Dim, ...] | None
_INVENTED: Final = "unk__"  # a name that onnx's inference made up
_UNTOLD: Final = "a type that the file does not tell"


@attrs.frozen
class Value:
    """A value inside a model; dtype and shape are None where they are not known.

    `container` says what it is if it is not a tensor: `sequence(tensor(float32))`.
    """

    name: str
    dtype: str | None
    shape: Shape
    container: str = ""

    @property
    def is_told(self) -> bool:
        """Whether the file says all of its type."""
        return bool(self.container) or (self.dtype is not None and self.shape is not None)

    @property
    def can_cross(self) -> bool:
        """Whether it can pass from one stage to another."""
        return not self.container and self.dtype is not None and self.shape is not None

    def spec(self, *, optional: bool = False) -> TensorSpec:
        """Make a TensorSpec."""
        if self.container or self.dtype is None:
            held = self.container or _UNTOLD
            return TensorSpec(
                name=self.name, dtype="any", shape=None, container=held, optional=optional
            )
        if self.dtype in NOT_OF_NUMPY:
            import ml_dtypes  # noqa: F401 - numpy knows their names from now on
        return TensorSpec(name=self.name, dtype=self.dtype, shape=self.shape, optional=optional)


def values_of(proto: ModelProto, constants: Mapping[str, TensorProto]) -> dict[str, Value]:
    """What the file declares and inference found, by name."""
    graph = proto.graph
    found = {v.name: value_of(v) for part in (graph.value_info, graph.output) for v in part}
    for name, tensor in constants.items():
        found[name] = Value(name, DTYPE.get(tensor.data_type), tuple(tensor.dims))
    for sparse in graph.sparse_initializer:
        name = sparse.values.name
        found[name] = Value(name, DTYPE.get(sparse.values.data_type), tuple(sparse.dims))
    found |= {v.name: value_of(v) for v in graph.input}
    return found


def value_of(info: ValueInfoProto) -> Value:
    """A declared value; a free dimension without a name is called after value and axis."""
    return of_type(info.name, info.type)


def of_type(name: str, proto: TypeProto) -> Value:
    """A value of this type."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        tensor = proto.tensor_type
        shape = _shape(name, tensor.shape.dim) if tensor.HasField("shape") else None
        return Value(name, DTYPE.get(tensor.elem_type), shape)
    return Value(name, None, None, "" if kind is None else container_text(proto))


def _shape(name: str, dims: Iterable[Any]) -> tuple[Dim, ...]:
    return tuple(_dim(dim, f"{name}_{axis}") for axis, dim in enumerate(dims))


def _dim(dim: Any, unnamed: str) -> Dim:
    # A negative size is what some exporters write for a free one.
    if dim.HasField("dim_value") and dim.dim_value >= 0:
        return int(dim.dim_value)
    symbol = str(dim.dim_param)
    return unnamed if is_nameless(symbol) else symbol


def is_nameless(symbol: str) -> bool:
    """Whether a size has no name, or one that inference made up."""
    return not symbol or symbol.startswith(_INVENTED)


def container_text(proto: TypeProto) -> str:
    """`map(int64, tensor(float32))`: a type in words."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        return f"tensor({dtype_text(proto.tensor_type.elem_type)})"
    if kind == "map_type":
        inner = container_text(proto.map_type.value_type)
        return f"map({dtype_text(proto.map_type.key_type)}, {inner})"
    if kind in ("sequence_type", "optional_type"):
        inner = container_text(getattr(proto, kind).elem_type)
        return f"{kind.removesuffix('_type')}({inner})"
    return str(kind or "unknown").removesuffix("_type")


def type_of(text: str) -> TypeProto | None:
    """The type that `container_text` tells in words, shapes left open; None for other words."""
    kind, _, inner = text.removesuffix(")").partition("(")
    if kind == "tensor" and inner in ELEMENT:
        return TypeProto(tensor_type=TypeProto.Tensor(elem_type=ELEMENT[inner]))
    key, _, held = inner.partition(", ") if kind == "map" else ("", "", inner)
    found = type_of(held) if kind in ("map", "sequence", "optional") else None
    if found is None or (kind == "map" and key not in ELEMENT):
        return None
    if kind == "map":
        return TypeProto(map_type=TypeProto.Map(key_type=ELEMENT[key], value_type=found))
    if kind == "sequence":
        return TypeProto(sequence_type=TypeProto.Sequence(elem_type=found))
    return TypeProto(optional_type=TypeProto.Optional(elem_type=found))
