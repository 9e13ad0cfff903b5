"""Many callers of a served model get what plain ONNX Runtime gives each of them, bit for bit."""

import threading

import numpy as np
import onnxruntime
import pytest
from onnx import parser
from onnx_models import perceptron

from deepseek_core import Server, Session
from deepseek_core.contracts.errors import AdmissionRefused, InputError


def model(text):
    return parser.parse_model(f'<ir_version: 9, opset_import: ["" : 18]> {text}')


STEP = """
    step (float[T, N, 4] x, float[N, 4] state) => (float[T, N, 4] y, float[N, 4] next) {
        y = Add(x, state)
        next = Tanh(state)
    }
"""
WEIGHTS = "weights (float[N, 4] x) => (float[N, 4] y) { y = Softmax<axis = 0>(x) }"
TABLE = """
    table (int64[N] i) => (float[N, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}> { y = Gather(w, i) }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def session(folder):
    with Session(devices=["onnx:cpu"], cache_dir=folder) as made:
        yield made


def plain(proto):
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def of_step(rng):
    items, steps = int(rng.integers(0, 6)), int(rng.integers(1, 4))
    return {
        "x": rng.standard_normal((steps, items, 4)).astype(np.float32),
        "state": rng.standard_normal((items, 4)).astype(np.float32),
    }


def of_weights(rng):
    return {"x": rng.standard_normal((int(rng.integers(1, 6)), 4)).astype(np.float32)}


def of_table(rng):
    return {"i": rng.integers(0, 3, int(rng.integers(0, 5)))}


@pytest.mark.parametrize(
    ("text", "make", "is_batched"),
    [(STEP, of_step, True), (WEIGHTS, of_weights, False), (TABLE, of_table, True)],
    ids=["step", "weights", "table"],
)
@pytest.mark.parametrize("latency", ["realtime", "offline"])
def test_eight_callers_get_their_own_values_bit_for_bit(text, make, is_batched, latency, session):
    proto = model(text)
    graph, reference, wrong = session.load(proto), plain(proto), []
    assert graph.is_batched == is_batched
    answers = []

    def call(server, caller):
        rng = np.random.default_rng(caller)
        for _ in range(6):
            inputs = make(rng)
            result = server.submit(inputs, latency=latency).result(30)
            answers.append(caller)
            for got, want in zip(result.values(), reference.run(None, inputs), strict=True):
                if got.dtype != want.dtype or not np.array_equal(got, want):
                    wrong.append((caller, inputs, got, want))

    with Server(session, graph) as server:
        threads = [threading.Thread(target=call, args=(server, c), daemon=True) for c in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        spans = server.recorder.spans
    assert not wrong
    assert len(answers) == 48
    if not is_batched:
        assert len(spans) == 48 and {span.batch for span in spans} == {1}


def test_a_long_request_is_cut_along_the_axis_of_each_tensor(session):
    proto = model(STEP)
    rng = np.random.default_rng(0)
    inputs = {
        "x": rng.standard_normal((3, 70, 4)).astype(np.float32),
        "state": rng.standard_normal((70, 4)).astype(np.float32),
    }
    with Server(session, session.load(proto), most_items=16) as server:
        with pytest.raises(AdmissionRefused, match="more than 16 items"):
            server.submit(inputs)
        result = server.submit(inputs, latency="offline").result(30)
        assert max(span.batch for span in server.recorder.spans) <= 16
    for got, want in zip(result.values(), plain(proto).run(None, inputs), strict=True):
        assert np.array_equal(got, want)


def test_one_bad_caller_fails_alone(session):
    good, bad = {"i": np.array([2])}, {"i": np.array([0, 9])}
    with Server(session, session.load(model(TABLE))) as server:
        futures = [server.submit(bad if i % 5 == 2 else good) for i in range(20)]
        for i, future in enumerate(futures):
            if i % 5 == 2:
                assert isinstance(future.exception(30), InputError)
            else:
                assert future.result(30)["y"].tolist() == [[5, 6]]
        assert not server.notices


def test_a_declared_axis_that_the_model_does_not_keep_is_told_and_nothing_cut(session):
    """It sums over the axis that is declared: a run of three items gives one."""
    proto = model("sums (float[N, 4] x) => (float[M, 4] y) { y = ReduceSum<keepdims = 1>(x) }")
    graph = session.load(proto, batch_axis={"x": 0, "y": 0})
    inputs = {"x": np.ones((3, 4), np.float32)}
    with Server(session, graph) as server:
        error = server.submit(inputs).exception(30)
    assert isinstance(error, InputError)
    assert "came as [1, 1] for 3 items" in str(error)


def test_a_perceptron_of_two_layers_is_served_in_both_classes(session):
    proto = perceptron(layers=2)
    reference = plain(proto)
    with Server(session, session.load(proto)) as server:
        for latency in ("realtime", "offline"):
            for items in (0, 1, 5):
                x = np.full((items, 8), 0.5, np.float32)
                got = server.submit({"x": x}, latency=latency).result(30)["y"]
                assert np.array_equal(got, reference.run(None, {"x": x})[0])
