"""A graph that grows node by node; a node that the runtime refuses is left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import onnx
from batch_runs import Refused, run, session
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]
Draw = Callable[[st.SearchStrategy[Any]], Any]

ITEMS = 3
ELEM = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
}


@attrs.define
class Growing:
    """A graph under way, with the values of all names for the whole batch."""

    draw: Draw
    opset: int
    nodes: list[onnx.NodeProto] = attrs.field(factory=list)
    constants: dict[str, Array] = attrs.field(factory=dict)
    inputs: dict[str, tuple[Array, int | None]] = attrs.field(factory=dict)
    values: dict[str, Array] = attrs.field(factory=dict)
    count: int = 0

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def constant(self, array: Any) -> str:
        name = self.name()
        self.constants[name] = np.asarray(array)
        return name

    def pick(self, *kinds: str, rank: int | None = None) -> str:
        """A value of one of these dtypes; the later ones more often."""
        fit = [
            name
            for name, x in self.values.items()
            if (not kinds or x.dtype.name in kinds) and (rank is None or x.ndim == rank)
        ]
        if not fit:
            raise LookupError
        return fit[-1 - self.draw(st.integers(0, min(3, len(fit) - 1)))]

    def shape(self, name: str) -> tuple[int, ...]:
        return (self.values[name] if name in self.values else self.constants[name]).shape

    def axis(self, name: str) -> int:
        rank = len(self.shape(name))
        if not rank:
            raise LookupError
        return self.draw(st.integers(-rank, rank - 1))

    def add(self, op: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> list[str]:
        """A node, if the runtime takes it; its outputs."""
        names = [self.name() for _ in range(outputs)]
        node = helper.make_node(op, inputs, names, **attributes)
        needed = {n: self.values[n] for n in inputs if n in self.values}
        graph = helper.make_graph(
            [node],
            "one",
            [
                helper.make_tensor_value_info(n, ELEM[x.dtype.name], x.shape)
                for n, x in needed.items()
            ],
            [helper.make_empty_tensor_value_info(n) for n in names],
            [numpy_helper.from_array(self.constants[n], n) for n in inputs if n in self.constants],
        )
        made = run(session(self._model(graph)), needed)
        for array in made.values():
            if not isinstance(array, np.ndarray) or array.size > 5000 or array.size == 0:
                raise Refused("too large or empty")
            if array.dtype.name not in ELEM:
                raise Refused("another dtype")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise Refused("not finite")
        self.nodes.append(node)
        self.values.update(made)
        return names

    def _model(self, graph: onnx.GraphProto) -> onnx.ModelProto:
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def model(self, nodes: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
        """The graph, or the part of these nodes, every value an output."""
        nodes = self.nodes if nodes is None else nodes
        inputs = []
        for name, (array, axis) in self.inputs.items():
            dims: list[int | str] = list(array.shape)
            if axis is not None:
                dims[axis] = "N"
            for place, symbol in enumerate(self._symbols(name, array, axis)):
                if symbol is not None:
                    dims[place] = symbol
            inputs.append(helper.make_tensor_value_info(name, ELEM[array.dtype.name], dims))
        names = [name for node in nodes for name in node.output]
        graph = helper.make_graph(
            nodes,
            "random",
            inputs,
            [helper.make_empty_tensor_value_info(name) for name in names],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return self._model(graph)

    def _symbols(self, name: str, array: Array, axis: int | None) -> list[str | None]:
        """Names for some of the other sizes: a symbol stands for one size everywhere."""
        return [
            f"S{size}" if place != axis and name in self.free else None
            for place, size in enumerate(array.shape)
        ]

    free: set[str] = attrs.field(factory=set)


def array_of(draw: Draw, shape: tuple[int, ...], dtype: str) -> Array:
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    if dtype == "float32":
        return rng.standard_normal(shape).astype(np.float32)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    return rng.integers(0, 2, shape).astype(dtype)


def floats(g: Growing) -> str:
    return g.pick("float32")


def other_operand(g: Growing, name: str) -> str:
    """An operand to meet a value: another value, or a constant that may have any of its sizes."""
    if g.draw(st.booleans()):
        return g.pick(g.values[name].dtype.name)
    shape = g.shape(name)
    kept = g.draw(st.integers(0, len(shape)))
    dims = tuple(g.draw(st.sampled_from((1, size))) for size in shape[len(shape) - kept :])
    return g.constant(array_of(g.draw, dims, g.values[name].dtype.name))


def ints(g: Growing, *numbers: int) -> str:
    return g.constant(np.array(numbers, dtype=np.int64))
