"""Plans of real models: the short way takes and gives what the long way does."""

import pickle
import types
from collections import ChainMap, UserDict

import numpy as np
import onnxruntime
import pytest
from onnx import parser
from onnx_models import perceptron

from deepseek_core import Session
from deepseek_core.contracts.errors import DeviceClosed, TensorMismatch

X = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def session(folder):
    with Session(devices=["onnx:cpu"], cache_dir=folder) as made:
        yield made


def plain(model, inputs):
    made = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return dict(zip([o.name for o in made.get_outputs()], made.run(None, inputs), strict=True))


@pytest.fixture
def plan(session):
    return session.plan(session.load(perceptron()), batch=5)


@pytest.fixture(scope="module")
def want():
    return plain(perceptron(), {"x": X})["y"]


@pytest.mark.parametrize(
    "inputs",
    [{"x": X}, {"x": X.tolist()}, ChainMap({"x": X}), UserDict({"x": X}),
     types.MappingProxyType({"x": X}), {"x": X.astype(">f4")}, {"x": np.asfortranarray(X)}],
    ids=["dict", "lists", "chain", "user", "proxy", "big-endian", "fortran"],
)  # fmt: skip
def test_any_mapping_of_arrays_is_taken(inputs, plan, want):
    assert np.array_equal(plan.run(inputs)["y"], want)
    assert np.array_equal(next(plan.stream([inputs]))["y"], want)


def test_a_result_and_an_open_file_are_mappings_too(plan, want, tmp_path):
    np.savez(tmp_path / "x.npz", x=X)
    with np.load(tmp_path / "x.npz") as file:
        assert np.array_equal(plan.run(file)["y"], want)
    again = plan.run({"x": plan.run({"x": X})["y"]})["y"]
    assert np.array_equal(again, plain(perceptron(), {"x": want})["y"])


@pytest.mark.parametrize(
    "inputs",
    [None, [], [X], X, "x", 5, {"x"}, {}, {"y": X}, {1: X}, {"x": X, "y": X}, {"x": None},
     {"x": "text"}, {"x": X[0]}, {"x": X[:, :3]}, {"x": X.astype("f8")}, {"x": X.astype(complex)}],
)  # fmt: skip
@pytest.mark.parametrize("latency", ["offline", "realtime"])
def test_what_does_not_fit_is_told_and_the_plan_goes_on(inputs, latency, session, want):
    plan = session.plan(session.load(perceptron()), latency=latency, batch=5)
    for use in (lambda: plan.run(inputs), lambda: list(plan.stream([{"x": X}, inputs]))):
        with pytest.raises(TensorMismatch):
            use()
    assert np.array_equal(plan.run({"x": X})["y"], want)
    assert not plan.notices


def test_results_go_to_other_processes(plan, want):
    again = pickle.loads(pickle.dumps(plan.run({"x": X})))
    assert np.array_equal(again["y"], want)
    assert again.ran_on == {"gemm": "onnx:cpu"}


def test_what_a_caller_does_to_a_result_changes_no_other(plan, want):
    first = plan.run({"x": X})
    first["y"][:] = 0
    first.ran_on.clear()
    assert np.array_equal(plan.run({"x": X})["y"], want)
    assert plan.run({"x": X}).ran_on == {"gemm": "onnx:cpu"}


def test_sizes_may_change_from_batch_to_batch(plan):
    sizes = [3, 0, 1, 5, 2]
    results = list(plan.stream({"x": X[:n]} for n in sizes))
    assert [r.batch for r in results] == sizes
    assert [r.sequence for r in results] == list(range(5))
    for n, result in zip(sizes, results, strict=True):
        assert np.array_equal(result["y"], plain(perceptron(), {"x": X[:n]})["y"])


def test_a_plan_is_closed_for_good(plan, session):
    plan.run({"x": X})
    stream = plan.stream({"x": X} for _ in range(5))
    next(stream)
    plan.close()
    for use in (lambda: plan.run({"x": X}), lambda: list(stream), plan.warmup):
        with pytest.raises(DeviceClosed, match="the plan is closed"):
            use()


def test_costs_measured_with_a_setting_are_kept_apart(folder, session):
    graph = session.load(perceptron(width=16))
    session.calibrate(graph, rounds=2, batch=2)

    def source(made):
        plan = made.plan(made.load(perceptron(width=16)), batch=2)
        return plan.problem.stages[0].candidates[0].estimate.source

    assert source(session) == "measured"
    changed = {"cpu_onnx": {"graph_optimization": "disabled"}}
    with Session(devices=["onnx:cpu"], cache_dir=folder, settings=changed) as other:
        assert source(other) == "prior"
        other.calibrate(other.load(perceptron(width=16)), rounds=2, batch=2)
        assert source(other) == "measured"
    with Session(devices=["onnx:cpu"], cache_dir=folder) as again:
        plan = again.plan(again.load(perceptron(width=16)), batch=2)
        assert plan.problem.stages[0].candidates[0].estimate.samples == 2


def test_a_model_without_a_batch_axis_is_calibrated_and_compared(session):
    text = """<ir_version: 9, opset_import: ["" : 18]>
        weights (float[tokens, 4] scores) => (float[tokens, 4] y) { y = Softmax<axis = 0>(scores) }
    """
    graph = session.load(parser.parse_model(text))
    assert not graph.is_batched
    inputs = {"scores": np.ones((6, 4), np.float32)}
    rows = session.calibrate(graph, inputs=inputs, rounds=2)
    assert [(r.batch, r.error) for r in rows] == [(1, "")]
    plan = session.plan(graph, batch=64)
    assert plan.request.batch == 1
    found = session.compare(plan, [inputs] * 2, rounds=2)
    assert found.chosen.items_per_s > 0


def test_values_that_an_operator_refuses_leave_the_device_in_service(session):
    text = """<ir_version: 9, opset_import: ["" : 18]>
        table (int64[N] i) => (float[N, 2] y) <float[2, 2] w = {1, 2, 3, 4}> { y = Gather(w, i) }
    """
    graph = session.load(parser.parse_model(text))
    bad, good = {"i": np.array([7])}, {"i": np.array([1])}
    with pytest.raises(ValueError, match="indices element out of data bounds"):
        session.calibrate(graph, inputs=bad)
    plan = session.plan(graph)
    with pytest.raises(ValueError, match="indices element out of data bounds"):
        plan.run(bad)
    assert plan.run(good)["y"].tolist() == [[3, 4]]
    assert not session.notices or "onnx:cpu" not in str(session.notices)
