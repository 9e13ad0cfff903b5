"""Models of which more was proven than is true, each for a kind; random graphs found them."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser

from deepseek_onnx.batching import prove


def model(text, **constants):
    made = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    made.graph.initializer.extend(
        numpy_helper.from_array(np.array(value), name) for name, value in constants.items()
    )
    return made


SHAPE_OF = """
    sh = Shape(x)  S = Gather(sh, one)  n = Gather(sh, zero)
    cut = Slice(row, zero, S, one)  twice = Concat<axis = 1>(cut, cut)
    z = Add(x, twice)  target = Concat<axis = 0>(minus, S)
"""
INTS = {"one": [1], "zero": [0], "minus": [-1]}


@pytest.mark.parametrize(
    "made",
    [
        # No axes are all axes: with one item its axis goes, too.
        model(
            "g (float[N, 3] x) => (float y) { y = Squeeze(x, none) }",
            none=np.zeros(0, np.int64),
        ),
        # And of [N, 1] only N is left, which meets [N, 1] as a row.
        model(
            """g (float[N, 1] x) => (float[N, 1] y) {
                r = Squeeze(x, none)  z = Add(r, x)  y = ReduceSum<keepdims = 1>(z, minus)
            }""",
            none=np.zeros(0, np.int64), minus=[-1],
        ),
        # Twice what is at most S is not at most S.
        model(
            f"g (float[N, S] x) => (float y) {{ {SHAPE_OF} y = Reshape(z, target) }}",
            row=np.zeros((1, 8), np.float32), **INTS,
        ),
        # A name that inference made up says nothing of two inputs.
        model(
            """g (float[N, unk__1] x, float[N, unk__1] g) => (float[N, q] y) {
                z = Add(x, g)  sx = Shape(x)  n = Gather(sx, zero)  sh = Shape(g)
                S = Gather(sh, one)  target = Concat<axis = 0>(minus, S)
                w = Reshape(z, target)  y = Slice(w, zero, n, zero)
            }""",
            **INTS,
        ),
    ],
)  # fmt: skip
def test_what_mixes_items_is_not_proven(made):
    onnx.checker.check_model(made)
    assert prove(made).symbol is None


def test_a_size_of_a_constant_is_not_that_of_an_input():
    made = model(
        """g (float[N, S] x, float[1, S] g) => (float[N, q] y) {
            z = Add(x, g)  sh = Shape(x)  S = Gather(sh, one)  n = Gather(sh, zero)
            target = Concat<axis = 0>(minus, S)  w = Reshape(z, target)
            y = Slice(w, zero, n, zero)
        }""",
        **INTS,
    )
    assert prove(made, fixed={"g"}).symbol is None


@pytest.mark.parametrize("axes", [[], [1, 2]])
def test_means_and_variances_of_no_axes_are_of_all(axes):
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"])
    attribute = node.attribute.add(name="axes", type=onnx.AttributeProto.INTS)
    attribute.ints.extend(axes)
    shape = ["N", 3, 4]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [tensor("x", onnx.TensorProto.FLOAT, shape)],
        [tensor("y", onnx.TensorProto.FLOAT, shape)],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    assert prove(made).symbol == ("N" if axes else None)


@pytest.mark.parametrize("spatial", [0, 1])
def test_scales_for_each_place_tell_places_apart(spatial):
    tensor = helper.make_tensor_value_info
    node = helper.make_node("BatchNormalization", ["x", "s", "s", "s", "s"], ["y"], spatial=spatial)
    scale = np.ones((2, 3) if spatial == 0 else 2, np.float32)
    shape = [1, 2, "N"]
    graph = helper.make_graph(
        [node], "g", [tensor("x", onnx.TensorProto.FLOAT, shape)],
        [tensor("y", onnx.TensorProto.FLOAT, shape)], [numpy_helper.from_array(scale, "s")],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 7)])
    assert prove(made).symbol == ("N" if spatial else None)
