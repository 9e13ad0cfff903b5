"""A GPU as a device: memory that does not suffice, faults in mid-run, what is freed when."""

import gc
import time

import attrs
import fake_gpu
import numpy as np
import pytest
from fake_cuda import FakeCuda
from onnx import TensorProto, helper, numpy_helper

from deepseek_core import (
    Artifact,
    LatencyClass,
    LoadOptions,
    Operation,
    Session,
    Task,
    TensorSpec,
    errors,
)
from deepseek_cuda.conformance import layer, layer_case
from deepseek_cuda.driver.buffers import pinned_pool
from deepseek_cuda.driver.pipeline import Pipeline


@pytest.fixture
def device(tmp_path):
    device = fake_gpu.make_device(tmp_path)
    yield device
    device.close()


def too_large(most_items):
    """An engine without space for more items than these; what it was asked for is noted."""

    def spoil(inputs):
        items = inputs["x"].shape[0]
        spoil.asked.append(items)
        if items > most_items:
            raise errors.OutOfMemory(f"{items} items do not fit", device_id="cuda:0")

    spoil.asked = []
    return spoil


def test_a_batch_that_does_not_fit_is_halved_until_it_does(tmp_path):
    spoil = too_large(40)
    device = fake_gpu.make_device(tmp_path, spoil=spoil)
    executable = device.load(layer(), LoadOptions())
    case = layer_case(100)
    case.check(executable.run(case.inputs))
    assert spoil.asked == [100, 50, 25, 25, 25, 25]
    spoil.asked.clear()
    case.check(executable.run(case.inputs))
    assert spoil.asked == [25] * 4, "what fits is remembered"
    device.close()


def test_memory_of_the_driver_that_runs_out_is_no_different(tmp_path):
    case = layer_case(1 << 16)  # 1 MiB in
    device = fake_gpu.make_device(tmp_path, FakeCuda(capacity=1 << 19))
    case.check(device.load(layer(), LoadOptions()).run(case.inputs))
    device.close()


def test_an_item_that_does_not_fit_is_an_error_with_its_name(tmp_path):
    device = fake_gpu.make_device(tmp_path, spoil=too_large(0))
    executable = device.load(layer(), LoadOptions())
    with pytest.raises(
        errors.OutOfMemory, match=r"one of 3 items does not fit, with .* of 1,073,741,824"
    ) as caught:
        executable.run(layer_case(3).inputs)
    assert caught.value.remedy == "use a smaller model or a GPU with more memory"
    device.close()


def test_a_stage_that_can_not_be_cut_is_not_cut(tmp_path):
    spoil = too_large(0)
    device = fake_gpu.make_device(tmp_path, spoil=spoil)
    whole = attrs.evolve(layer(), batched=False)
    with pytest.raises(errors.OutOfMemory) as caught:
        device.load(whole, LoadOptions()).run(layer_case(8).inputs)
    assert spoil.asked == [8] and caught.value.remedy == "use a smaller batch"
    device.close()


def test_a_large_batch_goes_in_pieces_that_overlap(tmp_path):
    spoil = too_large(1 << 30)
    device = fake_gpu.make_device(tmp_path, spoil=spoil)
    executable = device.load(layer(), LoadOptions())
    case = layer_case(3 << 20)  # 48 MiB
    case.check(executable.run(case.inputs))
    assert spoil.asked == [1 << 20] * 3
    device.close()


@pytest.mark.parametrize("calls", [0, 2, 5, 8])
def test_a_gpu_that_falls_off_the_bus_in_mid_run_is_a_named_error(device, calls, caplog):
    executable = device.load(layer(), LoadOptions())
    case = layer_case(5)
    case.check(executable.run(case.inputs))
    fake, start_s = device.fake, time.monotonic()
    fake.falls_off_after = fake.calls + calls
    with pytest.raises(errors.DeviceLost, match="CUDA_ERROR_UNKNOWN") as caught:
        executable.run(case.inputs)
    assert caught.value.retryable and "nvidia-smi" in caught.value.remedy
    assert caught.value.device_id == "cuda:0"
    assert time.monotonic() - start_s < 30
    executable.close()
    device.close()  # neither raises nor hangs: nothing is left to free
    assert "did not answer while it was closed" in caplog.text


def test_after_a_fault_in_mid_run_nothing_is_used_again(device):
    """What was on its way may still be written to: the memory is nobody's any more."""
    executable = device.load(layer(), LoadOptions())
    fake = device.fake
    fake.falls_off_after = fake.calls + 5
    with pytest.raises(errors.DeviceLost):
        executable.run(layer_case(5).inputs)
    fake.falls_off_after = None
    with pytest.raises(errors.DeviceLost, match="unknown state"):
        executable.run(layer_case(5).inputs)
    executable.close()
    assert fake.blocks, "nothing was freed"
    fake.blocks.clear(), fake.streams.clear(), fake.events.clear()  # the driver's, not ours


def test_a_gpu_that_hangs_is_a_time_out_by_the_setting(tmp_path):
    device = fake_gpu.make_device(tmp_path, run_limit_s=3.0)
    executable = device.load(layer(), LoadOptions())
    device.fake.hangs = True
    with pytest.raises(errors.DeviceTimeout, match="did not finish a run in 3 s"):
        executable.run(layer_case(5).inputs)


@pytest.mark.parametrize("value", [0, -1, "fast", float("inf"), True])
def test_a_limit_that_is_none_is_refused(tmp_path, value):
    with pytest.raises(errors.ConfigError, match="run_limit_s"):
        fake_gpu.make_device(tmp_path, run_limit_s=value)


def test_a_setting_that_does_not_exist_is_refused_by_the_host():
    with pytest.raises(errors.ConfigError, match="no setting 'speed'"):
        Session(settings={"gpu_cuda": {"speed": 3}}).close()


def test_constants_are_copied_once(device):
    """A matrix that is a constant stays on the device; each run copies the batch alone."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    info = helper.make_tensor_value_info
    ends = [info("x", TensorProto.FLOAT, ["n", 4]), info("w", TensorProto.FLOAT, [4, 4])]
    graph = helper.make_graph(nodes, "g", ends, [info("y", TensorProto.FLOAT, ["n", 4])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    w = TensorSpec(name="w", dtype="float32", shape=(4, 4))
    artifact = Artifact.from_bytes(model.SerializeToString(), format="onnx")
    stage = attrs.evolve(layer(), inputs=[*layer().inputs, w], artifact=artifact)
    weights = np.arange(16, dtype=np.float32).reshape(4, 4)
    executable = device.load(stage.bind({"w": weights}), LoadOptions())
    copies, copy_in = [], device.fake.copy_in
    device.fake.copy_in = lambda to, of, nbytes, s: (
        copies.append(nbytes),
        copy_in(to, of, nbytes, s),
    )
    x = layer_case(5).inputs["x"]
    for _ in range(2):
        np.testing.assert_array_equal(executable.run({"x": x})["y"], x @ weights)
    assert copies == [x.nbytes, x.nbytes]


def test_a_large_array_is_copied_through_a_small_block():
    fake = FakeCuda()
    fake.use()
    pipeline = Pipeline(fake, pinned_pool(fake, 1 << 30), "cuda:0", 10.0)
    array = np.arange(5 << 20, dtype=np.uint64)  # 40 MiB
    tensor = pipeline.keep(array)
    kept = fake.blocks[tensor.address].array[: array.nbytes]
    np.testing.assert_array_equal(kept.view(np.uint64), array)
    pinned = [block.nbytes for block in fake.blocks.values() if block.kind == "pinned"]
    assert pinned == [16 << 20]
    assert pipeline.keep(np.empty((0, 3), np.float32)).shape == (0, 3)
    pipeline.close()
    fake.close()


def test_an_input_that_may_be_left_out_is_left_out(device):
    """The model has a default for it."""
    info = helper.make_tensor_value_info
    x, y = (info(name, TensorProto.FLOAT, ["n", 4]) for name in "xy")
    bias = numpy_helper.from_array(np.float32(2), "bias")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "bias"], ["y"])], "g",
        [x, info("bias", TensorProto.FLOAT, [])], [y], [bias],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    spec = TensorSpec(name="bias", dtype="float32", shape=(), optional=True)
    artifact = Artifact.from_bytes(model.SerializeToString(), format="onnx")
    stage = attrs.evolve(layer(), inputs=[*layer().inputs, spec], artifact=artifact)
    executable = device.load(stage, LoadOptions())
    given = layer_case(3).inputs["x"]
    np.testing.assert_array_equal(executable.run({"x": given})["y"], given + 2)
    five = executable.run({"x": given, "bias": np.asarray(5, np.float32)})["y"]
    np.testing.assert_array_equal(five, given + 5)


def test_an_executable_that_nobody_has_gives_its_memory_back(device):
    executable = device.load(layer(), LoadOptions())
    executable.run(layer_case(5).inputs)
    held = len(device.fake.streams)
    del executable
    gc.collect()
    device.load(layer(), LoadOptions())
    assert len(device.fake.streams) == held


def test_a_stage_that_was_tried_is_not_opened_again(device):
    stage = layer()
    assert device.supports_stage(stage, LatencyClass.OFFLINE)
    streams = set(device.fake.streams)
    taken = device.load(stage, LoadOptions())
    assert set(device.fake.streams) == streams
    assert device.supports_stage(layer(), LatencyClass.OFFLINE)
    assert device.supports_stage(layer(), LatencyClass.OFFLINE)
    assert len(device.fake.streams) == 2 * len(streams), "one that nobody took is freed"
    taken.close()


def test_a_stage_that_does_not_load_is_refused_in_its_words(device):
    broken = attrs.evolve(layer(), artifact=Artifact.from_bytes(b"no model", format="onnx"))
    assert "can't load stage 'layer'" in device.supports_stage(broken, LatencyClass.OFFLINE).reason
    engine = attrs.evolve(layer(), artifact=Artifact.from_bytes(b"", format="engine"))
    assert (
        "runs onnx stages, not engine" in device.supports_stage(engine, LatencyClass.OFFLINE).reason
    )


@pytest.mark.parametrize("dtype", ["string", "bfloat16", "float8_e4m3fn", "int4", "complex64"])
def test_types_that_a_gpu_does_not_take_are_refused(device, dtype):
    spec = TensorSpec(name="x", dtype=dtype, shape=("n",))
    operation = Operation(name="Identity", version=17, inputs=[spec], outputs=[spec])
    assert dtype in device.supports(operation).reason
    stage = attrs.evolve(layer(), inputs=[spec], operations=[operation])
    assert dtype in device.supports_stage(stage, LatencyClass.OFFLINE).reason


def test_the_way_over_the_bus_is_part_of_an_estimate(device):
    small, large = (device.estimate(Task(stage=layer(), batch=n)).seconds for n in (1, 10**6))
    assert large - small == pytest.approx(32e6 / 10e9, rel=0.01)


def test_readings_come_from_nvml(device):
    assert device.telemetry() == {"busy": None}
