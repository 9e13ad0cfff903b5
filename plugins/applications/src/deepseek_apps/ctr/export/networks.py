"""The networks as nodes of a graph: each gives the mean of its members' log odds, (N, 1).

Legend: K members, N rows, F fields, D numbers a row of the table, M numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from deepseek_apps.ctr.export.preprocessing import Prepared
from deepseek_apps.ctr.export.writer import GraphWriter

Weights = Mapping[str, npt.NDArray[np.float32]]


def write_fm(writer: GraphWriter, given: Prepared, weights: Weights) -> str:
    """Add a factorization machine; `network.members.Fm` says what it computes."""
    two = writer.integers(2)
    rows = writer.add("Gather", writer.constant(weights["table.weight"]), given.ids, axis=1)
    total = writer.add("ReduceSum", rows, two, keepdims=0)
    squared = writer.add("Mul", total, total)
    squares = writer.add("ReduceSum", writer.add("Mul", rows, rows), two, keepdims=0)
    pairs = writer.add("Sub", squared, squares)
    products = writer.add("ReduceSum", pairs, two, keepdims=1)
    halves = writer.add("Mul", products, writer.constant(0.5))
    single = writer.add("Gather", writer.constant(weights["linear.weight"]), given.ids, axis=1)
    linear = writer.add("ReduceSum", single, two, keepdims=0)
    logits = writer.add("Add", halves, linear)
    if given.numbers is None:
        logits = writer.add("Add", logits, writer.constant(weights["numbers.bias"]))
    else:
        logits = writer.add("Add", logits, _linear(writer, given.numbers, weights, "numbers"))
    return _mean(writer, logits)


def write_dcn(writer: GraphWriter, given: Prepared, weights: Weights) -> str:
    """Add a DCN-v2; `network.members.Dcn` says what it computes."""
    start = _start(writer, given, weights["table.weight"])
    crossed = start
    for at in range(_depth(weights, "crosses.layers")):
        product = _linear(writer, crossed, weights, f"crosses.layers.{at}")
        crossed = writer.add("Add", writer.add("Mul", start, product), crossed)
    deep = start
    for at in range(_depth(weights, "deep")):
        deep = writer.add("Relu", _linear(writer, deep, weights, f"deep.{at}"))
    both = writer.add("Concat", crossed, deep, axis=2)
    return _mean(writer, _linear(writer, both, weights, "head"))


WRITERS = {"fm": write_fm, "dcn": write_dcn}
"""What writes each kind of network."""


def _start(writer: GraphWriter, given: Prepared, table: npt.NDArray[np.float32]) -> str:
    """Rows of all fields side by side, then the numbers: (K, N, F * D + M)."""
    rows = writer.add("Gather", writer.constant(table), given.ids, axis=1)
    flat = writer.add("Reshape", rows, writer.integers(0, 0, -1))
    if given.numbers is None:
        return flat
    # numbers are the same for each member: a zero of (K, 1, 1) spreads them
    zeros = writer.constant(np.zeros((len(table), 1, 1)))
    return writer.add("Concat", flat, writer.add("Add", zeros, given.numbers), axis=2)


def _linear(writer: GraphWriter, x: str, weights: Weights, name: str) -> str:
    product = writer.add("MatMul", x, writer.constant(weights[f"{name}.weight"]))
    return writer.add("Add", product, writer.constant(weights[f"{name}.bias"]))


def _depth(weights: Weights, name: str) -> int:
    return sum(key.startswith(f"{name}.") and key.endswith(".weight") for key in weights)


def _mean(writer: GraphWriter, logits: str) -> str:
    """The mean over members of (K, N, 1)."""
    return writer.add("ReduceMean", logits, axes=[0], keepdims=0)
