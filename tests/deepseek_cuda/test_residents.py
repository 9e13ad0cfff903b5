"""Tensors stay on the GPU between stages: the fake driver counts the copies."""

import gc

import fake_gpu
import fake_sessions
import numpy as np
import pytest
from fake_cuda import FakeCuda

from deepseek_core import LoadOptions, errors
from deepseek_cuda.conformance import matching_case
from deepseek_cuda.driver.tensors import Kept

X = (np.arange(20, dtype=np.float32).reshape(5, 4) % 7) - 3


def right(x):
    return np.maximum(np.maximum(np.maximum(x + 1, 0) - 2, 0) + 3, 0)


@pytest.fixture
def device(tmp_path):
    device = fake_gpu.make_device(tmp_path)
    yield device
    device.close()


@pytest.fixture
def session(tmp_path):
    fake_sessions.OPENED.clear()
    with fake_sessions.session(tmp_path) as made:
        yield made


def loaded(device, graph=None):
    return [device.load(stage, LoadOptions()) for stage in (graph or fake_sessions.chain()).stages]


def test_a_tensor_goes_from_stage_to_stage_without_the_host(device):
    first, second, third = loaded(device)
    device.fake.copied.clear()
    y = first.run_kept({"x": X}, frozenset({"y"}))["y"]
    z = second.run_kept({"y": y}, frozenset({"z"}))["z"]
    assert isinstance(y, Kept) and (z.dtype, z.shape) == (np.float32, (5, 4))
    w = third.run({"z": z})["w"]
    np.testing.assert_array_equal(w, right(X))
    assert device.fake.copied == ["in", "out"]
    np.testing.assert_array_equal(device.to_host(y), np.maximum(X + 1, 0))
    assert device.fake.copied == ["in", "out", "out"]
    np.testing.assert_array_equal(second.run({"y": y})["z"], device.to_host(z)), "y is as it was"


def test_a_large_tensor_is_fetched_in_blocks(device):
    first = loaded(device)[0]
    x = np.arange(10 << 20, dtype=np.float32).reshape(-1, 4)  # 40 MiB
    made = first.run_kept({"x": x}, frozenset({"y"}))["y"]
    if isinstance(made, Kept):
        made = device.to_host(made)
    np.testing.assert_array_equal(made, np.maximum(x + 1, 0))


def test_what_nobody_has_is_free_for_the_next_run(device):
    first, second, _ = loaded(device)
    for _ in range(5):
        kept = first.run_kept({"x": X}, frozenset({"y"}))
        second.run({"y": kept["y"]})
        del kept
        gc.collect()
    engines = [block for block in device.fake.blocks.values() if block.kind == "engine"]
    assert len(engines) <= 2


def test_a_tensor_outlives_the_next_runs_of_its_stage(device):
    """No run writes into what an earlier one left."""
    first = loaded(device)[0]
    kept = [first.run_kept({"x": X + n}, frozenset({"y"}))["y"] for n in range(4)]
    for number, each in enumerate(kept):
        np.testing.assert_array_equal(device.to_host(each), np.maximum(X + number + 1, 0))


def test_a_tensor_ends_with_the_stage_that_made_it(device):
    first, second, _ = loaded(device)
    kept = first.run_kept({"x": X}, frozenset({"y"}))["y"]
    first.close()
    with pytest.raises(errors.DeviceClosed, match="went with the stage that made it"):
        second.run({"y": kept})
    with pytest.raises(errors.DeviceClosed):
        device.to_host(kept)


def test_where_memory_ends_the_batch_is_cut_on_the_host(tmp_path):
    asked = []

    def spoil(inputs):
        (tensor,) = inputs.values()
        asked.append(tensor.shape[0])
        if len(asked) > 1 and tensor.shape[0] > 3:
            raise errors.OutOfMemory("full", device_id="cuda:0")

    device = fake_gpu.make_device(tmp_path, spoil=spoil)
    first, second, _ = loaded(device)
    kept = first.run_kept({"x": X}, frozenset({"y"}))
    z = second.run_kept(kept, frozenset({"z"}))["z"]
    np.testing.assert_array_equal(z, np.maximum(np.maximum(X + 1, 0) - 2, 0))
    assert asked == [5, 5, 3, 2]
    device.close()


def test_a_matcher_reads_what_a_model_left(device):
    """Memory of ONNX Runtime's, read by kernels of ours; what they leave is read by a model."""
    case = matching_case("MatchL2", "float32", items=5, k=3)
    queries = np.abs(case.inputs["query"])
    matcher = device.load(case.stage, LoadOptions())
    model = device.load(fake_sessions.stage("layer", "x", "query", width=8), LoadOptions())
    expected = matcher.run({"query": queries})
    device.fake.copied.clear()
    kept = model.run_kept({"x": queries}, frozenset({"query"}))
    found = matcher.run_kept(kept, frozenset({"indices"}))
    np.testing.assert_array_equal(found["distances"], expected["distances"])
    assert device.fake.copied == ["in", "out"]
    np.testing.assert_array_equal(device.to_host(found["indices"]), expected["indices"])


# -- in a session --------------------------------------------------------------------------------


def test_a_plan_copies_at_its_borders_only_and_says_so(session):
    plan = session.plan(fake_sessions.chain(), batch=5)
    assert set(plan.devices.values()) == {"cuda:0"}
    plan.run({"x": X})
    (gpu,) = fake_sessions.OPENED
    gpu.fake.copied.clear()
    for _ in range(3):
        np.testing.assert_array_equal(plan.run({"x": X})["w"], right(X))
    assert gpu.fake.copied == ["in", "out"] * 3
    assert plan.transfers.to_json() == {"to_device": 1, "to_host": 1, "nbytes": 2 * 5 * 4 * 4}
    assert plan.to_json()["transfers"]["to_host"] == 1
    assert plan.explain().endswith("copies of a batch: 1 to devices, 1 to the host, 160 bytes")


def test_an_output_in_the_middle_is_one_more_copy(session):
    plan = session.plan(fake_sessions.chain(outputs=("w", "y")), batch=5)
    plan.run({"x": X})
    (gpu,) = fake_sessions.OPENED
    gpu.fake.copied.clear()
    made = plan.run({"x": X})
    np.testing.assert_array_equal(made["y"], np.maximum(X + 1, 0))
    assert sorted(gpu.fake.copied) == ["in", "out", "out"]
    assert plan.transfers.to_host == 2


def test_a_stage_on_the_cpu_is_a_border(session):
    pins = {"first": "cuda:0", "second": "onnx:cpu", "third": "cuda:0"}
    plan = session.plan(fake_sessions.chain(), batch=5, pin=pins)
    np.testing.assert_array_equal(plan.run({"x": X})["w"], right(X))
    (gpu,) = fake_sessions.OPENED
    assert gpu.fake.copied == ["in", "out"] * 2
    assert (plan.transfers.to_device, plan.transfers.to_host) == (2, 2)


def test_a_stream_overlaps_batches_and_copies_no_more(session):
    plan = session.plan(fake_sessions.chain(), batch=5)
    results = list(plan.stream({"x": X + n} for n in range(20)))
    for number, result in enumerate(results):
        np.testing.assert_array_equal(result["w"], right(X + number))
    (gpu,) = fake_sessions.OPENED
    assert gpu.fake.copied.count("in") == gpu.fake.copied.count("out") == 20


@pytest.mark.parametrize("calls", [1, 5, 9, 14, 20, 27, 33, 40, 60])
def test_a_gpu_that_falls_off_the_bus_between_stages_costs_no_answer(session, calls):
    """Whatever call is the first to fail, what lay on the GPU is computed again on the CPU."""

    plan = session.plan(fake_sessions.chain(), batch=5)
    plan.warmup()
    (gpu,) = fake_sessions.OPENED
    gpu.fake.falls_off_after = gpu.fake.calls + calls
    results = list(plan.stream([{"x": X + n} for n in range(8)], max_in_flight=3))
    for number, result in enumerate(results):
        np.testing.assert_array_equal(result["w"], right(X + number))
    assert set(results[-1].ran_on.values()) == {"onnx:cpu"}
    assert any("CUDA_ERROR_UNKNOWN" in notice for notice in plan.notices)
    assert set(plan.devices.values()) == {"onnx:cpu"}
    assert plan.transfers.to_json() == {"to_device": 0, "to_host": 0, "nbytes": 0}


def test_the_driver_may_hold_memory_of_a_pinned_pool_alone(tmp_path):
    """Nothing of a session is left on the GPU at its end; the fake accuses whoever leaves some."""
    with fake_sessions.session(tmp_path) as session:
        plan = session.plan(fake_sessions.chain(), batch=5)
        plan.run({"x": X})
        gpu: FakeCuda = fake_sessions.OPENED[-1].fake
    assert gpu.is_closed
