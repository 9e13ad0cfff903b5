"""A whole model through the SDK on the fake driver: planned, run, moved when the GPU is lost."""

import json
import os
import sys
from pathlib import Path

import machines
import numpy as np
import onnxruntime
import pytest

sys.path.insert(0, str(machines.HERE.parent / "end_to_end"))

from newcomer import furnish

from deepseek_cuda.conformance_files import program

HOOKS = """
from deepseek_core import DeviceSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [DeviceSpec(name="fakegpu", kind="gpu", factory="zoo_gpu.device:open_device",
                       probe="zoo_gpu.device:probe")]
"""
DEVICE = """
import os
import fake_gpu
from deepseek_core import Estimate

def probe():
    return [fake_gpu.info()]

def open_device(device_id, options):
    programs = fake_gpu.programs() if os.environ.get("PROGRAMS") else {}
    device = fake_gpu.make_device(options.cache_dir, traced=True, openers=programs)
    device.estimate = lambda task: Estimate(seconds=1e-9, sigma=0.1, source="measured")
    load = device.load

    def falling(stage, how):
        loaded = load(stage, how)
        device.fake.falls_off_after = device.fake.calls + 8
        return loaded

    if os.environ.get("FALLS_OFF"):
        device.load = falling
    return device
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models and arrays, and a distribution whose device is a GPU on the fake driver."""
    folder = furnish(tmp_path_factory.mktemp("desk"))
    package, info = folder / "site/zoo_gpu", folder / "site/zoo_gpu-1.0.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").touch()
    (package / "hooks.py").write_text(HOOKS)
    (package / "device.py").write_text(DEVICE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-gpu\nVersion: 1.0.0\n")
    (info / "entry_points.txt").write_text("[deepseek_sdk.plugins.v1]\nzoo_gpu = zoo_gpu.hooks\n")
    return folder


@pytest.fixture
def ds_sdk(folder, tmp_path, monkeypatch):
    """What a command of the SDK tells as JSON, with the CPU and the fake GPU."""
    paths = str(folder / "site"), str(machines.HERE), os.environ.get("PYTHONPATH", "")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "DEEPSEEK_PLUGINS": "cpu_onnx,fpga_opencl,zoo_gpu",
        "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
        "DEEPSEEK_CONFIG": str(tmp_path / "config.toml"),
    }
    monkeypatch.chdir(folder)

    def ask(*command, **variables):
        told = machines.run(environment | variables, "-m", "deepseek_core", *command, "--json")
        return json.loads(told)

    return ask


def arrays(*names):
    found = {}
    for name in names:
        with np.load(name) as archive:
            found |= {key: archive[key] for key in archive.files}
    return found


def reference(model, inputs):
    session = onnxruntime.InferenceSession(
        Path(model).read_bytes(), providers=["CPUExecutionProvider"]
    )
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def test_a_model_with_a_matcher_runs_on_the_gpu_alone(ds_sdk):
    pytest.importorskip("triton", reason="the matcher is supported where it can be compiled")
    if not any(row["id"].startswith("opencl:") for row in ds_sdk("devices")["devices"]):
        pytest.skip("a model is cut where devices differ: no OpenCL device, pip install pyopencl")
    report = ds_sdk(
        "run", "match.onnx", "--input", "x.npz", "--input", "known.npz", "--constant", "gallery",
        "--constant", "k", "--pin", "gemm=cuda:0", "--pin", "matching=cuda:0",
        "--output", "matches.npz", "--no-calibrate",
    )  # fmt: skip
    assert report["ran_on"] == {"gemm": ["cuda:0"], "matching": ["cuda:0"]}
    made, right = arrays("matches.npz"), reference("match.onnx", arrays("x.npz", "known.npz"))
    assert made.keys() == right.keys()
    for name, array in right.items():
        np.testing.assert_allclose(made[name], array, rtol=1e-5, err_msg=name)


def test_a_gpu_that_is_lost_in_mid_run_costs_no_answer(ds_sdk):
    """The rest of the batches runs on the CPU, and the report says so."""
    command = "run", "layer.onnx", "--input", "x.npz", "--output", "y.npz", "--no-calibrate"
    assert ds_sdk(*command)["ran_on"]["gemm"] == ["cuda:0"], "it is what the plan chooses"
    report = ds_sdk(*command, FALLS_OFF="1")
    assert report["ran_on"]["gemm"] == ["onnx:cpu"]
    np.testing.assert_array_equal(
        arrays("y.npz")["y"], reference("layer.onnx", arrays("x.npz"))["y"]
    )


def test_a_program_of_torch_runs_by_the_command(ds_sdk, folder):
    """Read by the real frontend, cut into batches by the axis that the caller declares."""
    pytest.importorskip("torch", reason="pip install torch")
    (folder / "relu.pt2").write_bytes(program())
    x = np.arange(-40, 40, dtype=np.float32).reshape(20, 4)
    np.savez(folder / "many.npz", x=x)
    report = ds_sdk(
        "run", "relu.pt2", "--input", "many.npz", "--output", "relu.npz", "--no-calibrate",
        "--batch-axis", "s0", "--batch", "8",
        PROGRAMS="1", DEEPSEEK_PLUGINS="cpu_onnx,gpu_cuda,zoo_gpu",
    )  # fmt: skip
    assert report["ran_on"] == {"program": ["cuda:0"]}
    np.testing.assert_array_equal(arrays("relu.npz")["y"], np.maximum(x, 0))
