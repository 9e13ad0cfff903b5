"""What rules say of attributes that TensorRT ignores is shown by the bytes of engines."""

import numpy as np
import pytest
from onnx import helper
from rtx_library import rtx, silent
from trt_models import F16, F32, FP8, model, node, one

from deepseek_trt import BuildOptions, check
from deepseek_trt.rules.ignored import IGNORED


def recurrent(operator, gates, **given):
    """Of two steps, which would be two samples if the layout were read; the library unrolls them.

    Five steps of a GRU are an engine of 30 MB.
    """
    weights = {
        "w": np.ones((1, 4 * gates, 3), np.float32),
        "r": np.ones((1, 4 * gates, 4), np.float32),
    }
    nodes = [node(operator, ["x", "w", "r"], ["y"], hidden_size=4, **given)]
    return model(nodes, [("x", F32, [2, 1, 3])], weights=weights)


def attention(**given):
    inputs = [(name, F16, [1, 2, 16, 64]) for name in "qkv"]
    return model([node("Attention", list("qkv"), ["y"], **given)], inputs, [("y", F16)], opset=24)


def quantized(**given):
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], **given),
        node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    zero = helper.make_tensor("z", FP8, [], [0.0])
    weights = {"s": np.float32(1), "z": zero}
    return model(nodes, [("x", F32, [2, 3])], weights=weights, opset=19)


MADE = {
    "LSTM": lambda **given: recurrent("LSTM", 4, **given),
    "GRU": lambda **given: recurrent("GRU", 3, **given),
    "RNN": lambda **given: recurrent("RNN", 1, **given),
    "SpaceToDepth": lambda **given: one(
        "SpaceToDepth", shape=(1, 4, 4, 4), blocksize=2, opset=22, **given
    ),
    "QuantizeLinear": quantized,
    "Attention": attention,
}
OTHER = {"layout": 1, "mode": "CRD", "saturate": 0, "left_window_size": 1, "right_window_size": 1}
CLAIMS = [(operator, name) for operator, names in IGNORED.items() for name in names]


def engine(given) -> bytes:
    return rtx().build(given.SerializeToString(), BuildOptions(targets="8.9"), silent).content


def refused(given) -> set[str]:
    return {p.rule for p in check(given, targets=["8.9"]).problems if p.level == "error"}


@pytest.mark.parametrize(("operator", "name"), CLAIMS)
def test_an_attribute_that_is_called_ignored_changes_no_byte(operator, name):
    make = MADE[operator]
    assert engine(make()) == engine(make(**{name: OTHER[name]}))
    assert "ignored_attribute" in refused(make(**{name: OTHER[name]}))
    assert not refused(make())


def test_an_attribute_that_is_read_changes_bytes():
    """The method finds what it looks for."""
    assert engine(one("Softmax", axis=1)) != engine(one("Softmax", axis=2))


def test_a_triangle_that_is_not_said_is_the_lower_one():
    unsaid = one("Trilu", shape=(3, 4))
    lower, upper = (one("Trilu", shape=(3, 4), upper=which) for which in (0, 1))
    assert engine(unsaid) == engine(lower) != engine(upper)
    assert refused(unsaid) == {"other_default"}
    assert not refused(lower) | refused(upper)


def test_constants_of_selu_that_are_not_said_have_four_digits():
    unsaid = one("Selu")
    assert engine(unsaid) == engine(one("Selu", alpha=1.6732, gamma=1.0507))
    exact = one("Selu", alpha=1.6732632423543772, gamma=1.0507009873554805)
    assert engine(unsaid) != engine(exact)
    assert [p.rule for p in check(unsaid).problems] == ["other_default"]
    assert not check(exact).problems
