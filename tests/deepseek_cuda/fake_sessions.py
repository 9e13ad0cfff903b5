"""Sessions of the CPU and a GPU on the fake driver, in this process."""

import sys

import attrs
import fake_gpu
import onnx
from fake_cuda import FakeCuda
from onnx import TensorProto, helper

from deepseek_core import (
    Artifact,
    DeviceSpec,
    Estimate,
    Graph,
    Operation,
    Session,
    Stage,
    TensorSpec,
)
from deepseek_core.contracts.device import OpenOptions
from deepseek_core.discovery.probe_result import ProbeResult
from deepseek_core.discovery.registry import Registry
from deepseek_core.discovery.switches import Switches
from deepseek_core.runtime.limits import Limits
from deepseek_core.runtime.planner import Planner
from deepseek_core.runtime.pool import DevicePool
from deepseek_onnx import device as cpu

WIDTH = 4
OPENED = []  # GPUs, the latest last
DRIVERS = []  # what makes a driver and what spoils launches, for those opened from now on


def open_gpu(device_id, options):
    make, spoil, settings = DRIVERS[-1] if DRIVERS else (FakeCuda, None, {})
    device = fake_gpu.make_device(options.cache_dir, make(), spoil=spoil, **settings)
    device.info = gpu_info()
    device.estimate = lambda task: Estimate(seconds=1e-9, sigma=0.1, source="measured")
    OPENED.append(device)
    return device


def gpu_info():
    return attrs.evolve(fake_gpu.info(), mem_bytes=1 << 30)


def session(folder):
    """A session whose devices are `onnx:cpu` and `cuda:0`."""
    sys.modules.setdefault("fake_sessions", sys.modules[__name__])
    made = Session(registry=Registry(plugins=(), switches=Switches()), cache_dir=folder)
    rows = {
        "fake_sessions:open_gpu": (gpu_info(),),
        "deepseek_onnx.device:open_device": tuple(cpu.probe()),
    }
    results = [
        ProbeResult(
            spec=DeviceSpec(name=f"d{n}", kind="gpu", factory=factory, probe="x:y"),
            plugin=f"p{n}", dist=f"d{n}", rows=found, status="available",
        )
        for n, (factory, found) in enumerate(rows.items())
    ]  # fmt: skip
    options = OpenOptions(threads=1, cache_dir=folder)
    made._pool = DevicePool(results, options, limits=Limits.of({}), check_finite=False)
    made._planner = Planner(made._pool, lambda: made._history, 8)
    return made


def stage(name, reads, makes, constant=0.0, width=WIDTH):
    """makes[n, width] = relu(reads + constant), which is one ONNX model."""
    names = [(reads, "in"), (makes, "out")]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", width]) for n, _ in names]
    added = helper.make_tensor("c", TensorProto.FLOAT, [], [constant])
    nodes = [
        helper.make_node("Add", [reads, "c"], ["t"]),
        helper.make_node("Relu", ["t"], [makes]),
    ]
    graph = helper.make_graph(nodes, name, ends[:1], ends[1:], [added])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    specs = [TensorSpec(name=n, dtype="float32", shape=("n", width), batch_axis=0)
             for n, _ in names]  # fmt: skip
    scalar = TensorSpec(name="c", dtype="float32", shape=())
    inside = attrs.evolve(specs[0], name="t")
    made = [
        Operation(name="Add", version=17, inputs=[specs[0], scalar], outputs=[inside]),
        Operation(name="Relu", version=17, inputs=[inside], outputs=specs[1:]),
    ]
    return Stage(
        name=name, kind="layer", operations=made, inputs=specs[:1], outputs=specs[1:],
        artifact=Artifact.from_bytes(model.SerializeToString(), format="onnx"),
    )  # fmt: skip


def chain(outputs=("w",)):
    """w = relu(relu(relu(x + 1) - 2) + 3), in three stages that nobody joins."""
    stages = [
        stage("first", "x", "y", constant=1.0),
        stage("second", "y", "z", constant=-2.0),
        stage("third", "z", "w", constant=3.0),
    ]
    return Graph(name="chain", stages=stages, outputs=outputs)
