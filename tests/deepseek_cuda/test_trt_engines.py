"""Engines of deepseek-trt: run where they are for this GPU, else refused with the command."""

import json
from importlib.util import find_spec
from pathlib import Path

import fake_gpu
import fake_trt
import numpy as np
import pytest
from fake_cuda import FakeCuda

from deepseek_core import Artifact, LatencyClass, LoadOptions, Support, errors
from deepseek_cuda.place import Place
from deepseek_cuda.trt_engines import _edge
from deepseek_cuda.trt_engines.frontend import EngineFrontend
from deepseek_cuda.trt_engines.opener import EngineOpener
from deepseek_cuda.trt_engines.runtime import Runtime

X = (np.arange(20, dtype=np.float32).reshape(5, 4) % 7) - 3


def yes(_operation):
    return {"cuda:0": Support.yes()}


def stage_of(path):
    (stage,) = EngineFrontend().read(Artifact.from_path(path), yes).stages
    return stage


def made(folder, fake=None, *, name="A100", capability=(8, 0), module="tensorrt", **how):
    """A device that opens engines; `device.runtime` is its TensorRT."""
    fake = fake or FakeCuda()
    runtime = fake_trt.FakeRuntime(fake, **how)
    place = Place(device_id="cuda:0", name=name, capability=capability, ordinal=0)

    def opener(api):
        return EngineOpener(place, api, lambda flavor: module, lambda found: runtime)

    device = fake_gpu.make_device(folder, fake, openers={"engine": opener})
    device.runtime = runtime
    return device


def test_an_engine_runs_on_our_streams_and_is_exact(tmp_path):
    device = made(tmp_path)
    executable = device.load(stage_of(fake_trt.write(tmp_path)), LoadOptions())
    for items in (5, 1, 5):
        made_ = executable.run({"x": X[:items]})["y"]
        np.testing.assert_array_equal(made_, np.maximum(2 * X[:items], 0))
    assert device.runtime.runs == 3
    device.close()


def test_a_graph_says_what_the_manifest_says(tmp_path):
    graph = EngineFrontend().read(Artifact.from_path(fake_trt.write(tmp_path)), yes)
    assert [str(spec) for spec in graph.inputs] == ["x: float32 [x_0, 4]"]
    assert graph.batch_text.startswith("not batched")
    stage = graph.stages[0]
    assert (stage.kind, stage.operators) == ("engine", {"com.nvidia.tensorrt::Engine"})


def test_nobody_who_runs_it_is_told_with_each_reason(tmp_path):
    refuse = lambda op: {"onnx:cpu": Support.no("knows no such operator")}  # noqa: E731
    with pytest.raises(errors.NoDevice, match=r"onnx:cpu: .*knows no such operator") as caught:
        EngineFrontend().read(Artifact.from_path(fake_trt.write(tmp_path)), refuse)
    assert caught.value.refusals.keys() == {"onnx:cpu"}
    with pytest.raises(errors.NoDevice):
        EngineFrontend().read(Artifact.from_path(fake_trt.write(tmp_path)), lambda op: {})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "10.9.0"}, "it is for version 10.9.0, and here is 10.13.3"),
        ({"targets": ["8.6", "8.9"]}, "it is for compute capability 8.6, 8.9, and here is 8.0"),
        ({"device": "H100"}, "it is for GPU H100, and here is A100"),
        ({"simulated": True}, "it is a simulation in the place of an engine"),
    ],
)
def test_an_engine_for_something_else_is_refused_with_the_command(tmp_path, changes, words):
    device = made(tmp_path)
    stage = stage_of(fake_trt.write(tmp_path, **changes))
    with pytest.raises(errors.Unsupported, match=words) as caught:
        device.load(stage, LoadOptions())
    command = "ds-sdk trt build MODEL -o FOLDER --backend tensorrt --compute 8.0"
    assert caught.value.remedy == command and not caught.value.retryable
    assert command in device.supports_stage(stage, LatencyClass.OFFLINE).reason
    assert device.runtime.runs == 0
    device.close()


def test_of_two_unequal_cards_the_one_that_it_was_built_for_runs_it(tmp_path):
    stage = stage_of(fake_trt.write(tmp_path))
    a100, t4 = made(tmp_path), made(tmp_path, name="Tesla T4", capability=(7, 5))
    (operation,) = stage.operations
    assert a100.supports(operation)
    refusal = t4.supports(operation)
    assert refusal.reason == "the engine is for compute capability 8.0, and this GPU's is 7.5"
    assert a100.supports_stage(stage, LatencyClass.OFFLINE)
    a100.close(), t4.close()


def test_a_flavor_that_is_not_installed_is_named(tmp_path):
    device = made(tmp_path, module=None)
    stage = stage_of(fake_trt.write(tmp_path, flavor="tensorrt_rtx"))
    assert device.supports(stage.operations[0]).reason == "tensorrt_rtx is not installed"
    with pytest.raises(errors.Unsupported, match="not installed here") as caught:
        device.load(stage, LoadOptions())
    assert caught.value.remedy == 'pip install "deepseek-trt[rtx]"'
    device.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(fake_trt.ENGINE[:-1]),
        lambda path: path.write_bytes(b"other: y = relu(2 x)"),
        lambda path: path.unlink(),
    ],
)
def test_an_engine_whose_bytes_are_others_never_reaches_the_library(tmp_path, damage):
    device = made(tmp_path)
    path = fake_trt.write(tmp_path)
    stage = stage_of(path)
    damage(path)
    device.runtime.deserialize = None
    with pytest.raises(errors.ArtifactError) as caught:
        device.load(stage, LoadOptions())
    assert str(path) in str(caught.value)
    device.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("", "is not a manifest"),
        ("[]", "is not a manifest"),
        ("[" * 100_000, "is not a manifest"),
        ("{}", "is not a manifest"),
        (json.dumps({"format": "of another"}), "has form 'of another'"),
        (json.dumps(fake_trt.MANIFEST | {"nbytes": "many", "sha256": ""}), "is not a manifest"),
        (json.dumps(fake_trt.MANIFEST | {"inputs": [{"name": "x"}]}), "is not a manifest"),
    ],
)
def test_a_manifest_that_is_none_is_told(tmp_path, text, words):
    path = fake_trt.write(tmp_path)
    beside = path.with_name("model.engine.json")
    if text is None:
        beside.unlink()
    else:
        beside.write_text(text)
    with pytest.raises(errors.ArtifactError, match=words):
        EngineFrontend().read(Artifact.from_path(path), yes)


def test_an_engine_without_a_file_beside_it_is_told():
    with pytest.raises(errors.ArtifactError, match="does not say for whom it is"):
        EngineFrontend().read(Artifact.from_bytes(b"engine", format="engine"), yes)


def test_types_that_do_not_pass_a_border_are_told(tmp_path):
    path = fake_trt.write(tmp_path, inputs=[{"name": "x", "dtype": "BF16", "shape": [4]}])
    with pytest.raises(errors.ArtifactError, match="'x' is BF16"):
        EngineFrontend().read(Artifact.from_path(path), yes)


def test_a_shape_that_no_profile_has_is_the_callers(tmp_path):
    device = made(tmp_path)
    executable = device.load(stage_of(fake_trt.write(tmp_path)), LoadOptions())
    with pytest.raises(errors.InputRejected, match="it was built for 1x4 to 64x4") as caught:
        executable.run({"x": np.zeros((65, 4), np.float32)})
    assert caught.value.remedy == "ds-sdk trt build MODEL -o FOLDER --profile x=MIN:OPT:MAX"
    assert executable.run({"x": X})["y"].shape == (5, 4), "nothing is spoilt by that"
    device.close()


def test_what_the_library_refuses_has_its_words(tmp_path):
    stage = stage_of(fake_trt.write(tmp_path))
    device = made(tmp_path, refuses=True)
    with pytest.raises(errors.Unsupported, match="does not load it: the library's words"):
        device.load(stage, LoadOptions())
    device.close()
    device = made(tmp_path, full=True)
    with pytest.raises(errors.OutOfMemory, match="no space left for the engine"):
        device.load(stage, LoadOptions())
    device.close()


def test_a_shape_that_values_decide_is_refused(tmp_path):
    device = made(tmp_path, sized=False)
    executable = device.load(stage_of(fake_trt.write(tmp_path)), LoadOptions())
    with pytest.raises(errors.Unsupported, match="depends on values"):
        executable.run({"x": X})
    device.close()


def test_a_library_that_does_not_load_is_a_refusal(tmp_path):
    def start(module):
        raise OSError("libnvinfer.so.10: cannot open shared object file")

    place = Place(device_id="cuda:0", name="A100", capability=(8, 0), ordinal=0)
    device = fake_gpu.make_device(
        tmp_path, openers={"engine": lambda api: EngineOpener(place, api, lambda f: f, start)}
    )
    with pytest.raises(errors.Unsupported, match=r"libnvinfer.so.10: cannot open") as caught:
        device.load(stage_of(fake_trt.write(tmp_path)), LoadOptions())
    assert caught.value.remedy == "pip install --force-reinstall tensorrt"
    device.close()


def test_engines_that_deepseek_trt_writes_are_read(tmp_path):
    """What its simulation leaves has the real form of a manifest."""
    trt = pytest.importorskip("deepseek_trt")
    from test_providers import MODEL

    model = tmp_path / "layer.onnx"
    model.write_bytes(MODEL)
    profile = trt.Profile.parse("x=1x4:2x4:4x4")
    options = trt.BuildOptions(targets=["8.0"], profiles=[profile])
    path = Path(trt.save(trt.build(model, options, backend="fake"), tmp_path, "layer"))
    stage = stage_of(path)
    assert [str(spec) for spec in stage.inputs] == ["x: float32 [x_0, 4]"]
    device = made(tmp_path)
    with pytest.raises(errors.Unsupported, match="it is a simulation"):
        device.load(stage, LoadOptions())
    device.close()


def test_the_real_bindings_have_what_the_edge_calls():
    """TensorRT-RTX loads without a GPU, and says so when it is given an engine."""
    module = _edge.module_of("tensorrt_rtx")
    if module is None:
        pytest.skip("TensorRT-RTX is not installed: pip install deepseek-trt[rtx]")
    bindings = pytest.importorskip(module)
    for kind, names in {
        "ICudaEngine": ["create_execution_context"],
        "IExecutionContext": [
            "set_input_shape", "get_tensor_shape", "set_tensor_address", "execute_async_v3",
        ],
    }.items():  # fmt: skip
        assert all(hasattr(getattr(bindings, kind), name) for name in names)
    runtime: Runtime = _edge.TensorRtRuntime(module)
    assert runtime.version == bindings.__version__
    assert runtime.deserialize(b"no engine") is None
    assert runtime.last_words()


def test_a_flavor_that_nobody_has_is_none():
    assert _edge.module_of("nonsense") is None
    assert _edge.module_of("tensorrt") == ("tensorrt" if find_spec("tensorrt") else None)
