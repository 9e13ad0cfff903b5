"""Tensors of one graph: types, shapes, constants, and which node gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, numpy_helper

Dim = int | str | None
"""A length, the name of one that is known when it runs, or nothing known."""

_FLOATS: Final = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
)
_COPIES: Final = ("Identity", "Cast", "CastLike", "Dropout")


@attrs.frozen(eq=False)
class Scope:
    """Tensors of a graph; those of the graphs around it are seen through `outer`."""

    values: Mapping[str, ValueInfoProto]
    constants: dict[str, TensorProto]
    foldable: set[str]
    producers: dict[str, NodeProto]
    outputs: tuple[str, ...]
    outer: Scope | None = None

    def elem_type(self, name: str) -> int:
        """ONNX element type; 0 where it is unknown or no tensor."""
        constant = self._constant(name)
        if constant is not None:
            return int(constant.data_type)
        value = self._value(name)
        return int(value.type.tensor_type.elem_type) if value is not None else 0

    def shape(self, name: str) -> tuple[Dim, ...] | None:
        """Lengths of its dimensions; None where not even the rank is known."""
        constant = self._constant(name)
        if constant is not None:
            return tuple(constant.dims)
        value = self._value(name)
        return None if value is None else shape_of(value)

    def constant(self, name: str) -> np.ndarray[Any, Any] | None:
        """The numbers of an initializer or Constant node; None where it is none."""
        tensor = self._constant(name)
        if tensor is None or tensor.data_type == TensorProto.STRING:
            return None
        try:
            return np.asarray(numpy_helper.to_array(tensor))
        except (ValueError, TypeError):
            return None

    def is_weights(self, name: str) -> bool:
        """Whether it is an initializer, or what a Constant node gives."""
        return self._constant(name) is not None

    def is_foldable(self, name: str) -> bool:
        """Whether it can be computed before a build: from constants and known shapes."""
        if name in self.foldable or self.is_weights(name):
            return True
        return name not in self.values and self.outer is not None and self.outer.is_foldable(name)

    def producer(self, name: str) -> NodeProto | None:
        """The node that gives a tensor; None for inputs and initializers."""
        if name in self.producers:
            return self.producers[name]
        return None if self.outer is None else self.outer.producer(name)

    def is_output(self, name: str) -> bool:
        """Whether the graph itself gives it."""
        return name in self.outputs

    def comes_from_float_input(self, name: str) -> bool:
        """Whether it is, or is computed by floats and casts from, a float that a caller passes."""
        seen: set[str] = set()
        todo = [name]
        while todo:
            name = todo.pop()
            node = self.producer(name)
            is_cast = node is not None and node.op_type == "Cast"
            is_float = self.elem_type(name) in _FLOATS
            if name in seen or self.is_weights(name) or not (is_cast or is_float):
                continue
            seen.add(name)
            if node is None:
                return True
            todo += node.input
        return False

    def is_resolved(self, name: str) -> bool:
        """Whether the parser itself finds its numbers: a constant, copied or cast."""
        while not self.is_weights(name):
            node = self.producer(name)
            if node is None or node.op_type not in _COPIES:
                return False
            name = node.input[0]
        return True

    def _constant(self, name: str) -> TensorProto | None:
        if name in self.constants:
            return self.constants[name]
        if name in self.values or self.outer is None:
            return None
        return self.outer._constant(name)

    def _value(self, name: str) -> ValueInfoProto | None:
        if name in self.values:
            return self.values[name]
        return None if self.outer is None else self.outer._value(name)


def shape_of(value: ValueInfoProto) -> tuple[Dim, ...] | None:
    """The shape that is written beside a tensor."""
    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(_dim(d) for d in value.type.tensor_type.shape.dim)


def _dim(dim: Any) -> Dim:
    if dim.HasField("dim_value"):
        return int(dim.dim_value) if dim.dim_value >= 0 else None
    return dim.dim_param or None
