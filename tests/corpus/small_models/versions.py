"""One model for each IR version and each opset that ONNX Runtime reads."""

from __future__ import annotations

from typing import Final

import onnx

from small_models.building import Built, Cases, as_model, node, rows, tensor, weights

cases = Cases("versions")

_NEWEST_IR: Final = 14
_OLDEST_OPSET: Final = 7
_NEWEST_OPSET: Final = 28


def _model(opset: int, ir_version: int) -> onnx.ModelProto:
    nodes = [
        node("MatMul", ["x", "w"], ["m"]),
        node("Relu", ["m"], ["r"]),
        node("Softmax", ["r"], ["s"], axis=1),
        node("Flatten", ["s"], ["y"]),
    ]
    inputs = [tensor("x", ["N", 3])]
    if ir_version == 3:
        inputs.append(tensor("w", [3, 2]))
    constants = {"w": weights(0, 3, 2)}
    outputs = [tensor("y", ["N", 2])]
    return as_model(nodes, inputs, outputs, constants, opset=opset, ir_version=ir_version)


def _built(opset: int, ir_version: int) -> Built:
    return Built(model=_model(opset, ir_version), inputs=rows("x", 3), axes={"x": 0})


for _ir in range(3, _NEWEST_IR + 1):
    cases.put(f"ir_version_{_ir}", f"IR version {_ir}.", _built(13, _ir))
for _opset in range(_OLDEST_OPSET, _NEWEST_OPSET + 1):
    _newer = 3 if _opset < 9 else 8 if _opset < 19 else 13
    cases.put(f"opset_{_opset}", f"Version {_opset} of the standard.", _built(_opset, _newer))


@cases.add
def domain_that_is_imported_and_not_used() -> Built:
    """The file imports domains that nobody knows."""
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    domains = {"ai.onnx.ml": 3, "com.microsoft": 1, "org.pytorch.aten": 1, "nobody.knows": 7}
    model = as_model([node("Relu", ["x"], ["y"])], *ends, domains=domains)
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def standard_domain_by_its_long_name() -> Built:
    """`ai.onnx` is the standard domain, too."""
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    model = as_model([node("Relu", ["x"], ["y"], domain="ai.onnx")], *ends)
    model.opset_import[0].domain = "ai.onnx"
    return Built(model=model, inputs=rows("x", 3), axes={"x": 0})


@cases.add
def softmax_before_opset_13() -> Built:
    """Until 12, Softmax made rows of all axes from its own on: the same name, another sum."""
    ends = [tensor("x", ["N", 2, 3])], [tensor("y", ["N", 2, 3])]
    model = as_model([node("Softmax", ["x"], ["y"], axis=1)], *ends, opset=11, ir_version=6)
    return Built(model=model, inputs=rows("x", 2, 3), axes={"x": 0})


@cases.add
def softmax_before_opset_13_over_everything() -> Built:
    """Until 12, axis 0 of Softmax meant all values at once."""
    ends = [tensor("x", ["N", 3])], [tensor("y", ["N", 3])]
    model = as_model([node("Softmax", ["x"], ["y"], axis=0)], *ends, opset=11, ir_version=6)
    return Built(model=model, inputs=rows("x", 3))


@cases.add
def upsample_of_opset_9() -> Built:
    """An operator that later versions dropped."""
    nodes = [node("Upsample", ["x", "scales"], ["y"], mode="nearest")]
    ends = [tensor("x", ["N", 1, 2, 2])], [tensor("y", ["N", 1, 4, 4])]
    constants = {"scales": weights(0, 4) * 0 + [1, 1, 2, 2]}
    constants["scales"] = constants["scales"].astype("float32")
    model = as_model(nodes, *ends, constants, opset=9, ir_version=4)
    return Built(model=model, inputs=rows("x", 1, 2, 2), axes={"x": 0})
