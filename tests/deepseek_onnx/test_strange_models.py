"""Models as they are in the wild: run whole and cut, the numbers are ONNX Runtime's own."""

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node
from onnx_models import make_model, tensor
from three_ways import as_artifact, as_one, bits, check, cut, plainly, run_graph

from deepseek_core import LoadOptions, Support, errors
from deepseek_onnx.frontend import OnnxFrontend, whole_model_stage
from deepseek_onnx.vendor_errors import FAULTS

X = np.array([[-2, -1, 0], [1, 2, 3]], np.float32)


def two_nodes(**more):
    """y = max(-x, 0), in two nodes."""
    nodes = [make_node("Neg", ["x"], ["h"]), make_node("Relu", ["h"], ["y"])]
    return make_model(nodes, [tensor("x", ["n", 3])], ["y"], **more)


@pytest.mark.parametrize("version", range(3, 13))
def test_every_ir_version(cpu, version):
    nodes = [make_node("Add", ["x", "w"], ["h"]), make_node("Relu", ["h"], ["y"])]
    # Up to version 3 an initializer had to be an input.
    inputs = [tensor("x", ["n", 3]), *([tensor("w", [3])] if version < 4 else [])]
    weights = {"w": np.ones(3, np.float32)}
    model = make_model(nodes, inputs, ["y"], weights, ir_version=version, opset=13)
    try:
        plainly(model, {"x": X})
    except FAULTS:  # newer than the runtime
        with pytest.raises(errors.Unsupported, match="max supported IR version"):
            as_one(cpu, model, {"x": X})
        return
    assert len(check(cpu, model, {"x": X}, "Relu").stages) == 2


@pytest.mark.parametrize("opset", [6, 7, 9, 13, 17, 21])
def test_every_opset_that_the_runtime_knows(cpu, opset):
    assert len(check(cpu, two_nodes(opset=opset), {"x": X}, "Relu").stages) == 2


@pytest.mark.parametrize("opset", [-1, 0, 1, 5, 999])
def test_an_opset_that_nobody_knows_is_unsupported(cpu, opset):
    with pytest.raises(errors.Unsupported):
        as_one(cpu, two_nodes(opset=opset), {"x": X})
    with pytest.raises(errors.NoDevice, match="no device runs Neg"):
        cut(cpu, two_nodes(opset=opset), "Relu")


def test_a_version_that_is_too_new_is_told_with_the_highest_that_is_known(cpu):
    with pytest.raises(errors.Unsupported, match=r"999, max supported IR version: [0-9]+"):
        as_one(cpu, two_nodes(ir_version=999), {"x": X})


def test_a_model_without_opsets_is_refused():
    model = two_nodes()
    del model.opset_import[:]
    with pytest.raises(errors.ArtifactError, match="it has no opset_import"):
        whole_model_stage(as_artifact(model))


@pytest.mark.parametrize("domains", [["ai.onnx"], ["", "com.example.unknown"]], ids=str)
def test_domains_are_imported_under_either_name_or_for_nothing(cpu, domains):
    model = two_nodes()
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, 17) for domain in domains)
    check(cpu, model, {"x": X}, "Relu")


def test_a_domain_that_is_not_imported_is_as_for_the_runtime(cpu):
    nodes = [
        make_node("Neg", ["x"], ["h"]),
        make_node("Gelu", ["h"], ["y"], domain="com.microsoft"),
    ]
    check(cpu, make_model(nodes, [tensor("x", ["n", 3])], ["y"]), {"x": X}, "Neg")


NAMES = ["a b", "a/b", "ü☃", "a\nb", 'say "a"', "a:0", "%s", "{x}", "\t", "a,b", "../x", "x=0", " "]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_of_any_characters(cpu, name):
    nodes = [
        make_node("Neg", [name], [f"{name}h"], name=name),
        make_node("Relu", [f"{name}h"], [f"{name}r"], name=f"{name} 2"),
        make_node("Add", [f"{name}r", f"{name}w"], [f"{name}y"], name=f"{name} 3"),
    ]
    weights = {f"{name}w": np.ones(3, np.float32)}
    model = make_model(nodes, [tensor(name, ["n", 3])], [f"{name}y"], weights)
    assert len(check(cpu, model, {name: X}, "Relu").stages) == 3


def test_nodes_may_have_no_names_and_the_frontend_needs_none(cpu):
    model = two_nodes()
    assert {node.name for node in model.graph.node} == {""}
    check(cpu, model, {"x": X}, "Relu")


def test_two_nodes_of_one_name_are_refused_in_the_runtimes_words(cpu):
    nodes = [make_node("Neg", ["x"], ["h"], name="n"), make_node("Relu", ["h"], ["y"], name="n")]
    with pytest.raises(errors.ArtifactError, match="two nodes with same node name"):
        as_one(cpu, make_model(nodes, [tensor("x", ["n", 3])], ["y"]), {"x": X})


C = np.array([1, 2, 3], np.float32)


@pytest.mark.parametrize(
    ("nodes", "inputs", "outputs", "given"),
    [
        ([], {"x": ["n", 3]}, {"x": ["n", 3]}, {"x": X}),
        ([], {}, {"c": [3]}, {}),
        ([], {"x": ["n", 3]}, {"c": [3]}, {"x": X}),
        ([make_node("Constant", [], ["y"], value_float=2.0)], {}, {"y": []}, {}),
        ([make_node("Shape", ["c"], ["y"])], {}, {"y": None}, {}),
        ([make_node("Neg", ["x"], ["y"])], {"x": ["n", 3]}, {"y": None, "x": ["n", 3]}, {"x": X}),
        ([make_node("Neg", ["x"], ["y"])], {"x": ["n", 3], "u": ["k"]}, {"y": None},
         {"x": X, "u": C}),
        ([make_node("Neg", ["x"], ["y"])], {"x": []}, {"y": []}, {"x": np.array(7, np.float32)}),
        ([make_node("Neg", ["x"], ["y"])], {"x": [0, 3]}, {"y": [0, 3]}, {"x": X[:0]}),
        ([make_node("Neg", ["x"], ["y"])], {"x": [-1, 3]}, {"y": None}, {"x": X}),
        ([make_node("Neg", ["x"], ["y"])], {"x": None}, {"y": None}, {"x": X}),
        ([make_node("Neg", ["x"], ["y"]), make_node("Neg", ["u"], ["v"])],
         {"x": ["n"], "u": ["n"]}, {"y": None, "v": None}, {"x": C, "u": C[:2]}),
    ],
    ids=["no node, an input is the output", "no node, no input", "no node, an input for nothing",
         "a Constant alone", "no input", "an input is an output", "an input that nobody reads",
         "scalars", "a size of zero", "a size of -1", "an unknown rank",
         "one symbol of two sizes"],
)  # fmt: skip
def test_graphs_with_less_than_usual(cpu, nodes, inputs, outputs, given):
    ends = [tensor(n, s) for n, s in inputs.items()], [tensor(n, s) for n, s in outputs.items()]
    # An output that a node makes tells no type, unless the node could not be known by it.
    model = make_model(nodes, *ends, {"c": C})
    for output in model.graph.output:
        if output.name == "y" and any(node.op_type == "Shape" for node in nodes):
            output.ClearField("type")
    expected = bits(plainly(model, given))
    assert bits(as_one(cpu, model, given)) == expected
    if nodes:
        check(cpu, model, given, "Neg", "Shape")


def test_a_graph_without_nodes_is_one_stage_for_whoever_takes_the_file():
    model = make_model([], [tensor("x", ["n", 3])], [tensor("x", ["n", 3])])
    (stage,) = OnnxFrontend().read(as_artifact(model), lambda op: {}).stages
    assert not stage.operations
    assert stage.artifact.original is not None


CONSTANTS = {
    "value_int": 3, "value_ints": [1, 2], "value_float": 1.5, "value_floats": [1.0, 2.0],
    "value_string": "s", "value_strings": ["a", "ü"], "value": numpy_helper.from_array(C),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONSTANTS)
def test_a_constant_may_be_read_and_be_an_output(cpu, kind):
    nodes = [
        make_node("Constant", [], ["k"], **{kind: CONSTANTS[kind]}),
        make_node("Identity", ["k"], ["copy"]),
        make_node("Relu", ["x"], ["y"]),
    ]
    model = make_model(nodes, [tensor("x", ["n", 3])], ["y", "copy", "k"])
    check(cpu, model, {"x": X}, "Relu")


@pytest.mark.parametrize("operator", ["Relu", "Add", "Reshape"])
def test_an_initializer_may_be_read_everywhere_and_be_an_output(cpu, operator):
    nodes = [
        make_node("Add", ["x", "c"], ["a"]),
        make_node("Relu", ["a"], ["b"]),
        make_node("Add", ["b", "c"], ["d"]),
        make_node("Reshape", ["d", "s"], ["y"]),
    ]
    weights = {"c": C, "s": np.array([3, -1])}
    outputs = ["y", tensor("c", [3]), tensor("s", [2], TensorProto.INT64)]
    check(cpu, make_model(nodes, [tensor("x", ["n", 3])], outputs, weights), {"x": X}, operator)


def test_a_value_may_have_the_name_that_we_would_give_to_a_copy(cpu):
    nodes = [
        make_node("Neg", ["x"], ["y"]),
        make_node("Add", ["y", "c/constant"], ["c/constant/constant"]),
    ]
    weights = {"c": C, "c/constant": 10 * C}
    outputs = [tensor("c", [3]), "y", "c/constant/constant"]
    model = make_model(nodes, [tensor("x", ["n", 3])], outputs, weights)
    check(cpu, model, {"x": X}, "Neg")


@pytest.mark.parametrize("attributes", [{}, {"value_float": 1.0, "extra": 1}])
@pytest.mark.parametrize("outputs", [[], [""], ["unused"]])
def test_a_constant_that_is_broken_and_dead_harms_nobody(cpu, attributes, outputs):
    model = two_nodes()
    model.graph.node.insert(0, make_node("Constant", [], outputs, **attributes))
    graph = cut(cpu, model, "Relu")
    assert bits(run_graph(cpu, graph, {"x": X})) == bits(plainly(two_nodes(), {"x": X}))


SIGNALING = np.array([0x7F800001, 0xFFC12345, 0x80000000], np.uint32).view(np.float32)


def test_the_bits_of_a_nan_stay_in_a_constant(cpu):
    """A signaling NaN is quieted where it passes through Python's floats."""
    node = make_node("Constant", [], ["k"], value_float=1.0)
    head = node.attribute[0].SerializeToString()
    content = head.replace(np.float32(1).tobytes(), SIGNALING[:1].tobytes())
    node.attribute[0].ParseFromString(content)
    model = make_model([node, make_node("Identity", ["k"], ["y"])], [], ["y"])
    assert plainly(model, {})["y"].tobytes() == SIGNALING[:1].tobytes()
    check(cpu, model, {}, "Relu")


@pytest.mark.parametrize(
    ("nodes", "name"),
    [
        ([make_node("Neg", ["x"], ["y"]), make_node("Relu", ["x"], ["y"])], "y"),
        ([make_node("Neg", ["x"], ["x"]), make_node("Relu", ["x"], ["y"])], "x"),
        ([make_node("Neg", ["x"], ["c"]), make_node("Add", ["x", "c"], ["y"])], "c"),
    ],
    ids=["two nodes", "an input", "an initializer"],
)
def test_a_name_that_is_made_twice_is_refused(nodes, name):
    model = make_model(nodes, [tensor("x", ["n", 3])], ["y"], {"c": C})
    with pytest.raises(errors.ArtifactError, match=f"'{name}' is made twice"):
        whole_model_stage(as_artifact(model))


@pytest.mark.parametrize("operator", ["Relu", "Add"])
def test_sparse_initializers_are_part_of_the_stage_that_reads_them(cpu, operator):
    values = numpy_helper.from_array(np.array([1.5, 2.5], np.float32), "c")
    places = numpy_helper.from_array(np.array([0, 4]), "places")
    nodes = [make_node("Add", ["x", "c"], ["h"]), make_node("Relu", ["h"], ["y"])]
    model = make_model(nodes, [tensor("x", ["n", 3])], ["y"])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 3]))
    assert len(check(cpu, model, {"x": X}, operator).stages) == 2


def test_a_sparse_constant_stays_a_node(cpu):
    values, places = (
        numpy_helper.from_array(np.array([n], t), "") for n, t in ((5, "f"), (1, "q"))
    )
    sparse = helper.make_sparse_tensor(values, places, [3])
    nodes = [
        make_node("Constant", [], ["c"], sparse_value=sparse),
        make_node("Add", ["x", "c"], ["h"]),
        make_node("Relu", ["h"], ["y"]),
    ]
    check(cpu, make_model(nodes, [tensor("x", ["n", 3])], ["y"]), {"x": X}, "Relu")


@pytest.mark.parametrize("given", [{"x": X}, {"x": X, "w": 5 * C}], ids=["left out", "given"])
def test_a_default_is_taken_wherever_it_is_read(cpu, given):
    nodes = [
        make_node("Add", ["x", "w"], ["h"]),
        make_node("Relu", ["h"], ["r"]),
        make_node("Mul", ["r", "w"], ["y"]),
    ]
    model = make_model(nodes, [tensor("x", ["n", 3]), tensor("w", [3])], ["y"], {"w": C})
    assert len(check(cpu, model, given, "Relu").stages) == 3


@pytest.mark.parametrize("inner", [["n", 4], [1, 3], ["n", 3, 1]], ids=["width", "items", "rank"])
def test_sizes_inside_of_the_file_may_be_stale(cpu, inner):
    """As after giving the inputs other sizes: the runtime passes them over, and so do we."""
    nodes = [make_node("MatMul", ["x", "w"], ["h"]), make_node("Relu", ["h"], ["y"])]
    model = make_model(nodes, [tensor("x", ["n", 3])], ["y"], {"w": np.eye(3, dtype=np.float32)})
    model.graph.value_info.append(tensor("h", inner))
    assert len(check(cpu, model, {"x": X}, "Relu").stages) == 2


@pytest.mark.parametrize("outer", [[1, 3], ["n", 3, 1]], ids=["items", "rank"])
def test_sizes_of_an_output_may_be_stale(cpu, outer):
    nodes = [make_node("Neg", ["x"], ["h"]), make_node("Relu", ["h"], ["y"])]
    model = make_model(nodes, [tensor("x", ["n", 3])], [tensor("y", outer)])
    check(cpu, model, {"x": X}, "Relu")


def test_a_model_made_for_training_runs_as_the_runtime_runs_it(cpu):
    nodes = [
        make_node("BatchNormalization", ["x", "c", "c", "c", "c"], ["a", "mean", "var"],
                  training_mode=1),
        make_node("Dropout", ["a", "ratio", "training"], ["h", "mask"], seed=3),
        make_node("Relu", ["h"], ["y"]),
    ]  # fmt: skip
    constants = {"c": C, "ratio": np.array(0, np.float32), "training": np.array(True)}
    model = make_model(nodes, [tensor("x", ["n", 3])], ["y", "mean", "mask"], constants)
    model.training_info.add().algorithm.CopyFrom(helper.make_graph([], "train", [], []))
    assert len(check(cpu, model, {"x": X}, "Relu").stages) == 2


@pytest.mark.parametrize("ceiling", ["an input", "an initializer"])
def test_an_input_that_is_left_out_keeps_its_place(cpu, ceiling):
    nodes = [make_node("Clip", ["x", "", "most"], ["h"]), make_node("Relu", ["h"], ["y"])]
    most = np.array(1, np.float32)
    inputs, held = [tensor("x", ["n", 3])], {"most": most}
    if ceiling == "an input":
        inputs, held = [*inputs, tensor("most", [])], {}
    model = make_model(nodes, inputs, ["y"], held)
    given = {"x": X} | ({} if held else {"most": most})
    assert len(check(cpu, model, given, "Relu").stages) == 2


def test_an_output_that_is_left_out_keeps_its_place(cpu):
    nodes = [
        make_node("LSTM", ["x", "w", "r"], ["", "h"], hidden_size=2),
        make_node("Relu", ["h"], ["y"]),
    ]
    weights = {"w": np.ones((1, 8, 3), np.float32), "r": np.ones((1, 8, 2), np.float32)}
    model = make_model(nodes, [tensor("x", ["t", "n", 3])], ["y"], weights)
    assert len(check(cpu, model, {"x": X[:, None]}, "Relu").stages) == 2


def test_no_columns_and_no_rows(cpu):
    nodes = [make_node("Concat", ["x", "none"], ["h"], axis=1), make_node("Relu", ["h"], ["y"])]
    none = {"none": np.zeros((2, 0), np.float32)}
    model = make_model(nodes, [tensor("x", ["n", 3])], ["y"], none)
    check(cpu, model, {"x": X}, "Relu")
    check(cpu, two_nodes(), {"x": X[:0]}, "Relu")


def test_text_passes_from_stage_to_stage(cpu):
    nodes = [make_node("Identity", ["x"], ["h"]), make_node("StringConcat", ["h", "x"], ["y"])]
    model = make_model(nodes, [tensor("x", ["n"], TensorProto.STRING)], ["y"], opset=20)
    model.ir_version = 9
    given = {"x": np.array(["a", "ü", "", "a\0b"], object)}
    assert len(check(cpu, model, given, "Identity").stages) == 2


NARROW = {
    "bfloat16": TensorProto.BFLOAT16, "float8_e4m3fn": TensorProto.FLOAT8E4M3FN,
    "float8_e5m2": TensorProto.FLOAT8E5M2, "int4": TensorProto.INT4, "uint4": TensorProto.UINT4,
}  # fmt: skip


@pytest.mark.parametrize("dtype", NARROW)
def test_a_dtype_that_numpy_lacks_may_be_inside_only(cpu, dtype):
    nodes = [
        make_node("Cast", ["x"], ["h"], to=NARROW[dtype]),
        make_node("Cast", ["h"], ["r"], to=TensorProto.FLOAT),
        make_node("Relu", ["r"], ["y"]),
    ]
    model = make_model(nodes, [tensor("x", ["n", 3])], ["y"], opset=21, ir_version=10)
    assert len(check(cpu, model, {"x": np.abs(X)}, "Relu").stages) == 2


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("dtype", NARROW)
def test_a_dtype_that_numpy_lacks_passes_from_stage_to_stage(cpu, dtype, count):
    nodes = [
        make_node("Cast", ["x"], ["h"], to=NARROW[dtype]),
        make_node("Cast", ["h"], ["y"], to=TensorProto.FLOAT),
    ]
    model = make_model(nodes, [tensor("x", ["n"])], ["y", "h"], opset=21, ir_version=10)

    def one_at_a_time(op):
        return {"a" if op.attributes["to"] == TensorProto.FLOAT else "b": Support.yes()}

    graph = OnnxFrontend().read(as_artifact(model), one_at_a_time)
    assert [spec.dtype for spec in graph.stages[1].inputs] == [dtype]
    x = np.array([7, 1, 3] if dtype == "uint4" else [-4, 1, -2], np.float32)[:count]
    found = run_graph(cpu, graph, {"x": x})
    assert bits(found["h"]) == bits(x.astype(getattr(ml_dtypes, dtype)))
    assert bits(found["y"]) == bits(x)


def test_a_model_that_reads_nothing_but_noise_has_no_inputs(cpu):
    nodes = [
        make_node("RandomNormal", [], ["r"], shape=[2], seed=1.0),
        make_node("Shape", ["r"], ["y"]),
    ]
    assert len(check(cpu, make_model(nodes, [], ["y"]), {}, "Shape").stages) == 2


def test_loaded_stages_are_closed_with_their_device(cpu):
    loaded = cpu.load(whole_model_stage(as_artifact(two_nodes())), LoadOptions())
    cpu.close()
    with pytest.raises(errors.DeviceClosed):
        loaded.run({"x": X})
