"""OpenVINO's device among others: placement, threads, options, errors, the end of the process."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("deepseek_openvino", reason="make providers")

from deepseek_core import (
    Artifact,
    LatencyClass,
    LoadOptions,
    OpenOptions,
    Server,
    Session,
    errors,
)
from deepseek_onnx.frontend import whole_model_stage
from deepseek_openvino.hooks import open_device, probe

RNG = np.random.default_rng(0)
WIDTH = 64


def network(*, unique=False):
    """x[n, 64] through three matrices; with `unique`, an operator that OpenVINO is not given."""
    weights = [
        numpy_helper.from_array(
            (RNG.standard_normal((WIDTH, WIDTH)) / WIDTH**0.5).astype(np.float32), f"w{i}"
        )
        for i in range(3)
    ]
    nodes = []
    last = "x"
    for i in range(3):
        nodes += [
            helper.make_node("MatMul", [last, f"w{i}"], [f"m{i}"], name=f"m{i}"),
            helper.make_node("Relu", [f"m{i}"], [f"r{i}"], name=f"r{i}"),
        ]
        last = f"r{i}"
    outputs = [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", WIDTH])]
    if unique:
        nodes.append(helper.make_node("Unique", [last], ["u"], name="unique"))
        outputs.append(helper.make_tensor_value_info("u", TensorProto.FLOAT, ["k"]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])
    graph = helper.make_graph(nodes, "network", [x], outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def stage_of(proto):
    return whole_model_stage(Artifact.from_bytes(proto.SerializeToString(), format="onnx"))


def right(proto: onnx.ModelProto, x):
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": x})


def batch(n=4):
    return RNG.standard_normal((n, WIDTH)).astype(np.float32)


def test_the_row_tells_what_is_there():
    (row,) = probe()
    assert (row.id, row.kind, row.status, row.evidence) == (
        "openvino:cpu", "cpu", "available", "hardware",
    )  # fmt: skip
    assert row.uses_host_cores
    assert f"onnxruntime {onnxruntime.__version__}" in row.driver
    assert row.driver in row.fingerprint


def test_float32_stays_float32(openvino):
    """Where the CPU has bfloat16, OpenVINO computes in it unless it is told not to."""
    proto, x = network(), batch(64)
    found = openvino.load(stage_of(proto), LoadOptions()).run({"x": x})["r2"]
    np.testing.assert_allclose(found, right(proto, x)[0], rtol=1e-4, atol=1e-5)


def test_a_part_that_it_is_not_given_is_placed_elsewhere(tmp_path):
    proto, x = network(unique=True), batch()
    with (
        Session(devices=["openvino"], threads=1, cache_dir=tmp_path / "a") as session,
        pytest.raises(errors.NoDevice, match="Unique is none of the operators"),
    ):
        session.plan(session.load(proto))
    with (
        Session(devices=["openvino", "onnx"], threads=1, cache_dir=tmp_path / "b") as session,
        session.plan(session.load(proto)) as plan,
    ):
        found = plan.run({"x": x})
        for value, expected in zip((found["r2"], found["u"]), right(proto, x), strict=True):
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


def test_a_whole_model_runs_on_it_and_the_report_says_so(tmp_path):
    proto, x = network(), batch()
    with (
        Session(devices=["openvino"], threads=2, cache_dir=tmp_path) as session,
        session.plan(session.load(proto)) as plan,
    ):
        assert "openvino:cpu" in plan.explain()
        np.testing.assert_allclose(plan.run({"x": x})["r2"], right(proto, x)[0], atol=1e-5)


def test_a_run_that_it_refuses_is_done_by_the_other_device(tmp_path):
    """NaN among the inputs: whichever device was chosen, the answer is the right one."""
    proto, x = network(), batch()
    x[0, 0] = np.nan
    with (
        Session(devices=["openvino", "onnx"], threads=1, cache_dir=tmp_path) as session,
        session.plan(session.load(proto)) as plan,
    ):
        found = plan.run({"x": x})["r2"]
    np.testing.assert_allclose(found, right(proto, x)[0], atol=1e-5)
    assert np.isnan(found[0]).any()


def test_a_server_answers_all_while_some_send_what_openvino_is_not_given(tmp_path):
    proto = network()
    inputs = [batch(1 + i % 3) for i in range(60)]
    for x in inputs[::10]:
        x[0, 0] = np.nan
    with (
        Session(devices=["openvino", "onnx"], threads=2, cache_dir=tmp_path) as session,
        Server(session, session.load(proto)) as server,
        ThreadPoolExecutor(8) as callers,
    ):
        found = list(callers.map(lambda x: server.submit({"x": x}).result(120)["r2"], inputs))
    for x, value in zip(inputs, found, strict=True):
        np.testing.assert_allclose(value, right(proto, x)[0], rtol=1e-4, atol=1e-5)


def test_batches_of_any_number_of_items_go_through_one_session(openvino):
    proto = network()
    loaded = openvino.load(stage_of(proto), LoadOptions())
    for n in (3, 0, 1, 300, 2):
        x = batch(n)
        found = loaded.run({"x": x})["r2"]
        assert found.shape == (n, WIDTH)
        np.testing.assert_allclose(found, right(proto, x)[0], rtol=1e-4, atol=1e-5)


def test_outputs_outlive_the_device(tmp_path):
    device = open_device("openvino:cpu", options_of(tmp_path))
    proto, x = network(), batch()
    found = device.load(stage_of(proto), LoadOptions()).run({"x": x})["r2"]
    device.close()
    gc.collect()
    again = open_device("openvino:cpu", options_of(tmp_path))
    again.load(stage_of(proto), LoadOptions()).run({"x": batch()})
    np.testing.assert_allclose(found, right(proto, x)[0], rtol=1e-4, atol=1e-5)
    again.close()


def test_eight_threads_get_their_own_answers(openvino):
    proto = network()
    loaded = openvino.load(stage_of(proto), LoadOptions())
    inputs = [batch(1 + i % 5) for i in range(64)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda x: loaded.run({"x": x})["r2"], inputs))
    for x, value in zip(inputs, found, strict=True):
        np.testing.assert_allclose(value, right(proto, x)[0], rtol=1e-4, atol=1e-5)


def options_of(tmp_path, *texts, threads=1):
    settings = {"provider_options": list(texts)} if texts else {}
    return OpenOptions(threads=threads, cache_dir=tmp_path, settings=settings)


def test_two_devices_with_other_options_do_not_mix(tmp_path):
    config = json.dumps({"CPU": {"INFERENCE_PRECISION_HINT": "bf16", "NUM_STREAMS": "1"}})
    plain = open_device("openvino:cpu", options_of(tmp_path))
    coarse = open_device("openvino:cpu", options_of(tmp_path, f"load_config={config}"))
    assert plain.info.fingerprint != coarse.info.fingerprint  # costs of one are not the other's
    proto, x = network(), batch(64)
    stage, expected = stage_of(proto), right(proto, x)[0]
    for _ in range(2):
        found = plain.load(stage, LoadOptions()).run({"x": x})["r2"]
        coarse.load(stage, LoadOptions()).run({"x": x})
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    plain.close()
    coarse.load(stage, LoadOptions()).run({"x": x})
    coarse.close()


def test_an_option_that_openvino_does_not_know_is_told_when_the_device_is_opened(tmp_path):
    with pytest.raises(errors.ConfigError, match="NONSENSE"):
        open_device("openvino:cpu", options_of(tmp_path, 'load_config={"CPU": {"NONSENSE": "1"}}'))


@pytest.mark.parametrize("latency", LatencyClass)
def test_runs_and_threads_are_those_granted(latency, tmp_path):
    device = open_device("openvino:cpu", options_of(tmp_path, threads=2))
    granted = device.concurrency(latency)
    assert granted.slots * granted.host_threads == 2
    proto, x = network(), batch()
    loaded = device.load(stage_of(proto), LoadOptions(latency=latency))
    np.testing.assert_allclose(loaded.run({"x": x})["r2"], right(proto, x)[0], atol=1e-5)
    device.close()


SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
from deepseek_core import Artifact, LoadOptions, OpenOptions
from deepseek_onnx.frontend import whole_model_stage
from deepseek_openvino.hooks import open_device

device = open_device("openvino:cpu", OpenOptions(threads=2, cache_dir=Path("cache")))
loaded = device.load(whole_model_stage(Artifact.from_path("model.onnx")), LoadOptions())
x = np.ones((64, 64), np.float32)
print("ready", flush=True)
{end}
"""


def started(tmp_path, end):
    (tmp_path / "model.onnx").write_bytes(network().SerializeToString())
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(end=end)], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip


def test_ctrl_c_ends_a_loop_of_runs(tmp_path):
    process = started(tmp_path, "while True:\n    loaded.run({'x': x})")
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT or "KeyboardInterrupt" in told


@pytest.mark.parametrize(
    "end",
    ["loaded.run({'x': x})", "loaded.run({'x': x}); loaded.close(); device.close()",
     "call = loaded.bind({'x': x}, {'r2': x.copy()}); call(); device.close()"],
)  # fmt: skip
def test_a_process_ends_well_with_sessions_open_or_closed(end, tmp_path):
    process = started(tmp_path, end)
    _, told = process.communicate(timeout=120)
    assert (process.returncode, told) == (0, "")
