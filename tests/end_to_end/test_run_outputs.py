"""What a run writes is what ONNX Runtime gives for all of it, by the same names."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typed_commands import equal, floats, save

SIDES = """
    sides (float[3, N, 4] x) => (float[N, 4, 3] y, float[3, N] sum) <int64[1] last = {2}> {
        y = Transpose<perm = [1, 2, 0]>(x)
        sum = ReduceSum<keepdims = 0>(x, last)
    }
"""
PAIR = "pair (float[a, 4] x, float[b, 4] s) => (float[c, 4] y) { y = Add(x, s) }"
ALIKE = "alike (float[N, 4] x, float[N, 4] s) => (float[N, 4] y) { y = Add(x, s) }"
LOSS = """
    loss (float[N, 4] x) => (float[N, 4] y, float loss) {
        y = Relu(x)
        loss = ReduceSum<keepdims = 0>(x)
    }
"""


def graph(name, nodes, inputs, outputs, opset=19):
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes, name, [value(*one) for one in inputs], [value(*one) for one in outputs]
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), "model.onnx")


@pytest.mark.parametrize("items", [0, 1, 32, 40, 70])
def test_batches_are_joined_along_their_axis_wherever_it_is(items, ds):
    ds.model(SIDES)
    inputs = {"x": floats(3, items, 4)}
    save("data.npz", inputs)
    equal(ds.results(), ds.reference(inputs))
    assert (ds.report["items"], ds.report["batches"]) == (items, max(-(-items // 32), 1))


def test_an_output_of_all_items_makes_one_call_and_without_it_there_are_batches(ds):
    ds.model(LOSS)
    inputs = {"x": floats(70, 4)}
    save("data.npz", inputs)
    expected = ds.reference(inputs)
    equal(ds.results(), expected)
    assert ds.report["batches"] == 1
    equal(ds.results("--select", "y"), {"y": expected["y"]})
    assert ds.report["batches"] == 3


@pytest.mark.parametrize(("items", "batches"), [(70, 3), (1, 1)])
def test_items_that_differ_among_inputs_are_one_call(items, batches, ds):
    ds.model(PAIR)
    inputs = {"x": floats(70, 4), "s": floats(items, 4)}
    save("data.npz", inputs)
    axes = ("--batch-axis", "x=0", "--batch-axis", "s=0")
    equal(ds.results(*axes), ds.reference(inputs))
    assert ds.report["batches"] == batches


def test_sizes_that_the_model_cant_take_are_its_own_words(ds):
    ds.model(ALIKE)
    save("data.npz", {"x": floats(70, 4), "s": floats(60, 4)})
    error, fix = ds.refuses("run", "model.onnx", "--input", "data.npz", "--device", "cpu")
    assert "60 by 70" in error
    assert fix == "check the values of its inputs"


def test_an_input_with_items_may_be_constant(ds):
    ds.model(ALIKE)
    inputs = {"x": floats(70, 4), "s": floats(70, 4)}
    save("data.npz", inputs)
    equal(ds.results("--constant", "s"), ds.reference(inputs))
    assert ds.report["batches"] == 1


def test_inputs_may_lie_in_several_files_and_none_may_be_given_twice(ds):
    ds.model(ALIKE)
    inputs = {"x": floats(7, 4), "s": floats(7, 4)}
    for name, array in inputs.items():
        save(f"{name}.npz", {name: array})
    equal(ds.results(data=("x.npz", "s.npz")), ds.reference(inputs))
    words = ("run", "model.onnx", "--input", "x.npz", "--input", "s.npz", "--input", "x.npz")
    assert ds.refuses(*words)[0] == "input 'x' is given twice, again in x.npz"


def test_a_value_inside_the_model_can_be_selected(ds):
    ds.model("inner (float[N] x) => (float[N] y) { m = Neg(x) y = Exp(m) }")
    save("data.npz", {"x": floats(40)})
    equal(ds.results("--select", "m"), {"m": -floats(40)})


AWKWARD = ["a/b", "a b", "self", "file", "files", "y.0", "y.npy", "../up", "/root", "né", "-x",
           "a\nb", "arr_0", "long" * 60]  # fmt: skip


def test_awkward_names_are_kept_in_and_out(ds):
    floats_n = TensorProto.FLOAT, ["N"]
    nodes = [helper.make_node("Neg", [name], [f"{name}!"]) for name in AWKWARD]
    inputs = [(name, *floats_n) for name in AWKWARD]
    graph("awkward", nodes, inputs, [(f"{name}!", *floats_n) for name in AWKWARD])
    given = {name: floats(40) + n for n, name in enumerate(AWKWARD)}
    save("data.npz", given)
    before = ds.names()
    equal(ds.results(), {f"{name}!": -array for name, array in given.items()})
    assert ds.names() == sorted([*before, "y.npz"]), "no name is a path"
    text = ds.says("run", "model.onnx", "--input", "data.npz", "--device", "cpu")
    assert text.count("\n  output ") == len(AWKWARD)


def test_calls_of_several_shapes_never_take_the_name_of_another_output(ds):
    """Two pictures of different sizes: `y` is `y_.0`, `y_.1`, for there is a `y.0` already."""
    from PIL import Image

    photo = TensorProto.UINT8, ["H", "W", 3]
    graph(
        "calls", [helper.make_node("Identity", ["x"], ["y"]),
                  helper.make_node("Shape", ["x"], ["y.0"])],
        [("x", *photo)], [("y", *photo), ("y.0", TensorProto.INT64, [3])],
    )  # fmt: skip
    pixels = [floats(2, 3, 3).astype(np.uint8), floats(4, 5, 3).astype(np.uint8)]
    (ds.folder / "photos").mkdir()
    for number, array in enumerate(pixels):
        Image.fromarray(array).save(f"photos/{number}.png")
    found = ds.results(data=("photos",))
    files = np.array(["0.png", "1.png"])
    shapes = np.array([[2, 3, 3], [4, 5, 3]])
    equal(found, {"y_.0": pixels[0], "y_.1": pixels[1], "y.0": shapes, "files": files})
    assert set(ds.report["outputs"]) == {"y_.0", "y_.1", "y.0"}


def test_what_a_sequence_holds_never_takes_the_name_of_another_output(ds):
    floats_n = TensorProto.FLOAT, ["N", 2]
    split = helper.make_node("SplitToSequence", ["x"], ["y"], axis=0)
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        [split, helper.make_node("Neg", ["x"], ["y/0"])], "sequence", [value("x", *floats_n)],
        [helper.make_tensor_sequence_value_info("y", *floats_n), value("y/0", *floats_n)],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), "model.onnx")
    x = floats(2, 2)
    save("data.npz", {"x": x})
    equal(ds.results(), {"y/0": -x, "y_/0": x[:1], "y_/1": x[1:]})


def test_maps_are_written_by_their_keys(ds):
    kind = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(1, []))
    )
    node = helper.make_node(
        "ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["a/b", "self"]
    )
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])
    made = helper.make_graph([node], "zip", [value], [helper.make_value_info("y", kind)])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), "model.onnx")
    x = floats(2, 2)
    save("data.npz", {"x": x})
    found = {name: float(value) for name, value in ds.results().items()}
    assert found == {
        "y/0/a/b": x[0, 0], "y/0/self": x[0, 1], "y/1/a/b": x[1, 0], "y/1/self": x[1, 1]
    }  # fmt: skip
    assert ds.report["outputs"]["y"] == {"dtype": "list", "shape": [2]}


def test_strings_come_out_as_strings(ds):
    graph("words", [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)],
          [("x", TensorProto.INT64, ["N"])], [("y", TensorProto.STRING, ["N"])])  # fmt: skip
    save("data.npz", {"x": np.arange(40)})
    equal(ds.results(), {"y": np.arange(40).astype("U2")})
    assert ds.report["outputs"]["y"] == {"dtype": "string", "shape": [40]}


@pytest.mark.parametrize(
    ("dtype", "name", "raw"),
    [(TensorProto.BFLOAT16, "bfloat16", "V2"), (TensorProto.FLOAT8E4M3FN, "float8_e4m3fn", "V1")],
)
def test_dtypes_that_numpy_lacks_go_out_as_bytes_and_in_again(dtype, name, raw, ds):
    floats_n = TensorProto.FLOAT, ["N"]
    graph("there", [helper.make_node("Cast", ["x"], ["y"], to=dtype)],
          [("x", *floats_n)], [("y", dtype, ["N"])])  # fmt: skip
    x = floats(40)
    save("data.npz", {"x": x})
    found = ds.results()["y"]
    assert (found.dtype, found.shape) == (np.dtype(raw), (40,))
    assert ds.report["outputs"]["y"] == {"dtype": name, "shape": [40]}
    graph("back", [helper.make_node("Cast", ["y"], ["x"], to=TensorProto.FLOAT)],
          [("y", dtype, ["N"])], [("x", *floats_n)])  # fmt: skip
    save("data.npz", {"y": found})
    equal(ds.results(), {"x": x})


def test_an_optional_that_holds_nothing_is_told_and_not_written(ds):
    nothing = helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))
    nodes = [
        helper.make_node("Optional", [], ["y"], type=nothing.optional_type.elem_type),
        helper.make_node("Neg", ["x"], ["z"]),
    ]
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes, "optional", [value("x", 1, [2])],
        [helper.make_value_info("y", nothing), value("z", 1, [2])],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), "model.onnx")
    save("data.npz", {"x": floats(2)})
    equal(ds.results(), {"z": -floats(2)})
    assert ds.report["outputs"]["y"] == {"dtype": "nothing", "shape": []}
