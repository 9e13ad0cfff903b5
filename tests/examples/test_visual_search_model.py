"""The committed models of the visual search: whole, quantized as meant, and as accurate."""

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from deepseek_onnx.operators import bind_gallery

EXAMPLE = Path(__file__).parents[2] / "examples" / "visual_search"
MODELS = EXAMPLE / "models"
DTYPES = ["fp32", "int8"]
NUM_GALLERY, NUM_QUERIES = 2000, 300


def example_module(name: str) -> ModuleType:
    """Import a module of the example, which is a folder of scripts and no package."""
    spec = importlib.util.spec_from_file_location(f"visual_search_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


dataset = example_module("dataset")
with pytest.MonkeyPatch.context() as patch:  # quantize imports its neighbor network
    patch.setitem(sys.modules, "network", example_module("network"))
    quantize = example_module("quantize")


def load(dtype: str) -> Any:
    return onnx.load(MODELS / f"visual_search_{dtype}.onnx")


def session(model: Any, **entries: str) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if "optimized" in entries:
        options.optimized_model_filepath = entries["optimized"]
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@pytest.fixture(scope="module")
def crops() -> tuple[Any, Any]:
    gallery, queries = dataset.split_by_board(dataset.load_crops())
    rng = np.random.default_rng(0)
    return (
        gallery.take(rng.permutation(len(gallery))[:NUM_GALLERY]),
        queries.take(rng.permutation(len(queries))[:NUM_QUERIES]),
    )


def top1(dtype: str, gallery: Any, queries: Any) -> float:
    model = load(dtype)
    runner = session(model)
    starts = range(0, len(gallery), 100)
    embeddings = np.concatenate(
        [embed(runner, gallery.images[start : start + 100]) for start in starts]
    )
    search = session(bind_gallery(model, embeddings))
    indices = search.run(["indices"], {"images": queries.images, "k": np.array([1])})[0]
    return float((gallery.labels[indices[:, 0]] == queries.labels).mean())


def embed(runner: Any, images: Any) -> Any:
    """Run the first stage; the second gets a gallery of one row."""
    dtype = np.int8 if "int8" in runner.get_inputs()[1].type else np.float32
    feeds = {"images": images, "gallery": np.zeros((1, 1280), dtype), "k": np.array([1])}
    return runner.run(["embedding"], feeds)[0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model_is_whole_and_ends_in_a_match_with_a_body(dtype: str) -> None:
    model = load(dtype)
    onnx.checker.check_model(model, full_check=True)
    match = model.graph.node[-1]
    assert (match.domain, match.op_type, match.input[0]) == ("ai.deepseek", "MatchL2", "embedding")
    (function,) = model.functions
    assert (function.domain, function.name) == ("ai.deepseek", "MatchL2")
    assert {node.domain for node in function.node} == {""}


@pytest.mark.parametrize("dtype", DTYPES)
def test_inputs_and_outputs_are_as_the_readme_has_them(dtype: str) -> None:
    runner = session(load(dtype))
    element = {"fp32": "tensor(float)", "int8": "tensor(int8)"}[dtype]
    distance = {"fp32": "tensor(float)", "int8": "tensor(int32)"}[dtype]
    assert [(x.name, x.type, x.shape) for x in runner.get_inputs()] == [
        ("images", "tensor(uint8)", ["batch", 64, 64]),
        ("gallery", element, ["num_gallery", 1280]),
        ("k", "tensor(int64)", [1]),
    ]
    assert [(x.name, x.type, x.shape) for x in runner.get_outputs()] == [
        ("embedding", element, ["batch", 1280]),
        ("indices", "tensor(int64)", ["batch", "num_neighbors"]),
        ("distances", distance, ["batch", "num_neighbors"]),
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_metrics_are_those_of_the_committed_file(dtype: str) -> None:
    metrics = json.loads((MODELS / "metrics.json").read_text())
    entry = metrics[dtype]
    content = (MODELS / entry["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert entry["top1"] == pytest.approx(entry["correct"] / metrics["num_queries"], abs=1e-6)
    assert metrics["fp32"]["top1"] >= 0.80
    assert metrics["int8"]["top1"] >= metrics["fp32"]["top1"] - 0.01


def test_models_and_data_stay_under_20_mb() -> None:
    files = [*MODELS.iterdir(), *(EXAMPLE / "data").iterdir()]
    assert sum(path.stat().st_size for path in files) < 20e6


def test_every_convolution_of_the_int8_model_runs_quantized(tmp_path: Path) -> None:
    path = tmp_path / "optimized.onnx"
    session(load("int8"), optimized=str(path))
    ran = [node.op_type for node in onnx.load(path).graph.node]
    assert ran.count("QLinearConv") == 49
    assert "Conv" not in ran and "FusedConv" not in ran


def test_int8_is_as_accurate_as_float32_within_two_points(crops: tuple[Any, Any]) -> None:
    fp32, int8 = (top1(dtype, *crops) for dtype in DTYPES)
    assert fp32 >= 0.65  # fewer gallery pictures than in metrics.json, hence fewer hits
    assert abs(fp32 - int8) <= 0.02


def test_a_picture_gives_the_same_embedding_in_any_batch(crops: tuple[Any, Any]) -> None:
    runner, images = session(load("int8")), crops[1].images[:5]
    alone = np.concatenate([embed(runner, images[i : i + 1]) for i in range(5)])
    # Unit length is worked out in float32, whose sums may differ in the last bit.
    assert np.abs(embed(runner, images).astype(int) - alone).max() <= 1


@pytest.mark.parametrize(("dtype", "tolerance"), [("fp32", 1e-5), ("int8", 8)])
def test_the_reference_evaluator_runs_the_same_file(
    dtype: str, tolerance: float, crops: tuple[Any, Any]
) -> None:
    model, images = load(dtype), crops[1].images[:2]
    gallery = embed(session(model), crops[0].images[:100])
    feeds = {"images": images, "gallery": gallery, "k": np.array([3])}
    embedding, indices, distances = ReferenceEvaluator(model).run(None, feeds)
    # Fused and unfused kernels round between layers differently.
    assert np.abs(embedding - embed(session(model), images).astype(float)).max() <= tolerance
    exact = ((embedding[:, None].astype(float) - gallery) ** 2).sum(axis=2)
    expected = np.argsort(exact, axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(distances, np.take_along_axis(exact, expected, 1), atol=1e-5)


def test_no_board_is_in_both_halves() -> None:
    gallery, queries = dataset.split_by_board(dataset.load_crops())
    assert (len(gallery), len(queries)) == (11569, 2877)
    assert len(np.unique(queries.boards)) == 300
    assert not np.intersect1d(gallery.boards, queries.boards).size


def test_pictures_are_black_and_white_with_seven_classes() -> None:
    crops = dataset.load_crops()
    assert crops.images.shape == (14446, 64, 64)
    assert crops.images.dtype == np.uint8
    assert set(np.unique(crops.images)) == {0, 255}
    assert len(crops.class_names) == crops.labels.max() + 1 == 7


def test_interpolation_equals_resize() -> None:
    picture = np.random.default_rng(0).random((1, 1, 64, 64), np.float32)
    matrix = example_module("network").interpolation(64, 96)
    graph = onnx.parser.parse_graph(
        "resize (float[1, 1, 64, 64] x) => (float[1, 1, 96, 96] y)"
        '<float[4] scales = {1.0, 1.0, 1.5, 1.5}> { y = Resize <mode = "linear"> (x, , scales) }'
    )
    opset = onnx.helper.make_opsetid("", 18)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9)
    resized = session(model).run(None, {"x": picture})[0]
    np.testing.assert_allclose(matrix @ picture @ matrix.T, resized, atol=1e-5)


def test_a_stem_on_blocks_sees_what_it_saw_on_pixels() -> None:
    rng = np.random.default_rng(0)
    picture, stem = rng.random((96, 96), np.float32), rng.random((5, 1, 3, 3), np.float32)
    blocks = picture.reshape(48, 2, 48, 2).transpose(1, 3, 0, 2).reshape(4, 48, 48)
    phased = example_module("network").by_phase(stem)
    for row, column in [(0, 0), (10, 3), (46, 46)]:
        expected = (stem[:, 0] * picture[2 * row :, 2 * column :][:3, :3]).sum(axis=(1, 2))
        seen = (phased * blocks[:, row : row + 2, column : column + 2]).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(seen, expected, rtol=1e-5)


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_rounding_keeps_the_sum_of_a_channel(seed: int, width: int) -> None:
    values = np.random.default_rng(seed).uniform(-126, 126, (4, width))
    steps = quantize.rounded_with_sum(values)
    assert (steps == np.rint(steps)).all()
    assert np.abs(steps - values).max() <= 1 + 1e-6
    assert np.abs(steps.sum(axis=1) - values.sum(axis=1)).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("num_boards", [0, 1500])
def test_a_split_that_leaves_one_side_empty_is_refused(num_boards: int) -> None:
    with pytest.raises(ValueError, match="query boards must be 1 to 1499"):
        dataset.split_by_board(dataset.load_crops(), num_query_boards=num_boards)
