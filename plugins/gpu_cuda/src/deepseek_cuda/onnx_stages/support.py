"""What the provider runs, by trial: a model of one operator, loaded without a way to the CPU.

A list of kernels would say too little, since ONNX Runtime also runs operators that it decomposes.
An answer is asked for once for each operator, opset, combination of dtypes and attributes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from deepseek_core import Operation, Support, TensorSpec
from deepseek_cuda.onnx_stages.engine import DTYPES, open_session
from deepseek_cuda.onnx_stages.faults import is_vendors, short_text
from deepseek_cuda.onnx_stages.provider import Provider

_BODY: Final = "model_local_functions"
_IR_VERSION: Final = 8
_DEFAULT_OPSET: Final = 17


class TrialSupport:
    """Answers by trial and remembers them; safe from several threads."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._known: dict[bytes, Support] = {}

    def of(self, operation: Operation) -> Support:
        """Whether the operation loads; the reason of a refusal is ONNX Runtime's own text."""
        if any(
            isinstance(v, onnx.GraphProto) or n == _BODY for n, v in operation.attributes.items()
        ):
            return Support.no("operators with a body run on a GPU as part of a whole model only")
        for spec in (*operation.inputs, *operation.outputs):
            if spec.name and (spec.container or spec.dtype not in DTYPES.values()):
                return Support.no(f"a GPU does not take {spec.container or spec.dtype}")
        # Kernels are chosen by dtype, so that a trial without shapes answers for all of them.
        answer = self._asked(operation, shapes=False)
        if answer or not any(spec.shape for spec in operation.inputs):
            return answer
        second = self._asked(operation, shapes=True)
        return second if second else answer

    def _asked(self, operation: Operation, *, shapes: bool) -> Support:
        content = one_operator_model(operation, shapes=shapes)
        known = self._known.get(content)
        if known is None:
            known = self._known[content] = self._tried(content)
        return known

    def _tried(self, content: bytes) -> Support:
        try:
            open_session(content, self._provider, strict=True)
        except Exception as error:
            if not is_vendors(error):
                raise
            return Support.no(short_text(error))
        return Support.yes()


def one_operator_model(operation: Operation, *, shapes: bool) -> bytes:
    """A model of one operation, with names of its own so that equal ones are equal bytes."""
    inputs = [_renamed(spec, f"in/{i}") for i, spec in enumerate(operation.inputs)]
    outputs = [f"out/{i}" if spec.name else "" for i, spec in enumerate(operation.outputs)]
    names = [name for name, _ in inputs]
    node = helper.make_node(operation.name, names, outputs, domain=operation.domain)
    node.attribute.extend(_attributes(operation))
    graph = helper.make_graph(
        [node],
        "trial",
        [_value(name, spec, shapes) for name, spec in inputs if name],
        [helper.make_empty_tensor_value_info(name) for name in outputs if name],
    )
    opsets = {operation.domain: max(operation.version, 1)}
    opsets.setdefault("", _DEFAULT_OPSET)
    imports = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    model = helper.make_model(graph, ir_version=_IR_VERSION, opset_imports=imports)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _renamed(spec: TensorSpec, name: str) -> tuple[str, TensorSpec]:
    return (name if spec.name else ""), spec


def _value(name: str, spec: TensorSpec, shapes: bool) -> Any:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    # A shape of () may be a scalar's or not known: nothing is declared then.
    return helper.make_tensor_value_info(name, element, (spec.shape if shapes else None) or None)


def _attributes(operation: Operation) -> list[onnx.AttributeProto]:
    return [
        helper.make_attribute(name, _written(value), attr_type=_type(operation, name, value))
        for name, value in sorted(operation.attributes.items())
    ]


def _written(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return numpy_helper.from_array(value)
    if isinstance(value, list):
        return [_written(item) for item in value]
    return value


def _type(operation: Operation, name: str, value: Any) -> int | None:
    """The type of an empty list, which only the operator's schema knows."""
    if not isinstance(value, list) or value:
        return None
    try:
        schema = onnx.defs.get_schema(operation.name, operation.version, operation.domain)
        return int(schema.attributes[name].type)
    except (onnx.defs.SchemaError, KeyError):
        return int(onnx.AttributeProto.INTS)
