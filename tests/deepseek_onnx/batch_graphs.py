"""Random graphs of known operators, some of which mix items and some of which do not.

A graph grows node by node; a node that the runtime refuses is left out. Sizes are small and often
equal to the number of items, so that what fits by chance is not told from what belongs together.
"""

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
_ELEM = {
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
                helper.make_tensor_value_info(n, _ELEM[x.dtype.name], x.shape)
                for n, x in needed.items()
            ],
            [helper.make_empty_tensor_value_info(n) for n in names],
            [numpy_helper.from_array(self.constants[n], n) for n in inputs if n in self.constants],
        )
        made = run(session(self._model(graph)), needed)
        for array in made.values():
            if not isinstance(array, np.ndarray) or array.size > 5000 or array.size == 0:
                raise Refused("too large or empty")
            if array.dtype.name not in _ELEM:
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
            inputs.append(helper.make_tensor_value_info(name, _ELEM[array.dtype.name], dims))
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


def _array(draw: Draw, shape: tuple[int, ...], dtype: str) -> Array:
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    if dtype == "float32":
        return rng.standard_normal(shape).astype(np.float32)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(np.bool_)
    return rng.integers(0, 2, shape).astype(dtype)


def _floats(g: Growing) -> str:
    return g.pick("float32")


def _other(g: Growing, name: str) -> str:
    """An operand to meet a value: another value, or a constant that may have any of its sizes."""
    if g.draw(st.booleans()):
        return g.pick(g.values[name].dtype.name)
    shape = g.shape(name)
    kept = g.draw(st.integers(0, len(shape)))
    dims = tuple(g.draw(st.sampled_from((1, size))) for size in shape[len(shape) - kept :])
    return g.constant(_array(g.draw, dims, g.values[name].dtype.name))


def _ints(g: Growing, *numbers: int) -> str:
    return g.constant(np.array(numbers, dtype=np.int64))


# One function for each kind of node.


def unary(g: Growing) -> None:
    op = g.draw(st.sampled_from(("Relu", "Sigmoid", "Neg", "Abs", "Identity", "Tanh", "Erf")))
    g.add(op, [_floats(g)])


def binary(g: Growing) -> None:
    x = g.pick("float32", "int64", "int64")
    op = g.draw(st.sampled_from(("Add", "Sub", "Mul", "Max", "Min")))
    pair = [x, _other(g, x)]
    g.add(op, pair if g.draw(st.booleans()) else pair[::-1])


def integer_arithmetic(g: Growing) -> None:
    x = g.pick("int64")
    op = g.draw(st.sampled_from(("Add", "Sub", "Mul", "Div", "Equal", "Less")))
    number = _ints(g, g.draw(st.integers(1, 4)))
    g.add(op, [x, number] if g.draw(st.booleans()) else [number, x])


def where(g: Growing) -> None:
    c = g.pick("bool")
    x = g.pick("float32", "int64")
    g.add("Where", [c, x, _other(g, x)])


def cast(g: Growing) -> None:
    to = g.draw(st.sampled_from((TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL)))
    g.add("Cast", [g.pick()], to=to)


def compare(g: Growing) -> None:
    x = _floats(g)
    g.add(g.draw(st.sampled_from(("Less", "Greater", "Equal"))), [x, _other(g, x)])


def matmul(g: Growing) -> None:
    x = _floats(g)
    shape = g.shape(x)
    if not shape:
        raise LookupError
    if g.draw(st.booleans()):
        y = _floats(g)
        g.add("MatMul", [x, y])
        return
    width = g.draw(st.sampled_from((1, 2, ITEMS)))
    if g.draw(st.booleans()) or len(shape) < 2:
        g.add("MatMul", [x, g.constant(_array(g.draw, (shape[-1], width), "float32"))])
    else:
        g.add("MatMul", [g.constant(_array(g.draw, (width, shape[-2]), "float32")), x])


def gemm(g: Growing) -> None:
    x = g.pick("float32", rank=2)
    turned = g.draw(st.booleans())
    rows, summed = g.shape(x)[::-1] if turned else g.shape(x)
    width = g.draw(st.sampled_from((1, 2, ITEMS)))
    w = g.constant(_array(g.draw, (summed, width), "float32"))
    c_shape = g.draw(st.sampled_from(((width,), (1, width), (rows, 1), (rows, width), ())))
    c = g.constant(_array(g.draw, c_shape, "float32"))
    g.add("Gemm", [x, w, c], transA=int(turned))


def einsum(g: Growing) -> None:
    x = _floats(g)
    rank = len(g.shape(x))
    letters = "abcd"[:rank]
    y = _floats(g)
    other = "".join(g.draw(st.permutations("abcd"))[: len(g.shape(y))])
    kept = [c for c in sorted(set(letters + other)) if g.draw(st.booleans())]
    g.add("Einsum", [x, y], equation=f"{letters},{other}->{''.join(kept)}")


def reshape(g: Growing) -> None:
    """To a regrouping of the sizes, some written as 0 or -1."""
    x = g.pick()
    shape = list(g.shape(x))
    target = _regrouped(g, shape)
    written = [
        0 if i < len(shape) and size == shape[i] and g.draw(st.booleans()) else size
        for i, size in enumerate(target)
    ]
    if written and g.draw(st.booleans()):
        written[g.draw(st.integers(0, len(written) - 1))] = -1
    g.add("Reshape", [x, _ints(g, *written)])


def _regrouped(g: Growing, shape: list[int]) -> list[int]:
    """The sizes with neighbors joined, or split, or quite others with the same product."""
    sizes = list(shape)
    for _ in range(g.draw(st.integers(0, 2))):
        if len(sizes) > 1 and g.draw(st.booleans()):
            i = g.draw(st.integers(0, len(sizes) - 2))
            sizes[i : i + 2] = [sizes[i] * sizes[i + 1]]
        elif sizes:
            i = g.draw(st.integers(0, len(sizes) - 1))
            divisors = [d for d in range(1, sizes[i] + 1) if sizes[i] % d == 0]
            d = g.draw(st.sampled_from(divisors))
            sizes[i : i + 1] = [d, sizes[i] // d]
    return g.draw(st.permutations(sizes)) if g.draw(st.integers(0, 4)) == 0 else sizes


def reshape_by_shape(g: Growing) -> None:
    """To sizes that the graph computes."""
    x = g.pick()
    shape = list(g.shape(x))
    if not shape:
        raise LookupError
    (sizes,) = g.add("Shape", [x])
    parts: list[str] = []
    i = 0
    while i < len(shape):
        (part,) = g.add("Gather", [sizes, _ints(g, i)], axis=0)
        i += 1
        if i < len(shape) and g.draw(st.booleans()):
            (more,) = g.add("Gather", [sizes, _ints(g, i)], axis=0)
            (part,) = g.add("Mul", [part, more])
            i += 1
        divisor = g.draw(st.sampled_from((1, 1, 2, 3)))
        if divisor > 1 and int(g.values[part][0]) % divisor == 0:
            (rest,) = g.add("Div", [part, _ints(g, divisor)])
            parts.append(rest)
            part = _ints(g, divisor)
        parts.append(part)
    if g.draw(st.booleans()):
        parts[g.draw(st.integers(0, len(parts) - 1))] = _ints(g, -1)
    (target,) = g.add("Concat", parts, axis=0)
    g.add("Reshape", [x, target])


def reshape_to_value(g: Growing) -> None:
    """To whatever numbers a value holds."""
    g.add("Reshape", [g.pick(), g.pick("int64", rank=1)])


def expand(g: Growing) -> None:
    x = g.pick()
    if g.draw(st.booleans()):
        (target,) = g.add("Shape", [g.pick()])
    else:
        target = _ints(g, *(g.draw(st.sampled_from((1, size, ITEMS))) for size in g.shape(x)))
    g.add("Expand", [x, target])


def constant_of_shape(g: Growing) -> None:
    g.add("ConstantOfShape", [g.pick("int64", rank=1)])


def number_range(g: Growing) -> None:
    (size,) = g.add("Size", [g.pick()])
    zero, one = g.constant(np.int64(0)), g.constant(np.int64(1))
    g.add("Range", [zero, size if g.draw(st.booleans()) else g.pick("int64", rank=0), one])


def places(g: Growing) -> None:
    """Numbers of the entries of an axis, perhaps with an axis behind them or a factor."""
    x = g.pick()
    axis = g.axis(x)
    (sizes,) = g.add("Shape", [x])
    (size,) = g.add("Gather", [sizes, g.constant(np.int64(axis))])
    (made,) = g.add("Range", [g.constant(np.int64(0)), size, g.constant(np.int64(1))])
    if g.draw(st.booleans()):
        (factor,) = g.add("Gather", [sizes, _ints(g, g.axis(x))])
        (made,) = g.add("Mul", [made, factor])
    if g.draw(st.booleans()):
        g.add("Unsqueeze", [made, _ints(g, *range(1, g.draw(st.integers(2, 3))))])


def tuples(g: Growing) -> None:
    """Indices joined to tuples, to read or write by."""
    a, b = g.pick("int64"), g.pick("int64")
    (a,) = g.add("Unsqueeze", [a, _ints(g, -1)])
    (b,) = g.add("Unsqueeze", [b, _ints(g, -1)])
    (both,) = g.add("Concat", [a, b] if g.draw(st.booleans()) else [b, a], axis=-1)
    x = g.pick("float32")
    if g.draw(st.booleans()):
        g.add("GatherND", [x, both])
    else:
        (updates,) = g.add("GatherND", [g.pick("float32"), both])
        g.add("ScatterND", [x, both, updates])


def shape_part(g: Growing) -> None:
    x = g.pick()
    rank = len(g.shape(x))
    if g.draw(st.booleans()):
        start = g.draw(st.integers(-rank, rank))
        g.add("Shape", [x], start=start, end=g.draw(st.integers(start, rank)))
        return
    (sizes,) = g.add("Shape", [x])
    place = g.draw(st.integers(0, max(0, rank - 1)))
    g.add(
        "Gather", [sizes, g.constant(np.int64(place)) if g.draw(st.booleans()) else _ints(g, place)]
    )


def transpose(g: Growing) -> None:
    x = g.pick()
    if not g.shape(x):
        raise LookupError
    g.add("Transpose", [x], perm=g.draw(st.permutations(range(len(g.shape(x))))))


def flatten(g: Growing) -> None:
    x = g.pick()
    g.add("Flatten", [x], axis=g.draw(st.integers(0, len(g.shape(x)))))


def squeeze(g: Growing) -> None:
    x = g.pick()
    ones = [i for i, size in enumerate(g.shape(x)) if size == 1]
    if g.draw(st.integers(0, 5)) == 0:
        g.add("Squeeze", [x])
    elif ones:
        g.add("Squeeze", [x, _ints(g, g.draw(st.sampled_from(ones)))])


def unsqueeze(g: Growing) -> None:
    x = g.pick()
    g.add("Unsqueeze", [x, _ints(g, g.draw(st.integers(-len(g.shape(x)) - 1, len(g.shape(x)))))])


def concat(g: Growing) -> None:
    x = g.pick()
    y = _other(g, x)
    g.add("Concat", [x, y] if g.draw(st.booleans()) else [y, x], axis=g.axis(x))


def split(g: Growing) -> None:
    x = g.pick()
    axis = g.axis(x)
    size = g.shape(x)[axis]
    if size < 2:
        raise LookupError
    first = g.draw(st.integers(1, size - 1))
    g.add("Split", [x, _ints(g, first, size - first)], outputs=2, axis=axis)


def cut(g: Growing) -> None:
    x = g.pick()
    axis = g.axis(x)
    start = g.draw(st.integers(-3, 2))
    end = g.draw(st.sampled_from((1, 2, 3, -1, 2**31 - 1, 2**63 - 1)))
    step = g.draw(st.sampled_from((1, 1, 2, -1)))
    g.add("Slice", [x, _ints(g, start), _ints(g, end), _ints(g, axis), _ints(g, step)])


def cut_by_shape(g: Growing) -> None:
    x = g.pick()
    axis = g.axis(x)
    g.add("Slice", [x, _ints(g, 0), g.pick("int64", rank=1), _ints(g, axis)])


def gather(g: Growing) -> None:
    x = g.pick()
    axis = g.axis(x)
    if g.draw(st.booleans()):
        shape = g.draw(st.sampled_from(((), (1,), (2,), (ITEMS,), (2, ITEMS))))
        indices = g.constant(np.minimum(_array(g.draw, shape, "int64"), g.shape(x)[axis] - 1))
    else:
        indices = g.pick("int64")
    g.add("Gather", [x, indices], axis=axis)


def embed(g: Growing) -> None:
    table = g.constant(_array(g.draw, (8, 2), "float32"))
    g.add("Gather", [table, g.pick("int64")], axis=g.draw(st.integers(0, 1)))


def gather_elements(g: Growing) -> None:
    x, i = g.pick("float32"), g.pick("int64")
    if g.draw(st.booleans()):
        x = g.constant(_array(g.draw, g.shape(i), "float32"))
    elif g.draw(st.booleans()):
        i = g.constant(_array(g.draw, g.shape(x), "int64"))
    rank = len(g.shape(i))
    g.add("GatherElements", [x, i], axis=g.draw(st.integers(0, max(0, rank - 1))))


def scatter_elements(g: Growing) -> None:
    x, i = g.pick("float32"), g.pick("int64")
    if g.draw(st.booleans()):
        i = g.constant(_array(g.draw, g.shape(x), "int64"))
    u = (
        g.pick("float32")
        if g.draw(st.booleans())
        else g.constant(_array(g.draw, g.shape(i), "float32"))
    )
    g.add("ScatterElements", [x, i, u], axis=g.axis(x), reduction="add")


def gather_nd(g: Growing) -> None:
    x, i = g.pick("float32"), g.pick("int64")
    if g.draw(st.booleans()):
        i = g.constant(
            _array(g.draw, g.draw(st.sampled_from(((1,), (2, 1), (ITEMS, 1), (2, 2)))), "int64")
        )
    g.add("GatherND", [x, i], batch_dims=g.draw(st.integers(0, 1)))


def scatter_nd(g: Growing) -> None:
    x, u = g.pick("float32"), g.pick("float32")
    if g.draw(st.booleans()):
        shape = g.draw(st.sampled_from(((1,), (2, 1), (ITEMS, 1), (2, 2))))
        i = g.constant(np.arange(int(np.prod(shape))).reshape(shape) % 2)
    else:
        i = g.pick("int64")
    if g.draw(st.booleans()):
        needed = g.shape(i)[:-1] + g.shape(x)[g.shape(i)[-1] :] if g.shape(i) else ()
        u = g.constant(_array(g.draw, needed, "float32"))
    g.add("ScatterND", [x, i, u])


def reduce(g: Growing) -> None:
    x = _floats(g)
    op = g.draw(st.sampled_from(("ReduceMax", "ReduceMean", "ReduceSum", "ReduceL2")))
    keepdims = g.draw(st.integers(0, 1))
    if g.draw(st.integers(0, 4)) == 0:
        g.add(op, [x], keepdims=keepdims, noop_with_empty_axes=g.draw(st.integers(0, 1)))
    else:
        g.add(op, [x, _ints(g, g.axis(x))], keepdims=keepdims)


def reduce_sizes(g: Growing) -> None:
    g.add("ReduceProd", [g.pick("int64", rank=1), _ints(g, 0)], keepdims=g.draw(st.integers(0, 1)))


def along(g: Growing) -> None:
    x = _floats(g)
    op = g.draw(
        st.sampled_from(("Softmax", "LogSoftmax", "Hardmax", "ArgMax", "ArgMin", "LpNormalization"))
    )
    g.add(op, [x], axis=g.axis(x))


def cumulate(g: Growing) -> None:
    x = _floats(g)
    g.add("CumSum", [x, g.constant(np.int64(g.axis(x)))])


def top_k(g: Growing) -> None:
    x = _floats(g)
    g.add("TopK", [x, _ints(g, g.draw(st.integers(1, 2)))], outputs=2, axis=g.axis(x))


def tile(g: Growing) -> None:
    x = g.pick()
    if g.draw(st.booleans()):
        g.add("Tile", [x, _ints(g, *(g.draw(st.integers(1, 2)) for _ in g.shape(x)))])
    else:
        g.add("Tile", [x, g.pick("int64", rank=1)])


def pad(g: Growing) -> None:
    x = _floats(g)
    pads = [g.draw(st.sampled_from((0, 0, 0, 1, -1))) for _ in range(2 * len(g.shape(x)))]
    mode = g.draw(st.sampled_from(("constant", "reflect", "edge")))
    g.add("Pad", [x, _ints(g, *pads)], mode=mode)


def compress(g: Growing) -> None:
    x = g.pick()
    axis = g.axis(x)
    if g.draw(st.booleans()):
        condition = g.constant(_array(g.draw, (g.shape(x)[axis],), "bool"))
    else:
        condition = g.pick("bool", rank=1)
    g.add("Compress", [x, condition], **({"axis": axis} if g.draw(st.booleans()) else {}))


def place_bound(g: Growing) -> None:
    op = g.draw(st.sampled_from(("Trilu", "EyeLike", "NonZero")))
    g.add(op, [_floats(g)])


def one_hot(g: Growing) -> None:
    i = g.pick("int64")
    depth, values = g.constant(np.int64(2)), g.constant(np.array([0.0, 1.0], dtype=np.float32))
    g.add("OneHot", [i, depth, values], axis=g.draw(st.integers(-1, len(g.shape(i)))))


def layer_normalization(g: Growing) -> None:
    x = _floats(g)
    axis = g.axis(x)
    scale = g.constant(_array(g.draw, g.shape(x)[axis:], "float32"))
    g.add("LayerNormalization", [x, scale], outputs=g.draw(st.sampled_from((1, 3))), axis=axis)


def normalization(g: Growing) -> None:
    x = g.pick("float32", rank=g.draw(st.sampled_from((3, 4))))
    channels = g.constant(_array(g.draw, (g.shape(x)[1],), "float32"))
    if g.draw(st.booleans()):
        g.add("InstanceNormalization", [x, channels, channels])
    else:
        positive = g.constant(np.abs(g.constants[channels]) + 1)
        g.add("BatchNormalization", [x, channels, channels, channels, positive])


def mean_variance(g: Growing) -> None:
    x = g.pick("float32", rank=4)
    axes = g.draw(st.sampled_from(([0, 2, 3], [2, 3], [1, 2, 3])))
    g.add("MeanVarianceNormalization", [x], axes=axes)


def conv(g: Growing) -> None:
    x = g.pick("float32", rank=g.draw(st.sampled_from((3, 4))))
    shape = g.shape(x)
    w = g.constant(_array(g.draw, (2, shape[1], *(1 for _ in shape[2:])), "float32"))
    if g.draw(st.booleans()):
        g.add("Conv", [x, w], pads=[g.draw(st.integers(0, 1))] * (2 * (len(shape) - 2)))
    else:
        op = g.draw(st.sampled_from(("GlobalAveragePool", "GlobalMaxPool", "LRN")))
        g.add(op, [x], **({"size": 3} if op == "LRN" else {}))


def pool(g: Growing) -> None:
    x = g.pick("float32", rank=g.draw(st.sampled_from((3, 4))))
    rank = len(g.shape(x)) - 2
    if g.draw(st.booleans()):
        g.add("MaxPool", [x], outputs=2, kernel_shape=[1] * rank, strides=[2] * rank)
    else:
        g.add("AveragePool", [x], kernel_shape=[2] * rank, pads=[1] * (2 * rank), ceil_mode=1)


def blocks(g: Growing) -> None:
    op = g.draw(st.sampled_from(("DepthToSpace", "SpaceToDepth")))
    g.add(op, [g.pick("float32", rank=4)], blocksize=g.draw(st.integers(1, 2)))


def recurrent(g: Growing) -> None:
    x = g.pick("float32", rank=3)
    op, gates = g.draw(st.sampled_from((("GRU", 3), ("LSTM", 4), ("RNN", 1))))
    width = g.shape(x)[2]
    w = g.constant(_array(g.draw, (1, gates * 2, width), "float32"))
    r = g.constant(_array(g.draw, (1, gates * 2, 2), "float32"))
    inputs = [x, w, r]
    if g.draw(st.booleans()):
        inputs += ["", "", g.pick("float32", rank=3)]
    g.add(op, inputs, outputs=2, hidden_size=2)


def reverse(g: Growing) -> None:
    x = _floats(g)
    time = g.draw(st.integers(0, 1))
    if g.draw(st.booleans()):
        lengths = g.pick("int64", rank=1)
    else:
        lengths = g.constant(np.ones(g.shape(x)[1 - time], dtype=np.int64) * 2)
    g.add("ReverseSequence", [x, lengths], time_axis=time, batch_axis=1 - time)


def resize(g: Growing) -> None:
    x = _floats(g)
    mode = g.draw(st.sampled_from(("nearest", "linear")))
    if g.draw(st.booleans()):
        scales = [g.draw(st.sampled_from((1.0, 1.0, 2.0, 0.5))) for _ in g.shape(x)]
        g.add("Resize", [x, "", g.constant(np.array(scales, dtype=np.float32))], mode=mode)
        return
    (sizes,) = g.add("Shape", [x])
    factors = [g.draw(st.sampled_from((1, 1, 2))) for _ in g.shape(x)]
    (sizes,) = g.add("Mul", [sizes, _ints(g, *factors)])
    g.add("Resize", [x, "", "", sizes], mode=mode)


def quantize(g: Growing) -> None:
    x = _floats(g)
    kind = g.draw(st.integers(0, 2))
    if kind == 0:
        g.add("DynamicQuantizeLinear", [x], outputs=3)
        return
    axis = g.axis(x)
    size = () if kind == 1 else (g.shape(x)[axis],)
    scale = g.constant(np.abs(_array(g.draw, size, "float32")) + np.float32(0.1))
    zero = g.constant(np.zeros(size, dtype=np.uint8))
    (q,) = g.add("QuantizeLinear", [x, scale, zero], axis=axis)
    g.add("DequantizeLinear", [q, scale, zero], axis=axis)


def clip(g: Growing) -> None:
    x = _floats(g)
    limit = g.pick("float32", rank=0) if g.draw(st.booleans()) else g.constant(np.float32(0.5))
    g.add("Clip", [x, "", limit])


KINDS = (
    unary, binary, binary, integer_arithmetic, where, cast, compare, matmul, matmul, gemm, einsum,
    reshape, reshape, reshape, reshape_by_shape, reshape_by_shape, reshape_to_value, expand,
    constant_of_shape, number_range, places, places, tuples, tuples, shape_part, transpose,
    transpose, flatten, squeeze, unsqueeze,
    concat, concat, split, cut, cut_by_shape, gather, embed, gather_elements, scatter_elements,
    gather_nd, scatter_nd, reduce, reduce_sizes, along, cumulate, top_k, tile, pad, compress,
    place_bound, one_hot, layer_normalization, normalization, mean_variance, conv, pool, blocks,
    recurrent, reverse, resize, quantize, clip,
)  # fmt: skip


def _sizes(draw: Draw, place: int) -> tuple[list[int], int | None]:
    """The sizes of an input and the axis of its items, which the first input has."""
    rank = draw(st.integers(1, 4))
    sizes = [draw(st.sampled_from((1, 2, ITEMS, 4))) for _ in range(rank)]
    if place and not draw(st.integers(0, 3)):
        return sizes, None
    axis = draw(st.integers(0, rank - 1)) if draw(st.booleans()) else 0
    sizes[axis] = ITEMS
    return sizes, axis


@st.composite
def graphs(draw: Draw, kinds: tuple[Callable[[Growing], None], ...] = KINDS) -> Growing:
    """A graph of up to 12 nodes with at least one input that carries items."""
    g = Growing(draw, opset=draw(st.sampled_from((18, 21))))
    for place in range(draw(st.integers(1, 3))):
        sizes, axis = _sizes(draw, place)
        if place and draw(st.booleans()):
            first, axis = g.inputs["x0"]
            sizes = list(first.shape)
        dtype = draw(st.sampled_from(("float32", "float32", "int64", "bool")))
        array = _array(draw, tuple(sizes), dtype)
        g.inputs[f"x{place}"] = (array, axis)
        g.values[f"x{place}"] = array
        if draw(st.booleans()):
            g.free.add(f"x{place}")
    for _ in range(draw(st.integers(2, 12))):
        try:
            draw(st.sampled_from(kinds))(g)
        except (Refused, LookupError):
            continue
    return g
