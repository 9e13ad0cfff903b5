"""Functions are followed into their bodies, an If into its branches; our own are trusted whole."""

# ruff: noqa: E501 - a model is a line

from __future__ import annotations

import numpy as np
import onnx
import pytest
from batch_models import proven, text
from batch_runs import violations
from batch_text import feeds
from onnx import TensorProto, helper
from onnx_models import make_model, tensor

from deepseek_onnx.batching import PROVEN, prove
from deepseek_onnx.operators import attach_match, bind_gallery, match_hamming_function

# Functions.


def test_a_function_is_followed_into_its_body():
    model = text(
        "agraph (float[N,2] x) => (y) { y = local.f <axis = 1> (x) }",
        '<domain: "local", opset_import: ["" : 18]> f <axis> (a) => (b) { b = Softmax <axis: int = @axis> (a) }',
    )
    assert proven(model).axes == {"x": 0, "y": 0}
    model.graph.node[0].attribute[0].i = 0
    assert prove(model).reason == "Softmax mixes items along N"


def test_a_function_has_default_attributes_of_its_own_and_the_versions_of_its_model():
    """ONNX Runtime runs a body by the versions of the model, whatever the function says."""
    body = "agraph (float[N,2,3] x) => (y) { y = local.f (x) }"
    function = '<domain: "local", opset_import: ["" : $v]> f <axis: int = $a> (a) => (b) '
    function += "{ b = Softmax <axis: int = @axis> (a) }"
    of = {
        (v, a): function.replace("$v", str(v)).replace("$a", str(a))
        for v in (11, 13, 18)
        for a in (0, 2)
    }
    assert prove(text(body, of[18, 2])).reason == PROVEN
    assert prove(text(body, of[18, 0])).reason == "Softmax mixes items along N"
    for v in (11, 13):
        assert prove(text(body, of[v, 2])).reason.endswith("its body is of another operator set")


def test_functions_of_one_name_differ_by_overload():
    model = text(
        "agraph (float[N,2] x) => (y) { y = local.f:second (x) }",
        '<domain: "local", overload: "first", opset_import: ["" : 18]> f (a) => (b) '
        "{ b = Softmax <axis = 0> (a) } "
        '<domain: "local", overload: "second", opset_import: ["" : 18]> f (a) => (b) { b = Relu (a) }',
    )
    assert prove(model).reason == PROVEN
    model.graph.node[0].overload = "first"
    assert prove(model).reason == "Softmax mixes items along N"
    model.graph.node[0].overload = "third"
    assert prove(model).reason == "no rule for local::f"


def test_functions_call_functions_and_hand_on_attributes():
    model = text(
        "agraph (float[N,2] x, float[2] w) => (y) { y = local.outer <k = 1> (x, w) }",
        '<domain: "local", opset_import: ["" : 18, "local" : 1]> outer <k> (a, c) => (b) '
        "{ t = local.inner <axis: int = @k> (a)\n b = Add (t, c) } "
        '<domain: "local", opset_import: ["" : 18]> inner <axis> (a) => (b) '
        "{ b = Softmax <axis: int = @axis> (a) }",
    )
    assert prove(model, fixed=["w"]).reason == PROVEN


def test_a_function_that_calls_itself_proves_nothing():
    model = text(
        "agraph (float[N,2] x) => (y) { y = local.f (x) }",
        '<domain: "local", opset_import: ["local" : 1]> f (a) => (b) { b = local.f (a) }',
    )
    assert prove(model).reason == "f has too deep a body"


def test_functions_that_double_at_every_call_are_not_followed_forever():
    functions = "".join(
        f'<domain: "local", opset_import: ["local" : 1, "" : 18]> f{i} (a) => (b) '
        f"{{ t = local.f{i + 1} (a)\n b = local.f{i + 1} (t) }} "
        for i in range(40)
    )
    last = '<domain: "local", opset_import: ["" : 18]> f40 (a) => (b) { b = Relu (a) }'
    model = text("agraph (float[N,2] x) => (y) { y = local.f0 (x) }", functions + last)
    assert prove(model).reason.endswith("has too many bodies in it")


def test_a_body_that_bears_an_operators_name_must_agree_with_the_operator():
    # A runtime may take its own operator instead of the body.
    body = "agraph (float[N,2] x) => (y) { y = com.microsoft.$name (x) }"
    function = '<domain: "com.microsoft", opset_import: ["" : 18]> $name (a) => (b) { b = $op (a) }'
    both = text(
        body.replace("$name", "Gelu"), function.replace("$name", "Gelu").replace("$op", "Relu")
    )
    assert prove(both).reason == PROVEN
    liar = text(
        body.replace("$name", "Gelu"),
        function.replace("$name", "Gelu").replace("$op", "Softmax <axis = 0>"),
    )
    assert prove(liar).reason == "Softmax mixes items along N"


# The SDK's own operators.


def matching(metric: str, dtype: int) -> onnx.ModelProto:
    width = 2 if metric == "hamming" else 8
    embed = helper.make_node("Identity", ["picture"], ["embedding"])
    model = make_model(
        [embed], [tensor("picture", ["N", width], dtype)], [tensor("embedding", ["N", width], dtype)],
        opset=18,
    )  # fmt: skip
    return attach_match(model, query="embedding", metric=metric)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "dtype"),
    [("l2", TensorProto.FLOAT), ("l2", TensorProto.INT8), ("hamming", TensorProto.UINT8)],
)
def test_a_matching_stage_is_proven_with_its_gallery_and_k_fixed(metric, dtype):
    model = matching(metric, dtype)
    verdict = proven(model, fixed=["gallery", "k"])
    assert {n: verdict.axes[n] for n in ("picture", "indices", "distances")} == {
        "picture": 0, "indices": 0, "distances": 0,
    }  # fmt: skip
    inputs = feeds(model, 5, {"num_gallery": 70}) | {"k": np.array([2])}
    assert list(violations(model, verdict, inputs)) == []
    gallery = inputs["gallery"]
    assert prove(bind_gallery(model, gallery), fixed=["k"]).reason == PROVEN


def test_a_gallery_may_not_be_the_batch():
    assert prove(matching("l2", TensorProto.FLOAT), fixed=["k", "picture"]).symbol is None


def test_a_function_that_merely_has_our_name_is_not_trusted():
    model = matching("l2", TensorProto.FLOAT)
    (function,) = model.functions
    function.node[-1].op_type = "Neg"
    del function.node[-1].input[1:]
    assert prove(model, fixed=["gallery", "k"]).symbol is None
    liar = text(
        "agraph (uint8[N,2] q, uint8[3,2] g, int64[1] k) => (i, d) { i, d = ai.deepseek.MatchHamming (q, g, k) }",
        '<domain: "ai.deepseek", opset_import: ["" : 18]> MatchHamming (query, gallery, k) => (indices, distances)'
        " { z = Constant <value = int64[1] {0}> ()\n f = Cast <to = 1> (query)\n"
        " distances = ReduceMax (f, z)\n indices = Identity (distances) }",
    )
    assert prove(liar, fixed=["g", "k"]).reason == "ReduceMax mixes items along N"


def test_a_body_of_ours_is_trusted_byte_for_byte():
    model = matching("hamming", TensorProto.UINT8)
    (function,) = model.functions
    assert function == match_hamming_function()
    function.doc_string = "changed"
    assert prove(model, fixed=["gallery", "k"]).symbol is None


# If.

BRANCHES = """agraph (float[N,$size] x, bool[1] w) => (y) {
  s = Shape <start = 1> (x)
  o = Constant <value = int64[1] {1}> ()
  e = Equal (s, o)
  c = $condition
  r = If (c) <
    then_branch = t () => (float[a] u) { u = $then }, else_branch = f () => (float[a] v) { v = $else }
  >
  $after
}"""


def branching(**parts: str) -> onnx.ModelProto:
    body = BRANCHES
    defaults = {"size": "2", "condition": "Identity (w)", "then": "Relu (x)", "else": "Neg (x)"}
    for name, part in ({"after": "y = Identity (r)"} | defaults | parts).items():
        body = body.replace(f"${name}", part)
    return text(body)


def test_an_if_is_proven_where_its_branches_agree():
    assert prove(branching(), fixed=["w"]).reason == PROVEN


def test_an_if_is_not_proven_where_a_branch_mixes():
    model = branching(**{"else": "Softmax <axis = 0> (x)"})
    assert prove(model, fixed=["w"]).reason == "Softmax mixes items along N"


def test_an_if_whose_branch_is_known_has_one():
    model = branching(condition="Identity (e)", then="Softmax <axis = 0> (x)")
    assert prove(model, fixed=["w"]).reason == PROVEN


def test_an_if_by_an_items_value_proves_nothing():
    model = branching()
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "N"
    model.graph.input[1].type.tensor_type.shape.dim[0].ClearField("dim_value")
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "N"
    assert prove(model).reason == "If mixes items along N: one branch for all"


def test_an_if_by_the_number_of_items_proves_nothing():
    model = branching(condition="Equal (n, o)")
    model.graph.node.insert(0, helper.make_node("Shape", ["x"], ["n"], end=1))
    assert prove(model, fixed=["w"]).reason == (
        "If may mix items along N: its branch depends on how many there are"
    )


SQUEEZED = {
    "size": "T",
    "condition": "Identity (e)",
    "then": "Squeeze (x, o)",
    "else": "Identity (x)",
}


def test_branches_of_different_ranks_are_both_followed():
    # An exporter's squeeze of an axis whose size it does not know; both ranks run.
    model = branching(**SQUEEZED)
    verdict = proven(model, fixed=["w"])
    assert verdict.axes["y"] == 0
    for size in (1, 3):
        assert list(violations(model, verdict, feeds(model, 4, {"T": size}))) == []


def test_a_branch_that_no_runtime_can_go_on_from_is_never_taken():
    after = "q = Unsqueeze (r, o)\n y = Einsum <equation = $equation> (q)"
    one = branching(**SQUEEZED, after=after.replace("$equation", '"ab->a"'))
    assert prove(one, fixed=["w"]).reason == PROVEN
    none = branching(**SQUEEZED, after=after.replace("$equation", '"abcd->a"'))
    assert (
        prove(none, fixed=["w"]).reason == "Einsum has an equation that does not fit its operands"
    )


def test_a_branch_that_runs_and_mixes_is_not_overlooked():
    mixing = branching(**SQUEEZED, after="y = Softmax <axis = -1> (r)")
    assert prove(mixing, fixed=["w"]).reason == "Softmax mixes items along N"
