"""ONNX Runtime's providers in the order of the user: TensorRT alone, before CUDA, or not at all."""

import json
import logging
import shutil

import attrs
import fake_gpu
import machines
import onnxruntime
import pytest

from deepseek_core import LoadOptions, errors
from deepseek_cuda.conformance import layer, layer_case
from deepseek_cuda.discovery.gpus import Gpu, Unit
from deepseek_cuda.discovery.tensorrt import TensorRt, engine_folder, usable
from deepseek_cuda.onnx_stages import engine
from deepseek_cuda.onnx_stages.engine import open_session
from deepseek_cuda.onnx_stages.provider import Provider, gpu_provider
from deepseek_cuda.settings import Settings

CPU = "CPUExecutionProvider"
# Of every official build; it takes nodes of its own domain alone.
OTHER = "AzureExecutionProvider"
MODEL = layer().artifact.read()


def chain(*names):
    return Provider(listed=[(name, {}) for name in names], device="cpu")


@pytest.mark.parametrize("value", ["", "cpu", "cuda,cuda", "tensorrt,cpu", 3, ["cuda", 1]])
def test_a_list_that_is_none_is_refused(value, tmp_path):
    with pytest.raises(errors.ConfigError, match="onnx_providers") as caught:
        fake_gpu.make_device(tmp_path, onnx_providers=value)
    assert "gpu_cuda.onnx_providers=tensorrt,cuda" in caught.value.remedy


@pytest.mark.parametrize("value", ["tensorrt, cuda", ["tensorrt", "cuda"]])
def test_the_order_is_the_users(value):
    assert Settings.of({"onnx_providers": value}).onnx_providers == ("tensorrt", "cuda")
    assert Settings.of({}).onnx_providers == ("cuda",)


def test_both_compute_on_our_stream_and_engines_are_kept(tmp_path):
    made = gpu_provider(["tensorrt", "cuda"], tmp_path, 2, 77)
    assert made.names == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    for _name, options in made.listed:
        assert (options["device_id"], options["user_compute_stream"]) == ("2", "77")
    first = dict(made.listed)["TensorrtExecutionProvider"]
    assert (first["trt_engine_cache_enable"], first["trt_engine_cache_path"]) == (
        "1",
        str(tmp_path),
    )
    assert made.is_built and not gpu_provider(["cuda"], tmp_path, 2, 77).is_built


def test_what_the_first_does_not_take_goes_to_the_next_that_is_listed():
    assert open_session(MODEL, chain(OTHER, CPU), strict=True).get_providers() == [OTHER, CPU]


def test_what_no_listed_one_takes_is_refused_and_not_given_to_the_cpu(capfd):
    with pytest.raises(Exception, match="fallback to CPU EP has been explicitly disabled"):
        open_session(MODEL, chain(OTHER), strict=True)
    assert CPU in open_session(MODEL, chain(OTHER), strict=False).get_providers()
    told = capfd.readouterr()
    assert "EP Error" not in told.out + told.err, "no provider of its own choice was tried"


class Sessions:
    """Stands for `onnxruntime`: its sessions take these providers, whatever was asked for."""

    SessionOptions, RunOptions = onnxruntime.SessionOptions, onnxruntime.RunOptions

    def __init__(self, *taken):
        self.taken, self.asked = taken, []

    def InferenceSession(self, source, options, **more):
        self.asked.append((options, more))
        return self

    def get_providers(self):
        return [*self.taken, CPU]


@pytest.mark.parametrize("taken", [["CUDAExecutionProvider"], []])
def test_a_provider_that_is_left_out_without_a_word_is_noticed(monkeypatch, tmp_path, taken):
    sessions = Sessions(*taken)
    monkeypatch.setattr(engine, "ort", sessions)
    both = gpu_provider(["tensorrt", "cuda"], tmp_path, 0, 1)
    with pytest.raises(RuntimeError, match="TensorrtExecutionProvider could not be used"):
        open_session(MODEL, both, strict=True)
    options, more = sessions.asked[0]
    assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
    assert [name for name, _ in more["providers"]] == both.names
    assert more["enable_fallback"] == 0


MISSING = TensorRt(reason="libnvinfer.so.10: no such file", remedy="pip install x")


def test_where_tensorrt_is_missing_the_next_listed_one_runs_and_the_log_says_so(caplog):
    with caplog.at_level(logging.WARNING):
        assert usable(["tensorrt", "cuda"], MISSING, "cuda:0") == (("cuda",), "")
    assert "ONNX stages run on the next listed provider, cuda -> pip install x" in caplog.text


def test_tensorrt_alone_has_no_next_one():
    with pytest.raises(errors.DeviceUnavailable, match="no other provider is listed") as caught:
        usable(["tensorrt"], MISSING, "cuda:0")
    assert caught.value.remedy == "pip install x"


def test_engines_of_another_driver_gpu_or_version_are_never_loaded(tmp_path):
    unit = Unit(gpu=Gpu(index=0, name="A100", capability=(8, 0)))
    other = Unit(gpu=attrs.evolve(unit.gpu, name="H100"))
    facts = ("550", "1.32", "10.13.3")
    folders = [engine_folder(tmp_path, unit, *facts), engine_folder(tmp_path, other, *facts)]
    for number in range(3):
        changed = [*facts[:number], "other", *facts[number + 1 :]]
        folders.append(engine_folder(tmp_path, unit, *changed))
    assert len(set(folders)) == len(folders) == 5
    assert engine_folder(tmp_path, unit, *facts) == folders[0]


def test_warming_up_builds_what_the_first_run_would(tmp_path):
    case = layer_case(3)
    runs = []
    device = fake_gpu.make_device(tmp_path, spoil=lambda inputs: runs.append(inputs["x"].shape))
    executable = device.load(layer(), LoadOptions())
    executable.warmup(8)
    assert runs == [], "CUDA's provider builds nothing"
    executable._engine.is_built = True
    executable.warmup(8)
    assert runs == [(8, 4)]
    case.check(executable.run(case.inputs))
    device.close()


ASK = """
import json, sys
from pathlib import Path
from deepseek_core import OpenOptions, errors
from deepseek_cuda.opening import open_device
options = OpenOptions(threads=1, cache_dir=Path("kept"), settings=json.loads(sys.argv[1]))
try:
    device = open_device("cuda:0", options)
    folders = sorted(str(p) for p in Path("kept").rglob("*") if p.is_dir())
    names = device._parts.provider(1).names
    print(json.dumps([names, device.info.fingerprint[-16:], folders[-1:]]))
    device.close()
except errors.DeviceUnavailable as error:
    print(json.dumps([error.message, error.remedy]))
"""


@pytest.fixture
def opened(tmp_path, library, monkeypatch):
    """What opening a device with these providers says, on a machine with a build of our own."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "both"
    machines.make_library(folder)
    machines.compiled(machines.HERE / "fake_cuda.c", folder / "libcuda.so.1")
    uuid = machines.A100["uuid"].removeprefix("GPU-").replace("-", "")

    def ask(providers, build):
        environment = machines.environment(
            tmp_path, folder, build, machines.described([machines.A100]), FAKE_CUDA_UUID=uuid
        )
        asked = json.dumps({"onnx_providers": providers})
        return json.loads(machines.run(environment, "-c", ASK, asked).splitlines()[-1])

    return ask


def test_a_device_takes_tensorrt_by_the_real_loader(opened, tmp_path):
    build = machines.make_build(tmp_path / "ort")
    message, _remedy = opened("tensorrt", build)
    assert "this build of onnxruntime 1.99.0 has no TensorRT provider" in message
    machines.add_tensorrt(build)
    names, told, folders = opened("tensorrt,cuda", build)
    assert names == ["TensorrtExecutionProvider", "CUDAExecutionProvider"]
    assert told.endswith("10.13.3"), "costs of another TensorRT are others"
    assert folders and folders[0].startswith("kept/cuda/tensorrt/")
    assert opened("cuda", build)[0] == ["CUDAExecutionProvider"]


def test_a_tensorrt_that_is_missing_is_named_with_the_wheel_that_brings_it(opened, tmp_path):
    build = machines.make_build(tmp_path / "ort")
    machines.add_tensorrt(build, lacks="libnvinfer.so.10")
    message, remedy = opened("tensorrt", build)
    assert "libnvinfer.so.10: cannot open shared object file" in message
    assert remedy == 'pip install "tensorrt-cu12==10.*"'
    shutil.rmtree(tmp_path / "kept", ignore_errors=True)
    assert opened("tensorrt,cuda", build)[0] == ["CUDAExecutionProvider"]
