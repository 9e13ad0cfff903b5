"""Cases for the rules of devices: a stage out of one operator, its tensors by name and in order."""

import numpy as np
import pytest

from deepseek_core.testing import DeviceCase

X, W = np.ones((4, 3), np.float32), np.arange(8, dtype=np.int64).reshape(4, 2)


def test_a_case_of_an_operator_has_its_stage():
    case = DeviceCase.of_operator(
        "com.acme::Join", {"x": X, "w": W}, {"y": X.sum(axis=1)}, version=3, rtol=0.1
    )
    (operation,) = case.stage.operations
    assert (operation.qualified_name, operation.version) == ("com.acme::Join", 3)
    specs = [*case.stage.inputs, *case.stage.outputs]
    assert [str(spec) for spec in specs] == [
        "x: float32 [N, 3]",
        "w: int64 [N, 2]",
        "y: float32 [N]",
    ]
    assert {spec.batch_axis for spec in specs} == {0}
    assert (operation.inputs, operation.outputs) == (case.stage.inputs, case.stage.outputs)
    assert (case.rtol, case.atol) == (0.1, 0.0)


def test_its_items_can_be_taken_apart():
    case = DeviceCase.of_operator("Relu", {"x": X}, {"y": X})
    assert case.count == 4 and case.any_batch
    assert [item.inputs["x"].shape for item in case.items()] == [(1, 3)] * 4
    assert case.repeated(9).expected["y"].shape == (9, 3)


def test_a_wrong_answer_is_found():
    case = DeviceCase.of_operator("Relu", {"x": X}, {"y": X})
    case.check({"y": X})
    with pytest.raises(AssertionError):
        case.check({"y": X + 1})
