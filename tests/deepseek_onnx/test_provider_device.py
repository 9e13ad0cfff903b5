"""The device of a provider, with the one that every build has: ONNX Runtime's own for the CPU."""

import attrs
import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto
from onnx.helper import make_node
from onnx_models import as_stage, make_model, perceptron, tensor

from deepseek_core import LatencyClass, LoadOptions, OpenOptions, Operation, Task, errors
from deepseek_onnx.provider import Provider
from deepseek_onnx.provider_device import ProviderDevice

pytestmark = pytest.mark.skipif(
    not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"),
    reason="this onnxruntime does not tell which provider ran what",
)
PLAIN = Provider(
    id="plain:0", kind="cpu", name="CPUExecutionProvider", remedy="-", uses_host_cores=True
)
X = {"x": np.linspace(-1, 1, 16, dtype=np.float32).reshape(2, 8)}


def no_float64(operation):
    dtypes = {spec.dtype for spec in (*operation.inputs, *operation.outputs) if spec.name}
    return f"{operation.name} of float64 is not given" if "float64" in dtypes else None


@pytest.fixture
def opened(tmp_path):
    devices = []

    def open_with(provider=PLAIN, threads=1, **settings):
        options = OpenOptions(threads=threads, cache_dir=tmp_path, settings=settings)
        devices.append(provider.open(provider.id, options))
        return devices[-1]

    yield open_with
    for device in devices:
        device.close()


def test_a_provider_that_is_there_is_an_available_row():
    (row,) = PLAIN.probe()
    assert (row.id, row.status, row.reason) == ("plain:0", "available", None)
    assert row.driver == f"CPUExecutionProvider, onnxruntime {onnxruntime.__version__}"


def test_it_computes_what_the_cpu_device_computes(opened, cpu):
    device = opened()
    assert isinstance(device, ProviderDevice)
    stage = as_stage(perceptron())
    assert device.supports_stage(stage, LatencyClass.OFFLINE)
    found = device.load(stage, LoadOptions()).run(X)["y"]
    assert np.array_equal(found, cpu.load(stage, LoadOptions()).run(X)["y"])


def test_what_lies_inside_of_a_model_is_judged_too(opened):
    """Its float64 is neither among the inputs nor among the outputs, nor does the file tell it."""
    nodes = [
        make_node("Cast", ["x"], ["wide"], to=TensorProto.DOUBLE),
        make_node("Sqrt", ["wide"], ["root"]),
        make_node("Cast", ["root"], ["y"], to=TensorProto.FLOAT),
    ]
    stage = as_stage(make_model(nodes, [tensor("x", ["n"])], [tensor("y", ["n"])]))
    assert opened().supports_stage(stage, LatencyClass.OFFLINE)
    device = opened(attrs.evolve(PLAIN, refusal=no_float64))
    support = device.supports_stage(stage, LatencyClass.OFFLINE)
    assert support.reason == "Cast of float64 is not given"
    with pytest.raises(errors.Unsupported, match="Cast of float64 is not given"):
        device.load(stage, LoadOptions())


def test_an_operation_is_judged_before_it_is_tried(opened):
    judged = attrs.evolve(PLAIN, refusal=lambda operation: "not today")
    assert opened(judged).supports(Operation(name="Relu")).reason == "not today"


def test_options_that_the_provider_does_not_know_are_told_when_it_is_opened(opened):
    azure = attrs.evolve(PLAIN, name="AzureExecutionProvider")
    if azure.name not in onnxruntime.get_available_providers():
        pytest.skip("this build lacks the provider")
    with pytest.raises(errors.ConfigError, match="provider_options nonsense=1: "):
        opened(azure, provider_options=["nonsense=1"])


def test_options_are_made_for_the_runs_and_threads_that_are_granted(opened):
    asked = []

    def options(runs, threads):
        asked.append((runs, threads))
        return {}

    device = opened(attrs.evolve(PLAIN, options=options), threads=4)
    stage = as_stage(perceptron())
    for latency, wanted in ((LatencyClass.OFFLINE, (4, 1)), (LatencyClass.REALTIME, (1, 4))):
        asked.clear()
        device.load(stage, LoadOptions(latency=latency)).run(X)
        assert asked == [wanted]
        granted = device.concurrency(latency)
        assert (granted.slots, granted.host_threads) == wanted


def test_elsewhere_than_on_the_host_one_run_at_a_time_and_a_wider_guess(opened):
    stage = as_stage(perceptron())
    near, far = opened(threads=4), opened(attrs.evolve(PLAIN, uses_host_cores=False), threads=4)
    granted = far.concurrency(LatencyClass.OFFLINE)
    assert (granted.slots, granted.host_threads) == (1, 1)
    task = Task(stage=stage, batch=2)
    assert far.estimate(task).sigma > near.estimate(task).sigma
    assert far.telemetry() == {}
    assert near.telemetry()


def test_after_close_nothing_is_answered(opened):
    device = opened()
    device.close()
    stage = as_stage(perceptron())
    for late in (
        lambda: device.supports(Operation(name="Relu")),
        lambda: device.supports_stage(stage, LatencyClass.OFFLINE),
        lambda: device.load(stage, LoadOptions()),
    ):
        with pytest.raises(errors.DeviceClosed):
            late()
