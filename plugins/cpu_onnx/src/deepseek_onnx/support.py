"""What a provider of ONNX Runtime runs, by trial: a model of one operator, loaded.

A list of kernels would say too little: ONNX Runtime also runs operators that it decomposes
(functions) and float16 operators that it surrounds with casts. Loading is its own answer, takes
about 0.3 ms, and is asked once for each operator, opset, combination of dtypes and attributes.
The test suite holds the answers against what loads, over all of the ONNX node models.
"""

from __future__ import annotations

from typing import Any, Final

import onnx
from onnx import helper

from deepseek_core import Operation, Support, TensorSpec
from deepseek_onnx.attributes import FUNCTIONS, captured_names, node_attributes
from deepseek_onnx.dtypes import ELEMENT
from deepseek_onnx.protos import GraphProto
from deepseek_onnx.sessions import CPU, Engine, trial
from deepseek_onnx.settings import Settings
from deepseek_onnx.shapes import type_of
from deepseek_onnx.vendor_errors import FAULTS, short_text

# The lowest version that has functions, and functions with overloads.
_IR_VERSION: Final = 8
_OVERLOADS_IR: Final = 10
# For a function of a domain of its own, whose body brings its opset along.
_DEFAULT_OPSET: Final = 18


class TrialSupport:
    """Answers by trial and remembers them; safe from several threads."""

    def __init__(self, settings: Settings, engine: Engine = CPU) -> None:
        self._settings, self._engine = settings, engine
        self._known: dict[bytes, Support] = {}

    def of(self, operation: Operation) -> Support:
        """Whether the operation loads; the reason of a refusal is ONNX Runtime's own text."""
        # Kernels are chosen by dtype, so that one trial without shapes answers for all of them;
        # the bodies of a few operators can only be built for known shapes.
        answer = self._known_or_tried(one_operator_model(operation, shapes=False))
        if answer or not any(spec.shape for spec in operation.inputs):
            return answer
        second = self._known_or_tried(one_operator_model(operation, shapes=True))
        return second if second else answer

    def _known_or_tried(self, content: bytes) -> Support:
        answer = self._known.get(content)
        if answer is None:
            answer = self._known[content] = self._try(content)
        return answer

    def _try(self, content: bytes) -> Support:
        try:
            trial(content, self._settings, self._engine)
        except FAULTS as error:
            return Support.no(short_text(error))
        return Support.yes()


def one_operator_model(operation: Operation, *, shapes: bool) -> bytes:
    """A model of one operation, with names of its own so that equal ones are equal bytes."""
    renamed = {spec.name: f"in/{i}" for i, spec in enumerate(operation.inputs) if spec.name}
    nested = _nested(operation)
    captured = captured_names(nested)
    formal = operation.inputs[: _num_formal(operation, nested)]
    node = helper.make_node(
        operation.name,
        # A captured value keeps its name: the subgraph refers to it.
        [_name(spec, renamed, captured) for spec in formal],
        [f"out/{i}" if spec.name else "" for i, spec in enumerate(operation.outputs)],
        domain=operation.domain,
    )
    node.attribute.extend(node_attributes(operation))
    bodies = operation.attributes.get(FUNCTIONS, ())
    if bodies and hasattr(node, "overload"):
        node.overload = _overload(onnx.FunctionProto.FromString(bodies[0]))
    inputs = {_name(spec, renamed, captured): spec for spec in operation.inputs if spec.name}
    graph = helper.make_graph(
        [node],
        "trial",
        [
            _value(name, spec, _takes_sequence(operation, position), shapes)
            for position, (name, spec) in enumerate(inputs.items())
        ],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )
    return _model(graph, operation)


def _name(spec: TensorSpec, renamed: dict[str, str], captured: set[str]) -> str:
    return spec.name if spec.name in captured else renamed.get(spec.name, "")


def _nested(operation: Operation) -> list[GraphProto]:
    return [value for value in operation.attributes.values() if isinstance(value, GraphProto)]


def _num_formal(operation: Operation, nested: list[GraphProto]) -> int:
    """How many of the inputs stand on the node; captured outer values come after them."""
    if not nested:
        return len(operation.inputs)
    if operation.name == "If":
        return 1
    # Scan had the lengths of sequences as its first input before opset 9.
    lengths = 1 if operation.name == "Scan" and operation.version < 9 else 0
    return len(nested[0].input) + lengths


def _value(name: str, spec: TensorSpec, is_sequence: bool, shapes: bool) -> Any:
    if is_sequence or spec.container:
        return _of_container(name, spec)
    element = ELEMENT[spec.dtype]
    # A shape of () may be a scalar's or not known: nothing is declared then.
    return helper.make_tensor_value_info(name, element, (spec.shape if shapes else None) or None)


def _of_container(name: str, spec: TensorSpec) -> Any:
    """What is not a tensor; of a type that has no words nothing is declared."""
    held = type_of(spec.container or f"sequence(tensor({spec.dtype}))")
    if held is None:
        return helper.make_empty_tensor_value_info(name)
    return helper.make_value_info(name, held)


def _takes_sequence(operation: Operation, position: int) -> bool:
    # Where a spec does not say so, the operator's schema does if it takes nothing else.
    try:
        schema = onnx.defs.get_schema(operation.name, operation.version, operation.domain)
    except onnx.defs.SchemaError:
        return False
    if position >= len(schema.inputs):
        return False
    return all(text.startswith("seq(") for text in schema.inputs[position].types)


def _overload(function: onnx.FunctionProto) -> str:
    return getattr(function, "overload", "")


def _model(graph: GraphProto, operation: Operation) -> bytes:
    functions = [
        onnx.FunctionProto.FromString(content)
        for content in operation.attributes.get(FUNCTIONS, ())
    ]
    opsets = {operation.domain: max(operation.version, 1)}
    for function in functions:
        opsets.setdefault(function.domain, 1)
        for opset in function.opset_import:
            opsets.setdefault(opset.domain, opset.version)
    opsets.setdefault("", _DEFAULT_OPSET)
    model = helper.make_model(
        graph,
        functions=functions,
        ir_version=_OVERLOADS_IR if any(map(_overload, functions)) else _IR_VERSION,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
    )
    content: bytes = model.SerializeToString(deterministic=True)
    return content
