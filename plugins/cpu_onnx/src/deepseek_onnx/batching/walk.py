"""The walk through a graph, node by node, from the states of its inputs.

Functions are followed into their bodies and an If into its branches. Where a rule proves nothing
the outputs are Mixed, and so is whatever reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Final

import attrs

from deepseek_onnx.batching import trusted
from deepseek_onnx.batching.bodies import branches, call_function
from deepseek_onnx.batching.calls import Call, Rule
from deepseek_onnx.batching.faults import (
    Contradiction,
    IsRandom,
    Malformed,
    NotProven,
    Unclear,
    Undecided,
)
from deepseek_onnx.batching.folding import fold
from deepseek_onnx.batching.joining import join
from deepseek_onnx.batching.program import Program, plain_domain
from deepseek_onnx.batching.rules import RULES
from deepseek_onnx.batching.scope import Inputs, Outcome, Scope, named
from deepseek_onnx.batching.sizes import Term, expression
from deepseek_onnx.batching.states import Fixed, Items, Mixed, State
from deepseek_onnx.batching.unruled import RANDOM, without_rule
from deepseek_onnx.protos import FunctionProto, NodeProto

# A model whose bodies hold more nodes than this, counted at each call, is not followed.
_MOST_INNER_NODES: Final = 200_000

# What Python raises where a node has fewer axes or numbers than its operator needs.
_CONTRADICTIONS: Final = (LookupError, ValueError, ArithmeticError)


@attrs.define(eq=False)
class Walk:
    """One walk through a model.

    `symbol` names the items' axis in reasons. `rescues` are states to go on from where nothing is
    proven. `decisions` say which branch is taken of each If whose branches have nothing in common,
    in the order in which these are met; None if no such branch is followed. `numbers` counts the
    sizes that could not be computed, `inner_left` the nodes of bodies that may still be visited.
    """

    program: Program
    symbol: str
    rescues: Mapping[str, State] = attrs.field(factory=dict)
    decisions: Iterator[bool] | None = None
    numbers: Iterator[int] = attrs.field(factory=count)
    inner_left: int = _MOST_INNER_NODES

    def through_graph(self, inputs: Mapping[str, State]) -> Mapping[str, State | None]:
        """The states of all values of the main graph."""
        values = {**self.program.constants, **inputs}
        self._follow(self.program.graph.node, Scope(values, self.program.opsets))
        return values

    def _follow(self, nodes: Iterable[NodeProto], scope: Scope) -> None:
        values = scope.values
        for node in nodes:
            outcome = self._step(node, scope)
            names = node.output
            if isinstance(outcome, Items) and len(names) == 1 and names[0]:
                values[names[0]] = outcome
                continue
            for name, state in named(node, outcome):
                rescued = isinstance(state, Mixed) and not scope.depth
                values[name] = self.rescues.get(name, state) if rescued else state

    def _step(self, node: NodeProto, scope: Scope) -> Outcome:
        operator, values = node.op_type, scope.values
        try:
            inputs = [values[name] for name in node.input]
        except KeyError as missing:
            return Mixed(f"nothing makes {missing.args[0]!r} before {operator} reads it")
        known: Inputs = []
        for state in inputs:
            if isinstance(state, Mixed):
                return _worst(inputs)
            known.append(state)
        try:
            return self._apply(node, operator, known, scope)
        except NotProven as fault:
            return Mixed(
                fault.clause(operator, self.symbol), never=isinstance(fault, Contradiction)
            )
        except _CONTRADICTIONS:
            return Mixed(f"{operator} contradicts itself")

    def _apply(self, node: NodeProto, operator: str, inputs: Inputs, scope: Scope) -> Outcome:
        domain = plain_domain(node.domain)
        rule = RULES.get(domain, {}).get(operator)
        if self.program.functions:
            function = self.program.functions.get((domain, operator, node.overload))
            if function is not None:
                return self._call(function, rule, node, inputs, scope)
        if rule is not None:
            call = Call(node, inputs, scope.opsets.get(domain, 1), scope.given, self.numbers)
            return _ruled(rule, call, operator if not domain else "")
        if domain == "" and operator in RANDOM:
            raise IsRandom
        if domain == "" and operator == "If":
            return branches(node, scope, self._inside, self._unknown, self._decide)
        return without_rule(node, domain, inputs, scope.values, self.program.functions)

    def _call(
        self,
        function: FunctionProto,
        rule: Rule | None,
        node: NodeProto,
        inputs: Inputs,
        scope: Scope,
    ) -> Outcome:
        """The outputs of a function; where an operator of its name has a rule, what holds of both.

        A runtime may take its own operator instead of the body.
        """
        version = scope.opsets.get(plain_domain(node.domain), 1)
        call = Call(node, inputs, version, scope.given, self.numbers)
        if trusted.is_ours(function):
            return trusted.match(call)
        made = call_function(function, node, inputs, scope, self._inside)
        if rule is None:
            return made
        own = dict(named(node, _ruled(rule, call, "")))
        return tuple(join(state, own[name], self._unknown) for name, state in named(node, made))

    def _decide(self) -> bool | None:
        """The next decision.

        Raises:
            Undecided: there is none yet.
        """
        if self.decisions is None:
            return None
        for decision in self.decisions:
            return decision
        raise Undecided

    def _inside(self, nodes: Iterable[NodeProto], scope: Scope) -> None:
        """Follow a body, as long as bodies are not too many."""
        nodes = list(nodes)
        self.inner_left -= len(nodes)
        if self.inner_left < 0:
            raise Malformed("has too many bodies in it")
        self._follow(nodes, scope)

    def _unknown(self) -> Term:
        return expression(f"#{next(self.numbers)}", is_size=True)


def _worst(states: Iterable[State | None]) -> Mixed:
    """The first Mixed state, before it one that no run can make."""
    mixed = [state for state in states if isinstance(state, Mixed)]
    return next((state for state in mixed if state.never), mixed[0])


def _ruled(rule: Rule, call: Call, foldable: str) -> Outcome:
    """The outputs by their elements where no input has items, else by a rule."""
    if foldable and not any(isinstance(state, Items) for state in call.inputs):
        folded = fold(call, foldable)
        if folded is not None:
            return folded
    try:
        return rule(call)
    except Unclear:
        if not all(state is None or isinstance(state, Fixed) for state in call.inputs):
            raise
        # What an operator makes of constants alone is a constant, known or not.
        return tuple(Fixed(None) for _ in call.node.output)
