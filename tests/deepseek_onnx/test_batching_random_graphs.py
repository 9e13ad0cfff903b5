"""In random graphs every state that the walk gives a value holds in runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from batch_graphs import graphs
from batch_growing import ITEMS, Growing
from batch_runs import Refused, cuts, equal, run, session, take
from hypothesis import HealthCheck, given, settings

from deepseek_onnx.batching.program import take_apart
from deepseek_onnx.batching.proving import input_states
from deepseek_onnx.batching.sizes import Term
from deepseek_onnx.batching.states import Fixed, Items, Mixed, Places, Size, State
from deepseek_onnx.batching.walk import Walk

Array = np.ndarray[Any, np.dtype[Any]]


def value_of(element: Any, n: int) -> int | None:
    """A size for n items, None where it has an atom that is no symbol of the test."""
    if not isinstance(element, Term):
        return element
    total = element.coefficient * n**element.power
    for atom in element.atoms:
        name = atom.strip("'").rpartition("S")[2]
        if not atom.startswith("'") or not name.isdigit():
            return None
        total *= int(name)
    return total


def wrong_sizes(dims: Any, shape: tuple[int, ...], n: int) -> bool:
    if len(dims) != len(shape):
        return True
    known = [value_of(dim, n) for dim in dims]
    return any(k is not None and k != size for k, size in zip(known, shape, strict=True))


def wrong_content(content: Any, array: Array, n: int) -> bool:
    known = [value_of(element, n) for element in content.reshape(-1)]
    return any(k is not None and k != x for k, x in zip(known, array.reshape(-1), strict=True))


def flaws(state: State | None, runs: list[tuple[int, Array]]) -> Iterator[str]:
    """What of a state is not so; the first run is the whole, the others are its pieces."""
    whole = runs[0][1]
    if state is None or isinstance(state, Mixed):
        return
    if state.dims is not None and any(wrong_sizes(state.dims, x.shape, n) for n, x in runs):
        yield f"sizes {state.dims} of {[x.shape for _, x in runs]}"
        return
    content = state.content if isinstance(state, Fixed | Size) else None
    if content is not None and any(wrong_content(content, x, n) for n, x in runs):
        yield f"content {content} of {[x for _, x in runs]}"
    if isinstance(state, Fixed) and not all(equal(whole, x) for _, x in runs):
        yield "is not fixed"
    if isinstance(state, Fixed | Items) and not all(_lies(x, state.below) for _, x in runs):
        yield f"not below {state.below}"
    if isinstance(state, Places):
        yield from _misplaced(state, runs)
    if isinstance(state, Items):
        share = whole.shape[state.axis] / runs[0][0]
        if any(x.shape[state.axis] != share * n for n, x in runs):
            yield f"pieces {[x.shape for _, x in runs]} along {state.axis}"
            return
        outer = value_of(state.layout[0], ITEMS)
        if outer is None:
            return
        apart = [_apart(x, state.axis, outer, n) for n, x in runs]
        if not equal(apart[0], np.concatenate(apart[1:], axis=state.axis + 1)):
            yield f"values differ along {state.axis}"


def _lies(x: Array, below: Any) -> bool:
    """Whether all elements are from 0 on and less than a bound, where it is known."""
    limit = None if below is None else value_of(below, ITEMS)
    return limit is None or bool((x >= 0).all() and (x < limit).all())


def _misplaced(state: Places, runs: list[tuple[int, Array]]) -> Iterator[str]:
    """What is wrong of numbers that tell items by their place."""
    for n, x in runs:
        stride = None if state.stride is None else value_of(state.stride, n)
        outer = value_of(state.layout[0], n)
        if stride is None or outer is None:
            continue
        numbers = x if state.column is None else x[..., state.column]
        apart = np.moveaxis(_apart(numbers, state.axis, outer, n), state.axis + 1, -1)
        if not _lies(apart - np.arange(n) * stride, state.below):
            yield f"places {numbers}"


def _apart(x: Array, axis: int, outer: int, n: int) -> Array:
    """A value with an axis for outer, one for the items and one for inner."""
    return x.reshape(*x.shape[:axis], outer, n, -1, *x.shape[axis + 1 :])


def wrong_states(g: Growing) -> dict[str, list[str]]:
    """What is wrong of each value that is not Mixed."""
    axes = {name: axis for name, (_, axis) in g.inputs.items() if axis is not None}
    program = take_apart(g.model())
    states = Walk(program, "N").through_graph(input_states(program, axes, "N"))
    known = [n for n in g.nodes if not all(isinstance(states[o], Mixed) for o in n.output)]
    if not known:
        return {}
    feeds = {name: array for name, (array, _) in g.inputs.items()}
    try:
        opened = session(g.model(known))
        whole = run(opened, feeds)
    except Refused:
        # What the runtime infers for a node alone and in the graph is not always the same.
        return {}
    found: dict[str, list[str]] = {}
    for borders in cuts(ITEMS):
        runs = [(ITEMS, whole)]
        for start, stop in itertools.pairwise(borders):
            part = {k: take(v, axes[k], start, stop) if k in axes else v for k, v in feeds.items()}
            try:
                runs.append((stop - start, run(opened, part)))
            except Refused as error:
                # A number of items may be divided to 0, and be divided by.
                return {} if "division by zero" in str(error) else {"a piece": [str(error)]}
        for name in whole:
            problems = list(flaws(states[name], [(n, made[name]) for n, made in runs]))
            if problems:
                found.setdefault(name, []).extend(problems)
    return found


@settings(suppress_health_check=list(HealthCheck))
@given(graphs())
def test_every_state_holds_in_random_graphs(g):
    assert wrong_states(g) == {}, g.model()
