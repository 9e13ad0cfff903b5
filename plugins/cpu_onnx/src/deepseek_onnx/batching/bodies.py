"""What is inside a node: the body of a function, the branches of an If."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from typing import Final

from deepseek_onnx.batching.calls import known_content
from deepseek_onnx.batching.contents import as_integers
from deepseek_onnx.batching.faults import Malformed, Mixes, Unclear
from deepseek_onnx.batching.joining import join
from deepseek_onnx.batching.program import constants, versions
from deepseek_onnx.batching.scope import Follow, Inputs, Scope, state_of
from deepseek_onnx.batching.sizes import Term
from deepseek_onnx.batching.states import Fixed, Items, State
from deepseek_onnx.protos import AttributeProto, FunctionProto, GraphProto, NodeProto

# Bodies may call bodies; a model that does so deeper than this is not followed.
_DEEPEST: Final = 48


def call_function(
    function: FunctionProto, node: NodeProto, inputs: Inputs, scope: Scope, follow: Follow
) -> tuple[State, ...]:
    """The outputs of a function's body for these inputs."""
    values: dict[str, State | None] = {"": None}
    values.update(dict.fromkeys(function.input))
    values.update(zip(function.input, inputs, strict=False))
    told = versions(function.opset_import)
    if any(scope.opsets.get(domain, version) != version for domain, version in told.items()):
        raise Unclear("its body is of another operator set")  # by which one it runs is not agreed
    body = Scope(values, told, _given(function, node, scope), _deeper(scope))
    follow(function.node, body)
    return tuple(state_of(body, name) for name in function.output)


def _given(function: FunctionProto, node: NodeProto, scope: Scope) -> Mapping[str, AttributeProto]:
    """The attributes of a call by name, those that refer to the caller's own looked up there."""
    given = {attribute.name: attribute for attribute in function.attribute_proto}
    for attribute in node.attribute:
        reference = attribute.ref_attr_name
        found = scope.given.get(reference) if reference else attribute
        if found is not None:
            given[attribute.name] = found
    return given


def _deeper(scope: Scope) -> int:
    if scope.depth >= _DEEPEST:
        raise Malformed("has too deep a body")
    return scope.depth + 1


def branches(
    node: NodeProto,
    scope: Scope,
    follow: Follow,
    unknown: Callable[[], Term],
    decide: Callable[[], bool | None],
) -> tuple[State, ...]:
    """The outputs of an If: of the branch that is taken, or what holds of both.

    Where nothing holds of both, `decide` says for which of the two the walk goes on, None if it
    does not.
    """
    condition = scope.values.get(node.input[0])
    if isinstance(condition, Items):
        raise Mixes("one branch for all")
    if not isinstance(condition, Fixed):
        raise Unclear("its branch depends on how many there are")
    graphs = {attribute.name: attribute.g for attribute in node.attribute}
    if set(graphs) != {"then_branch", "else_branch"}:
        raise Malformed("lacks a branch")
    content = known_content(condition)
    taken = as_integers(content) if content is not None else None
    if taken is not None and len(taken) == 1:
        return _branch(graphs["then_branch" if taken[0] else "else_branch"], scope, follow)
    both = [_branch(graphs[name], scope, follow) for name in ("then_branch", "else_branch")]
    try:
        return tuple(join(a, b, unknown) for a, b in zip(*both, strict=True))
    except Unclear:
        decision = decide()
        if decision is None:
            raise
        return both[0] if decision else both[1]


def _branch(graph: GraphProto, scope: Scope, follow: Follow) -> tuple[State, ...]:
    """The outputs of a graph that reads the values around it."""
    inner = Scope(
        ChainMap(constants(graph), scope.values), scope.opsets, scope.given, _deeper(scope)
    )
    follow(graph.node, inner)
    return tuple(state_of(inner, value.name) for value in graph.output)
