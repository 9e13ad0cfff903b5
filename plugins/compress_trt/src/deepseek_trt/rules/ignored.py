"""What the parser reads otherwise: attributes that it ignores, other defaults, other sizes.

Found by building the same model with and without an attribute (equal bytes: it is ignored), with a
default left out and written down (other bytes: another default), and by comparing the shapes of
outputs with those of ONNX, over the node suite of ONNX (TensorRT-RTX 1.7).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Any, Final

from deepseek_trt.model.facts import Node
from deepseek_trt.problem import Problem
from deepseek_trt.rules.rule import problem, rule, warning

# operator -> attributes that are ignored, with the value that changes nothing, and what to do
IGNORED: Final[dict[str, dict[str, tuple[Any, str]]]] = {
    "LSTM": {"layout": (0, "transpose before and after it, and leave layout out")},
    "GRU": {"layout": (0, "transpose before and after it, and leave layout out")},
    "RNN": {"layout": (0, "transpose before and after it, and leave layout out")},
    "SpaceToDepth": {"mode": ("DCR", "use mode DCR, or Reshape and Transpose")},
    "QuantizeLinear": {"saturate": (1, "quantize with saturation")},
    "Attention": {
        "left_window_size": (-1, "pass the window in as a mask"),
        "right_window_size": (-1, "pass the window in as a mask"),
    },
}


@rule(*IGNORED)
def ignored_attribute(node: Node) -> Iterable[Problem]:
    """No attribute that the parser does not read says anything."""
    for name, (harmless, remedy) in IGNORED[node.proto.op_type].items():
        value = node.attribute(name, harmless)
        if value != harmless:
            what = f"has {name}={value!r}, which the parser ignores without a word"
            yield problem(node, "ignored_attribute", what, remedy, "value")


@rule("Trilu")
def upper_or_lower(node: Node) -> Iterable[Problem]:
    """Says which triangle: without `upper`, ONNX takes the upper one, TensorRT the lower."""
    if node.attribute("upper") is None:
        what = "does not say upper: by ONNX it takes the upper triangle, the parser takes the lower"
        yield problem(node, "other_default", what, "set upper=1", "value")


@rule("Selu")
def selu_defaults(node: Node) -> Iterable[Problem]:
    """Says its constants: the parser's own have four digits."""
    if node.attribute("alpha") is None or node.attribute("gamma") is None:
        what = "leaves alpha or gamma out: the parser takes 1.6732 and 1.0507, which have 4 digits"
        yield warning(node, "other_default", what, "set alpha and gamma")


@rule("AveragePool", "MaxPool", "LpPool")
def last_window(node: Node) -> Iterable[Problem]:
    """With ceil_mode, ONNX leaves out a last window that starts in the padding."""
    shape, kernel = node.shape(0), node.attribute("kernel_shape", [])
    if not node.attribute("ceil_mode", 0) or shape is None or len(shape) != len(kernel) + 2:
        return
    if node.attribute("auto_pad", "NOTSET") != "NOTSET":
        return
    count = len(kernel)
    strides, pads = node.attribute("strides", [1] * count), node.attribute("pads", [0] * 2 * count)
    for at, length in enumerate(shape[2:]):
        before, after = pads[at], pads[at + count]
        if isinstance(length, int) and _starts_outside(
            length + before, after, kernel[at], strides[at]
        ):
            what = "has a last window in the padding: ONNX leaves it out, the parser does not"
            yield problem(node, "last_window", what, "pad with Pad and use ceil_mode=0", "value")
            return


def _starts_outside(length: int, after: int, window: int, stride: int) -> bool:
    windows = ceil((length + after - window) / stride) + 1
    return (windows - 1) * stride >= length
