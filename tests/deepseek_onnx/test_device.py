"""The CPU device: what it says of itself, what it runs, how it refuses."""

import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import as_stage, make_model, one_node, perceptron, tensor

from deepseek_core import (
    Artifact,
    DeviceSpec,
    FrontendSpec,
    HostContext,
    HostTensor,
    LatencyClass,
    LoadOptions,
    OpenOptions,
    Operation,
    Task,
    TensorSpec,
    errors,
)
from deepseek_onnx import hooks
from deepseek_onnx.attributes import FUNCTIONS
from deepseek_onnx.device import DEVICE_ID, open_device, probe


def spec(name, dtype="float32", shape=("batch", 4)):
    return TensorSpec(name=name, dtype=dtype, shape=shape)


def operation(name, *dtypes, version=17, **more):
    return Operation(
        name=name,
        version=version,
        inputs=[spec(f"x{i}", dtype) for i, dtype in enumerate(dtypes)],
        outputs=[spec("y", dtypes[0])],
        **more,
    )


def test_hooks_offer_a_device_and_a_frontend():
    context = HostContext(core_version="0.1.0", api=(1, 0))
    (device,) = hooks.ds_register_devices(context)
    (frontend,) = hooks.ds_register_frontends(context)
    assert isinstance(device, DeviceSpec)
    assert isinstance(frontend, FrontendSpec)
    assert frontend.formats == ("onnx",)


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, deepseek_onnx.hooks;"
        "heavy = {'onnx', 'onnxruntime', 'numpy', 'ml_dtypes'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_probe_finds_this_machine():
    (info,) = probe()
    assert info.id == DEVICE_ID
    assert info.evidence == "hardware"
    assert info.uses_host_cores
    assert "onnxruntime" in info.fingerprint
    assert info.mem_bytes is None or info.mem_bytes > 1 << 20


def test_an_unknown_id_is_refused(tmp_path):
    with pytest.raises(errors.DeviceUnavailable, match="onnx:cpu"):
        open_device("onnx:gpu", OpenOptions(threads=1, cache_dir=tmp_path))


@pytest.mark.parametrize(
    ("op", "ok"),
    [
        (operation("Add", "float32", "float32"), True),
        (operation("Add", "float16", "float16"), True),  # runs between casts
        (operation("Conv", "float32", "float32"), True),
        (operation("Conv", "int32", "int32"), False),
        (operation("Add", "bfloat16", "bfloat16"), False),
        (operation("Celu", "float32"), True),
        (operation("Add", "float32", "float32", version=6), False),
        (operation("Concat", "float32", "float32", attributes={"axis": 0}), True),
        (operation("Cast", "float32", attributes={"to": TensorProto.INT8}), True),
        (operation("NoSuchThing", "float32"), False),
        (operation("Quantum", "float32", domain="com.example"), False),
    ],
    ids=lambda value: value.qualified_name if isinstance(value, Operation) else "",
)
def test_support_is_what_onnxruntime_loads(cpu, op, ok):
    support = cpu.supports(op)
    assert support.ok is ok
    assert bool(support.reason) is not ok


def test_a_refusal_is_in_the_runtimes_own_words(cpu):
    reason = cpu.supports(operation("Add", "bfloat16", "bfloat16")).reason
    assert reason.startswith("NOT_IMPLEMENTED: Could not find an implementation for Add(14)")


def test_an_omitted_input_keeps_its_place(cpu):
    clip = Operation(
        name="Clip",
        version=17,
        inputs=[spec("x"), spec("", shape=()), spec("max", shape=())],
        outputs=[spec("y")],
    )
    assert cpu.supports(clip)


def test_an_attribute_may_be_an_empty_list_a_tensor_or_text(cpu):
    filled = operation("ConstantOfShape", "int64", attributes={"value": np.ones(1, np.float32)})
    assert cpu.supports(filled)
    assert cpu.supports(operation("Squeeze", "float32", version=11, attributes={"axes": []}))
    padded = operation(
        "AveragePool", "float32", attributes={"auto_pad": "VALID", "kernel_shape": [1]}
    )
    assert cpu.supports(padded)


@pytest.mark.parametrize(("inner", "ok"), [("Relu", True), ("NoSuchThing", False)])
def test_a_model_local_function_is_supported_when_its_body_is(cpu, inner, ok):
    body = helper.make_function(
        "ai.deepseek", "Twice", ["x"], ["y"],
        [helper.make_node(inner, ["x"], ["h"]), helper.make_node("Add", ["h", "h"], ["y"])],
        [helper.make_opsetid("", 18)],
    )  # fmt: skip
    twice = operation(
        "Twice",
        "float32",
        domain="ai.deepseek",
        version=1,
        attributes={FUNCTIONS: (body.SerializeToString(),)},
    )
    assert cpu.supports(twice).ok is ok


def test_a_second_question_is_answered_from_memory(cpu):
    op = operation("Conv", "float32", "float32")
    cpu.supports(op)
    start_s = time.thread_time()
    for _ in range(50):
        cpu.supports(op)
    assert (time.thread_time() - start_s) / 50 < 0.5e-3


def test_an_estimate_is_a_prior_that_grows_with_the_batch(cpu):
    stage = as_stage(perceptron(64, 4))
    small, large = (cpu.estimate(Task(stage=stage, batch=n)) for n in (1, 100_000))
    assert small.source == "prior"
    assert small.sigma == 1.0
    assert 0 < small.seconds < large.seconds


def test_an_estimate_counts_a_bound_gallery(cpu):
    model = make_model(
        [helper.make_node("MatMul", ["x", "gallery"], ["y"])],
        [tensor("x", ["n", 64]), tensor("gallery", [64, "rows"])],
        ["y"],
    )
    stage = as_stage(model)
    bound = stage.bind({"gallery": np.ones((64, 50_000), np.float32)})
    free_s, bound_s = (cpu.estimate(Task(stage=s, batch=8)).seconds for s in (stage, bound))
    assert bound_s > 10 * free_s


def test_an_estimate_takes_microseconds(cpu):
    task = Task(stage=as_stage(perceptron(64, 16)), batch=4)
    cpu.estimate(task)
    start_s = time.thread_time()
    for _ in range(200):
        cpu.estimate(task)
    assert (time.thread_time() - start_s) / 200 < 100e-6  # 20 on an idle machine


def test_the_thread_budget_goes_to_runs_offline_and_to_one_run_in_realtime(open_cpu):
    device = open_cpu(3)
    offline = device.concurrency(LatencyClass.OFFLINE)
    realtime = device.concurrency(LatencyClass.REALTIME)
    assert (offline.slots, offline.host_threads) == (3, 1)
    assert (realtime.slots, realtime.host_threads) == (1, 3)


@pytest.mark.parametrize("latency", list(LatencyClass))
def test_both_latency_classes_run(cpu, latency):
    loaded = cpu.load(as_stage(one_node("Neg", [tensor("x", ["n"])])), LoadOptions(latency=latency))
    np.testing.assert_array_equal(loaded.run({"x": np.ones(3, np.float32)})["y"], [-1, -1, -1])


def stage_of(content: bytes):
    import attrs

    artifact = Artifact.from_bytes(content, format="onnx")
    return attrs.evolve(as_stage(perceptron()), artifact=artifact)


@pytest.mark.parametrize("content", [b"", b"no model", perceptron().SerializeToString()[:-30]])
def test_a_truncated_model_is_an_artifact_error(cpu, content, capfd):
    with pytest.raises(errors.ArtifactError, match="export it again"):
        cpu.load(stage_of(content), LoadOptions())
    assert capfd.readouterr() == ("", "")


def test_an_unknown_operator_is_unsupported(cpu, capfd):
    model = one_node("NoSuchThing", [tensor("x", ["n"])])
    with pytest.raises(errors.Unsupported, match="NoSuchThing") as caught:
        cpu.load(stage_of(model.SerializeToString()), LoadOptions())
    assert caught.value.device_id == DEVICE_ID
    assert caught.value.remedy
    assert capfd.readouterr() == ("", "")


def test_no_memory_is_out_of_memory(cpu):
    shape = onnx.numpy_helper.from_array(np.array([1 << 24, 1 << 24], np.int64), "shape")
    node = helper.make_node("Expand", ["x", "shape"], ["y"])
    model = make_model([node], [tensor("x", [1, 1])], ["y"])
    model.graph.initializer.append(shape)
    loaded = cpu.load(as_stage(model), LoadOptions())
    with pytest.raises(errors.OutOfMemory) as caught:
        loaded.run({"x": np.ones((1, 1), np.float32)})
    assert caught.value.retryable


def test_to_host_takes_numpy_host_tensors_and_dlpack(cpu):
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert cpu.to_host(array) is array
    held = HostTensor(data=array.tobytes(), dtype="int32", shape=(2, 3))
    np.testing.assert_array_equal(cpu.to_host(held), array)

    class Foreign:
        def __dlpack__(self, **options):
            return array.__dlpack__(**options)

        def __dlpack_device__(self):
            return array.__dlpack_device__()

    viewed = cpu.to_host(Foreign())
    assert np.shares_memory(viewed, array)
    assert str(cpu.to_host(HostTensor(data=b"\x80?", dtype="bfloat16", shape=(1,)))[0]) == "1"


def test_to_host_refuses_what_is_elsewhere_or_no_tensor(cpu):
    class OnGpu:
        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(errors.InputError, match="device type 2"):
        cpu.to_host(OnGpu())
    with pytest.raises(errors.InputError, match="str"):
        cpu.to_host("no tensor")
    with pytest.raises(errors.InputError, match="5 bytes"):
        cpu.to_host(HostTensor(data=bytes(5), dtype="float32", shape=(2,)))


def test_closing_the_device_closes_what_it_loaded(cpu):
    loaded = cpu.load(as_stage(perceptron()), LoadOptions())
    cpu.close()
    cpu.close()
    with pytest.raises(errors.DeviceClosed):
        loaded.run({"x": np.ones((1, 8), np.float32)})
    with pytest.raises(errors.DeviceClosed):
        cpu.supports(operation("Add", "float32", "float32"))
    with pytest.raises(errors.DeviceClosed):
        cpu.load(as_stage(perceptron()), LoadOptions())
    with pytest.raises(errors.DeviceClosed):
        cpu.estimate(Task(stage=as_stage(perceptron())))


@pytest.mark.parametrize(
    ("machine", "flags", "saturates"),
    [
        ("x86_64", {"avx2"}, True),
        ("x86_64", {"avx2", "avx512_vnni"}, False),
        ("aarch64", {"asimddp"}, False),
        ("x86_64", set(), False),
    ],
)
def test_quantized_products_are_widened_only_where_they_saturate(
    monkeypatch, machine, flags, saturates
):
    from deepseek_onnx import host

    monkeypatch.setattr(host.platform, "machine", lambda: machine)
    monkeypatch.setattr(host, "cpu_flags", lambda: frozenset(flags))
    assert host.saturates_u8s8() is saturates
