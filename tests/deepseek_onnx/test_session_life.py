"""Sessions: how they are set, shared, used by several threads at once, and closed."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_node
from onnx_models import as_stage, make_model, perceptron, tensor
from three_ways import as_artifact, bits, cut, plainly

from deepseek_core import LatencyClass, LoadOptions, OpenOptions, Session, errors
from deepseek_onnx.device import DEVICE_ID, open_device
from deepseek_onnx.frontend import whole_model_stage
from deepseek_onnx.settings import Settings

X = {"x": np.ones((2, 8), np.float32)}


@pytest.fixture
def opened(tmp_path):
    devices = []

    def open_with(**settings):
        options = OpenOptions(threads=1, cache_dir=tmp_path, settings=settings)
        devices.append(open_device(DEVICE_ID, options))
        return devices[-1]

    yield open_with
    for device in devices:
        device.close()


@pytest.mark.parametrize("level", ["disabled", "basic", "extended", "layout", "all"])
def test_every_level_of_optimization_runs_and_is_told(opened, level):
    device = opened(graph_optimization=level)
    whole = plainly(perceptron(), X)["y"]
    found = device.load(as_stage(perceptron()), LoadOptions()).run(X)["y"]
    np.testing.assert_allclose(found, whole, rtol=1e-6)
    told = f"graph_optimization={level}" in device.info.fingerprint
    assert told is (level != "all")  # costs of other levels are other costs


@pytest.mark.parametrize(
    "settings",
    [
        {"graph_optimization": "ALL"}, {"graph_optimization": 1}, {"graph_optimization": None},
        {"graph_optimization": ["all"]}, {"graph_optimization": {}}, {"custom_operators": 5},
        {"custom_operators": None}, {"custom_operators": [None]}, {"custom_operators": b"a.so"},
        {"custom_operators": ""}, {"custom_operators": {"a": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_a_setting_that_does_not_fit_is_refused(settings):
    with pytest.raises(errors.ConfigError):
        Settings.of(settings)


@pytest.mark.parametrize("settings", [{"nothing": 1}, {1: 2}], ids=str)
def test_a_setting_that_is_not_there_is_refused(settings):
    with pytest.raises(errors.ConfigError, match="there is no setting"):
        Session(settings={"cpu_onnx": settings})


def test_libraries_are_given_as_text_or_paths():
    for given in ("a.so", ["a.so"], Path("a.so"), (Path("a.so"),)):
        assert Settings.of({"custom_operators": given}).custom_operators == ("a.so",)


@pytest.mark.parametrize("what", ["gone", "no library", "a folder", "no operators"])
def test_a_library_of_operators_that_does_not_load_is_told_when_the_device_is_opened(
    opened, tmp_path, what
):
    import _ctypes

    (tmp_path / "no library").write_text("no library")
    (tmp_path / "a folder").mkdir()
    path = _ctypes.__file__ if what == "no operators" else str(tmp_path / what)
    with pytest.raises(errors.ConfigError, match="custom_operators: "):
        opened(custom_operators=[path])


def test_a_user_is_told_which_library_does_not_load(tmp_path):
    settings = {"cpu_onnx": {"custom_operators": ["/nowhere/operators.so"]}}
    with Session(devices=[DEVICE_ID], threads=1, cache_dir=tmp_path, settings=settings) as session:
        with pytest.raises(errors.DeepSeekError, match=r"/nowhere/operators\.so"):
            session.plan(session.load(perceptron()))
        assert any("/nowhere/operators.so" in notice for notice in session.notices)


def test_a_setting_that_is_named_by_a_number_is_told_as_one_that_does_not_exist(tmp_path):
    settings = {"cpu_onnx": {1: 2}}
    with pytest.raises(errors.ConfigError, match="there is no setting 1"):
        Session(devices=[DEVICE_ID], threads=1, cache_dir=tmp_path, settings=settings)


def test_one_graph_shares_a_session_and_another_of_the_same_file_has_its_own(cpu, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(perceptron().SerializeToString())
    stage, other = (whole_model_stage(as_artifact(path)) for _ in range(2))
    assert stage.fingerprint == other.fingerprint
    first, second, third = (cpu.load(s, LoadOptions()) for s in (stage, stage, other))
    assert first._session is second._session
    assert first._session is not third._session
    first.close()
    assert bits(dict(second.run(X))) == bits(dict(third.run(X)))


def test_two_threads_run_one_session_at_once(cpu):
    loaded = cpu.load(as_stage(perceptron(64, 3)), LoadOptions())
    rng = np.random.default_rng(0)
    inputs = [{"x": rng.standard_normal((i % 7, 64)).astype(np.float32)} for i in range(40)]
    expected = [bits(dict(loaded.run(given))) for given in inputs]
    found: dict[int, list] = {}
    barrier = threading.Barrier(2)

    def work(number):
        barrier.wait()
        found[number] = [bits(dict(loaded.run(given))) for given in inputs]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: expected, 1: expected}


def test_two_threads_load_one_stage_at_once_and_open_one_session(cpu):
    stage, loaded = as_stage(perceptron(64, 3)), []
    barrier = threading.Barrier(2)

    def work():
        barrier.wait()
        loaded.append(cpu.load(stage, LoadOptions()))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded[0]._session is loaded[1]._session


def test_a_session_that_is_closed_during_a_run_lets_it_end(cpu):
    loaded = cpu.load(as_stage(perceptron(512, 8)), LoadOptions())
    x = {"x": np.ones((256, 512), np.float32)}
    expected = bits(dict(loaded.run(x)))
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(loaded.run, x) for _ in range(8)]
        loaded.close()
        for run in runs:
            try:
                assert bits(dict(run.result(10))) == expected
            except errors.DeviceClosed:
                continue


def test_no_file_or_thread_is_left_of_300_sessions(open_cpu, tmp_path):
    device = open_cpu(2)
    path = tmp_path / "beside.onnx"
    onnx.save_model(
        perceptron(), path, save_as_external_data=True, location="data.bin", size_threshold=0
    )
    inside = tmp_path / "inside.onnx"
    inside.write_bytes(perceptron(600).SerializeToString())
    parts = cut(device, inside, "Relu").stages

    def use(number):
        stage = whole_model_stage(as_artifact(path)) if number % 3 else parts[0]
        latency = LatencyClass.REALTIME if number % 2 else LatencyClass.OFFLINE
        loaded = device.load(stage, LoadOptions(latency=latency))
        if number % 3 == 1:
            loaded.run(X)
        loaded.close()

    def held():
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    for number in range(6):
        use(number)
    before = held()
    for number in range(294):
        use(number)
    assert held() == before


def failing(op, inputs, **attributes):
    node = make_node(op, [value.name for value in inputs], ["y"], **attributes)
    return as_stage(make_model([node], inputs, ["y"]))


INDEX = tensor("i", ["k"], TensorProto.INT64)


@pytest.mark.parametrize(
    ("op", "inputs", "given", "words"),
    [
        ("Gather", [tensor("x", ["n"]), INDEX], {"x": np.ones(3, np.float32), "i": np.array([7])},
         r"idx=7 must be within the inclusive range \[-3,2\]"),
        ("Reshape", [tensor("x", ["n"]), INDEX], {"x": np.ones(3, np.float32), "i": np.array([7])},
         r"Input shape:\{3\}, requested shape:\{7\}"),
        ("MatMul", [tensor("x", ["n", "m"]), tensor("z", ["k", "l"])],
         {"x": np.ones((2, 3), np.float32), "z": np.ones((2, 3), np.float32)}, "MatMul"),
    ],
    ids=["Gather", "Reshape", "MatMul"],
)  # fmt: skip
def test_an_operator_s_own_words_and_limits_are_kept(cpu, op, inputs, given, words):
    with pytest.raises(errors.InputRejected, match=words) as caught:
        cpu.load(failing(op, inputs), LoadOptions()).run(given)
    assert "/onnxruntime_src/" not in str(caught.value)  # where in its sources tells a user nothing


def test_a_failure_does_not_harm_the_next_run(cpu):
    loaded = cpu.load(failing("Gather", [tensor("x", ["n"]), INDEX]), LoadOptions())
    x = np.arange(3, dtype=np.float32)
    for _ in range(3):
        with pytest.raises(errors.InputRejected):
            loaded.run({"x": x, "i": np.array([7])})
        assert bits(loaded.run({"x": x, "i": np.array([2])})["y"]) == bits(x[2:])
