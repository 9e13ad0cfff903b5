"""MatchL2 and MatchHamming equal exact numpy, in ONNX Runtime and in the reference evaluator."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from deepseek_onnx import operators

Array = np.ndarray[Any, np.dtype[Any]]

ELEM_TYPES = {
    "float32": TensorProto.FLOAT,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
}
# (metric, dtype) of every operator body
BODIES = [("l2", "float32"), ("l2", "int8"), ("hamming", "uint8")]


def match_model(metric: Any, dtype: str, width: int | None = None, opset: int = 18) -> Any:
    query = helper.make_tensor_value_info("picture", ELEM_TYPES[dtype], ["batch", width])
    embedding = helper.make_tensor_value_info("embedding", ELEM_TYPES[dtype], ["batch", width])
    node = helper.make_node("Identity", ["picture"], ["embedding"])
    graph = helper.make_graph([node], "only_match", [query], [embedding])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return operators.attach_match(model, query="embedding", metric=metric)


def session(model: Any) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


SESSIONS = {body: session(match_model(*body)) for body in BODIES}
REFERENCES = {body: ReferenceEvaluator(match_model(*body)) for body in BODIES}


def l2_distances(query: Array, gallery: Array) -> Array:
    difference = query[:, None].astype(np.float64) - gallery[None].astype(np.float64)
    return np.asarray((difference**2).sum(axis=2))


def hamming_distances(query: Array, gallery: Array) -> Array:
    differing: np.ndarray[Any, np.dtype[np.uint8]] = np.bitwise_xor(query[:, None], gallery[None])
    return np.asarray(np.unpackbits(differing, axis=2).sum(axis=2, dtype=np.int64))


def nearest(distances: Array, k: int) -> tuple[Array, Array]:
    indices = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return indices, np.take_along_axis(distances, indices, axis=1)


def assert_exact(runner: Any, query: Array, gallery: Array, k: int) -> None:
    feeds = {"picture": query, "gallery": gallery, "k": np.array([k])}
    _, indices, distances = runner.run(None, feeds)
    measure = hamming_distances if query.dtype == np.uint8 else l2_distances
    expected_indices, expected_distances = nearest(measure(query, gallery), k)
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(distances, expected_distances)


@st.composite
def problems(draw: st.DrawFn, dtype: str) -> tuple[Array, Array, int]:
    """Draw query, gallery, k; few distinct values give ties, duplicates give more."""
    num_queries, width = draw(st.integers(1, 4)), draw(st.integers(1, 40))
    num_rows = draw(st.integers(1, 200))
    k = draw(st.integers(1, min(16, num_rows)))
    low, high = draw(st.sampled_from([(-128, 127), (-1, 1), (0, 0), (127, 127), (-128, -128)]))
    if dtype == "uint8":
        low, high = low + 128, high + 128
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gallery = rng.integers(low, high, (num_rows, width), endpoint=True)
    query = rng.integers(low, high, (num_queries, width), endpoint=True)
    if draw(st.booleans()):
        gallery = gallery[rng.integers(0, num_rows, num_rows)]
    return query.astype(dtype), gallery.astype(dtype), k


@pytest.mark.parametrize("body", BODIES)
def test_the_match_in_onnx_runtime_equals_exact_numpy(body: tuple[str, str]) -> None:
    @settings(max_examples=150, deadline=None)
    @given(problems(body[1]))
    def check(problem: tuple[Array, Array, int]) -> None:
        assert_exact(SESSIONS[body], *problem)

    check()


@pytest.mark.parametrize("body", BODIES)
def test_the_match_in_the_reference_evaluator_equals_exact_numpy(body: tuple[str, str]) -> None:
    @settings(max_examples=30, deadline=None)
    @given(problems(body[1]))
    def check(problem: tuple[Array, Array, int]) -> None:
        assert_exact(REFERENCES[body], *problem)

    check()


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("num_rows", [1, 2, 16, 31, 32, 33, 64, 1000])
def test_any_number_of_rows_is_matched(body: tuple[str, str], num_rows: int) -> None:
    rng = np.random.default_rng(num_rows)
    query, gallery = (rng.integers(0, 3, (n, 7)).astype(body[1]) for n in (5, num_rows))
    for k in {1, min(16, num_rows), min(num_rows, 40)}:
        assert_exact(SESSIONS[body], query, gallery, k)


@pytest.mark.parametrize("body", BODIES)
def test_equal_rows_come_in_the_order_of_their_index(body: tuple[str, str]) -> None:
    query, gallery = np.ones((1, 3), body[1]), np.zeros((500, 3), body[1])
    gallery[[7, 450]] = 1
    feeds = {"picture": query, "gallery": gallery, "k": np.array([5])}
    indices = SESSIONS[body].run(["indices"], feeds)[0]
    assert indices.tolist() == [[7, 450, 0, 1, 2]]


@pytest.mark.parametrize("width", [1280, 33025])
def test_int8_distances_are_exact_at_the_extremes(width: int) -> None:
    query = np.full((1, width), -128, np.int8)
    gallery = np.stack([np.full(width, value, np.int8) for value in (127, -127, 0, -128)])
    assert_exact(SESSIONS["l2", "int8"], query, gallery, 4)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 100))
@example(0, 100)
def test_float32_distances_are_near_the_true_ones_and_never_negative(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    gallery = rng.standard_normal((rows, 24), dtype=np.float32)
    query = gallery[:1].copy()
    feeds = {"picture": query, "gallery": gallery, "k": np.array([min(rows, 5)])}
    _, indices, distances = SESSIONS["l2", "float32"].run(None, feeds)
    truth = np.take_along_axis(l2_distances(query, gallery), indices, axis=1)
    np.testing.assert_allclose(distances, truth, atol=1e-4)
    assert distances.min() >= 0
    assert (np.diff(distances) >= 0).all()


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("opset", [18, 21, 23])
def test_the_model_passes_checker_and_strict_shape_inference(
    body: tuple[Any, str], opset: int
) -> None:
    model = match_model(*body, width=16, opset=opset)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    rng = np.random.default_rng(opset)
    query, gallery = (rng.integers(0, 100, (n, 16)).astype(body[1]) for n in (3, 70))
    assert_exact(session(model), query, gallery, 3)


@pytest.mark.parametrize("body", BODIES)
def test_what_depends_on_the_gallery_alone_is_folded(body: tuple[Any, str], tmp_path: Any) -> None:
    gallery = np.random.default_rng(0).integers(0, 100, (70, 16)).astype(body[1])
    model = operators.bind_gallery(match_model(*body, width=16), gallery)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "folded.onnx")
    bound = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    query = gallery[:2]
    indices = bound.run(["indices"], {"picture": query, "k": np.array([1])})[0]
    assert indices.tolist() == nearest(l2_distances(query, gallery), 1)[0].tolist()
    ran = [node.op_type for node in onnx.load(tmp_path / "folded.onnx").graph.node]
    assert not {"Pad", "Shape", "Div"} & set(ran)
    assert ran.count("ReduceSum") <= 1  # the norm of the query


def test_shapes_of_the_outputs_are_named() -> None:
    model = match_model("l2", "int8", width=16)
    rows = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
            for v in (*model.graph.input, *model.graph.output)}  # fmt: skip
    assert rows["gallery"] == ["num_gallery", 16]
    assert rows["indices"] == rows["distances"] == ["batch", "num_neighbors"]


def test_attaching_leaves_the_given_model_alone() -> None:
    value = helper.make_tensor_value_info("query", TensorProto.INT8, ["batch", 4])
    graph = helper.make_graph([], "empty", [value], [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    before = model.SerializeToString()
    operators.attach_match(model, query="query", metric="l2")
    assert model.SerializeToString() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"query": "nowhere", "metric": "l2"}, "no tensor 'nowhere'"),
        ({"query": "cube", "metric": "l2"}, "2 dimensions, not 3"),
        ({"query": "bits", "metric": "l2"}, "float32 or int8 embeddings, not 'uint8'"),
        ({"query": "floats", "metric": "hamming"}, "'floats' is float32"),
        ({"query": "floats", "metric": "cosine"}, "not 'cosine'"),
        ({"query": "floats", "metric": "l2", "k_input": "bits"}, r"\['bits'\]"),
        ({"query": "floats", "metric": "l2", "k_input": "gallery"}, "differ"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    values = [
        helper.make_tensor_value_info("floats", TensorProto.FLOAT, [1, 2]),
        helper.make_tensor_value_info("bits", TensorProto.UINT8, [1, 2]),
        helper.make_tensor_value_info("cube", TensorProto.FLOAT, [1, 2, 3]),
    ]
    model = helper.make_model(helper.make_graph([], "inputs", values, []))
    with pytest.raises(ValueError, match=message):
        operators.attach_match(model, **arguments)


def test_a_second_match_is_refused() -> None:
    with pytest.raises(ValueError, match="new to the graph"):
        operators.attach_match(match_model("l2", "int8"), query="embedding", metric="l2")


def test_an_old_opset_is_refused() -> None:
    with pytest.raises(ValueError, match="opset 18 or later, not 17"):
        operators.match_hamming_function(opset=17)


@pytest.mark.parametrize(
    ("gallery", "name", "message"),
    [
        (np.zeros((5, 16), np.int8), "shelf", "no input 'shelf'"),
        (np.zeros((5, 15), np.int8), "gallery", r"int8 \[N, 16\], not int8 \[5, 15\]"),
        (np.zeros((5, 16), np.float32), "gallery", "not float"),
        (np.zeros(16, np.int8), "gallery", r"not int8 \[16\]"),
    ],
)
def test_a_gallery_that_does_not_fit_is_refused(gallery: Array, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        operators.bind_gallery(match_model("l2", "int8", width=16), gallery, name=name)
