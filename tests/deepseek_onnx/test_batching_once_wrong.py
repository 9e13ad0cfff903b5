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
            "g (float[N, 3] x) => (y) { y = Squeeze(x, none) }",
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
            f"g (float[N, S] x) => (y) {{ {SHAPE_OF} y = Reshape(z, target) }}",
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


@pytest.mark.parametrize(
    ("text", "constants"),
    [
        # Whether a last window counts, with `ceil_mode` and no pads, is read in two ways.
        (
            """float[N, 1, 5] x) => (y) {
                p = AveragePool<kernel_shape = [4], strides = [2], auto_pad = "VALID",
                    ceil_mode = 1>(x)""",
            {},
        ),
        # What a window larger than its input makes: one entry, not none.
        (
            """float[N, 1, 1] x) => (y) {
                q = AveragePool<kernel_shape = [2], strides = [2]>(x)
                p = Concat<axis = 2>(x, q)""",
            {},
        ),
        # Backward from before the first element.
        (
            """float[N, 1] x) => (y) {
                q = Slice(x, start, end, one, minus)  p = Concat<axis = 1>(x, q)""",
            {"start": [-9], "end": [-(2**31)], "one": [1], "minus": [-1]},
        ),
        # Pools that are dilated.
        (
            """float[N, 1, 2] x) => (y) {
                p = MaxPool<kernel_shape = [2], dilations = [2], auto_pad = "SAME_UPPER">(x)""",
            {"one": [2]},
        ),
        # A kernel that is smaller than its stride.
        (
            """float[N, 1, 1] x) => (y) {
                p = ConvTranspose<strides = [3], auto_pad = "SAME_UPPER">(x, w)""",
            {"w": np.ones((1, 1, 1), np.float32), "one": [3]},
        ),
        # The one computed size of a shape that need not fit becomes -1.
        (
            """float[N, T] x, float[N] k) => (y) {
                sh = Shape(k)  n = Gather(sh, zero)  target = Concat<axis = 0>(n, two)
                p = Reshape(x, target)""",
            {"zero": [0], "two": [2], "one": [2]},
        ),
    ],
)  # fmt: skip
def test_sizes_that_are_not_sure_split_no_items(text, constants):
    size = constants.get("one", [1])
    made = model(f"g ({text}  y = Reshape(p, rows) }}", rows=[-1, *size], **constants)
    assert prove(made).symbol is None


@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
def test_points_between_items_are_not_independent_of_the_next(mode):
    made = model(
        f"""g (float[N, 4] x) => (y) {{
            y = Resize<mode = "{mode}">(x, none, scales)
        }}""",
        none=np.zeros(0, np.float32), scales=np.array([1, 2], np.float32),
    )  # fmt: skip
    assert prove(made).symbol == ("N" if mode == "nearest" else None)


@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
def test_pictures_are_resized_apart(mode):
    made = model(
        f"""g (float[N, 3, 4, 4] x) => (float[N, 3, 8, 8] y) {{
            y = Resize<mode = "{mode}">(x, none, scales)
        }}""",
        none=np.zeros(0, np.float32), scales=np.array([1, 1, 2, 2], np.float32),
    )  # fmt: skip
    assert prove(made).symbol == "N"
