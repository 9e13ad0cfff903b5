"""Graphs that are none: names without a tensor, two of one name, circles, too many dimensions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from onnx import GraphProto, NodeProto

from deepseek_trt.model.facts import Facts, name_of, subgraphs
from deepseek_trt.model.scope import shape_of
from deepseek_trt.problem import Problem

_MOST_DIMENSIONS: Final = 8
_AGAIN: Final = "export the model again; onnx.checker.check_model says more"


def of_graph(facts: Facts) -> Iterable[Problem]:
    """Each tensor is given once, and before it is used."""
    yield from _of_names(facts.model.graph, frozenset())
    for value in (*facts.model.graph.input, *facts.model.graph.output):
        shape = shape_of(value)
        if shape is not None and len(shape) > _MOST_DIMENSIONS:
            what = f"{value.name!r} has {len(shape)} dimensions; {_MOST_DIMENSIONS} are taken"
            yield _problem("dimensions", what, "reshape it outside of the model")


def _of_names(graph: GraphProto, outer: frozenset[str]) -> Iterator[Problem]:
    given = Counter(name for node in graph.node for name in node.output if name)
    known = outer | {v.name for v in graph.input} | {t.name for t in graph.initializer}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    for name, count in given.items():
        if count > 1:
            yield _problem("graph", f"{count} nodes give {name!r}", _AGAIN)
    for node in graph.node:
        for name in node.input:
            if name and name not in known and name not in given:
                what = f"its input {name!r} comes from nowhere"
                yield _problem("graph", what, _AGAIN, node)
    for value in graph.output:
        if value.name not in known and value.name not in given:
            yield _problem("graph", f"no node gives the output {value.name!r}", _AGAIN)
    if _has_circle(graph):
        yield _problem("graph", "nodes wait for each other in a circle", _AGAIN)
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _of_names(inner, known | frozenset(given))


def _has_circle(graph: GraphProto) -> bool:
    """Whether an order of the nodes is lacking (Kahn 1962)."""
    giver = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    waits = [{giver[n] for n in node.input if n in giver} for node in graph.node]
    served: list[list[int]] = [[] for _ in waits]
    for index, needed in enumerate(waits):
        for other in needed:
            served[other].append(index)
    ready = [index for index, needed in enumerate(waits) if not needed]
    done = 0
    while ready:
        done += 1
        index = ready.pop()
        for other in served[index]:
            waits[other].discard(index)
            if not waits[other]:
                ready.append(other)
    return done < len(waits)


def _problem(name: str, what: str, remedy: str, node: NodeProto | None = None) -> Problem:
    called = "" if node is None else name_of(node)
    operator = "" if node is None else node.op_type
    return Problem(rule=name, node=called, operator=operator, what=what, remedy=remedy)
