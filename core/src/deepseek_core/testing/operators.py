"""Real operator cases from the ONNX backend test suite, against what a device claims to support.

Needs `onnx`, which brings the cases and their right answers; the SDK itself does not.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Final

import attrs
import numpy as np
import pytest

from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.device import Device, LoadOptions
from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.contracts.stage import Array, Operation, Stage
from deepseek_core.contracts.tensor import TensorSpec
from deepseek_core.testing.device_base import DeviceRules
from deepseek_core.testing.device_case import DeviceCase

_RANDOM: Final = ("bernoulli", "training_dropout", "random", "multinomial")
_MOST_TOLD: Final = 20
_OMITTED: Final = TensorSpec(name="", dtype="float32", shape=())


@attrs.frozen
class OperatorCase:
    """A test of the suite: its name, and the case of a device."""

    name: str
    case: DeviceCase


class OperatorRules(DeviceRules):
    """The rule of devices that run standard operators."""

    operator_waivers: ClassVar[Mapping[str, str]] = {}

    def test_operators_equal_the_onnx_suite(
        self, device: Device, record_property: Callable[[str, object], None]
    ) -> None:
        """Whatever standard operator it claims to support gives the suite's answers."""
        pytest.importorskip("onnx", reason="the operator cases come with it: pip install onnx")
        assert all(map(str.strip, self.operator_waivers.values())), "a waiver gives no reason"
        claimed = [c for c in operator_cases() if _supported(device, c.case.stage)]
        if not claimed:
            pytest.skip("not applicable: it supports no standard ONNX operator")
        problems = {c.name: _problem(device, c) for c in claimed if not self._is_waived(c.name)}
        waived = len(claimed) - len(problems)
        record_property("note", f"{len(problems)} cases that it claims, {waived} waived")
        wrong = [f"{name}: {problem}" for name, problem in problems.items() if problem]
        told = "\n".join(wrong[:_MOST_TOLD])
        assert not wrong, f"{len(wrong)} of {len(claimed)} cases that it claims are wrong:\n{told}"

    def _is_waived(self, name: str) -> bool:
        return any(re.fullmatch(pattern, name) for pattern in self.operator_waivers)


def _supported(device: Device, stage: Stage) -> bool:
    return all(device.supports(operation) for operation in stage.operations)


def _problem(device: Device, operator: OperatorCase) -> str | None:
    """What is wrong with the device's answer, in a line; None if it is right."""
    try:
        with np.errstate(all="ignore"):
            executable = device.load(operator.case.stage, LoadOptions())
            _compare(executable.run(operator.case.inputs), operator.case)
            executable.close()
    except (AssertionError, DeepSeekError, ArithmeticError) as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return None


def _compare(outputs: Mapping[str, Array], case: DeviceCase) -> None:
    for name, right in case.expected.items():
        given = outputs[name]
        assert given.shape == right.shape, f"{name}: shape {given.shape}, not {right.shape}"
        assert given.dtype == right.dtype, f"{name}: dtype {given.dtype}, not {right.dtype}"
        if right.dtype.kind in "OUSb":
            assert given.tolist() == right.tolist(), name
            continue
        # Dtypes that numpy does not know compare as float64, complex ones as they are.
        kind = np.complex128 if right.dtype.kind == "c" else np.float64
        np.testing.assert_allclose(
            given.astype(kind), right.astype(kind), rtol=case.rtol, atol=case.atol, err_msg=name
        )


@cache
def operator_cases() -> tuple[OperatorCase, ...]:
    """Every test of the node suite of one operator on plain tensors, but those at random."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the right answers divide by zero and overflow
        loaded = import_module("onnx.backend.test.loader").load_model_tests(kind="node")
    return tuple(_operator_cases(loaded))


def _operator_cases(loaded: list[Any]) -> Iterator[OperatorCase]:
    for test in loaded:
        if any(word in test.name for word in _RANDOM) or len(test.model.graph.node) != 1:
            continue
        for inputs, outputs in test.data_sets or ():
            if all(isinstance(a, np.ndarray | np.generic) for a in (*inputs, *outputs)):
                case = _case(test, [*map(np.asarray, inputs)], [*map(np.asarray, outputs)])
                if case is not None:
                    yield OperatorCase(test.name, case)


def _case(test: Any, inputs: list[Array], outputs: list[Array]) -> DeviceCase | None:
    """The case of a test; None where a body of operators or a foreign dtype is in the way."""
    graph, (node,) = test.model.graph, test.model.graph.node
    arrays = dict(zip((value.name for value in graph.input), inputs, strict=False))
    right = dict(zip((value.name for value in graph.output), outputs, strict=False))
    attributes = _attributes(node)
    if attributes is None or not set(node.input) <= {*arrays, ""}:
        return None
    try:
        specs = {name: _spec(name, array) for name, array in {**arrays, **right}.items()}
    except DeepSeekError:
        return None
    domain = "" if node.domain == "ai.onnx" else node.domain
    operation = Operation(
        name=node.op_type,
        domain=domain,
        version=next((o.version for o in test.model.opset_import if o.domain == node.domain), 1),
        inputs=[specs.get(name, _OMITTED) for name in node.input],
        outputs=[specs.get(name, _OMITTED) for name in node.output],
        attributes=attributes,
    )
    stage = Stage(
        name=test.name,
        kind=node.op_type.lower(),
        operations=[operation],
        inputs=[specs[name] for name in arrays],
        outputs=[specs[name] for name in right],
        artifact=Artifact.from_bytes(test.model.SerializeToString(), format="onnx"),
    )
    return DeviceCase(stage=stage, inputs=arrays, expected=right, rtol=test.rtol, atol=test.atol)


def _spec(name: str, array: Array) -> TensorSpec:
    dtype = "string" if array.dtype.kind in "OUS" else array.dtype.name
    return TensorSpec(name=name, dtype=dtype, shape=array.shape)


def _attributes(node: Any) -> dict[str, Any] | None:
    """Attributes as plain Python and numpy; None if one is a graph."""
    onnx = import_module("onnx")
    graphs = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    if any(attribute.type in graphs for attribute in node.attribute):
        return None
    return {a.name: _plain(onnx, onnx.helper.get_attribute_value(a)) for a in node.attribute}


def _plain(onnx: Any, value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="surrogateescape")
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    if isinstance(value, list | tuple) or type(value).__name__.startswith("Repeated"):
        return [_plain(onnx, item) for item in value]
    return value
