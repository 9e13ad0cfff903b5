"""Files that int8 takes far from float: told, and kept within a limit without labels."""

import numpy as np
import onnx
import pytest
from small_onnx import Net, noise

from deepseek_compress.onnx_graph.running import compare
from deepseek_compress.samples.arrays import ArraySamples
from deepseek_compress.steps.lower import LowerForOnnxRuntime, LowerForTensorRt
from deepseek_core import Artifact, compression, errors

SAMPLES = noise(80, 4, 8, 8)
STEPS = pytest.mark.parametrize("step", [LowerForOnnxRuntime, LowerForTensorRt])


@pytest.fixture(scope="module")
def ruined():
    """Four layers; "second" reads small channels beside one a thousand times larger."""
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(8, 4, 3, 3)).astype(np.float32)
    wide[0] *= 1000
    narrow = rng.normal(size=(8, 8, 3, 3)).astype(np.float32)
    narrow[:, 0] /= 1e4
    net = Net()
    first = net.node("Relu", net.conv("x", 4, 8, weight=net.constant(wide), name="first"))
    second = net.node("Relu", net.conv(first, 8, 8, weight=net.constant(narrow), name="second"))
    third = net.node("Relu", net.conv(second, 8, 8, name="third"))
    return net.model(net.conv(third, 8, 2, name="last"))


def lowered(model, tmp_path, step=LowerForOnnxRuntime, evaluate=None, **options):
    context = compression.StepContext(
        workspace=tmp_path,
        inputs={"x": (1, 4, 8, 8)},
        calibration=ArraySamples(inputs={"x": SAMPLES}),
        evaluate=evaluate,
    )
    made, floats = step(**options), Artifact.from_bytes(model.SerializeToString(), format="onnx")
    return made.apply(floats, made.plan(floats, context), context)


def error_on(model, result, samples):
    return compare(model, onnx.load_from_string(result.model.read()), samples).relative_error


@STEPS
@pytest.mark.parametrize("method", ["auto", "minmax"])
def test_outputs_stay_within_an_error_with_few_layers_in_float(ruined, tmp_path, step, method):
    held_out = SAMPLES[64:]
    result = lowered(ruined, tmp_path, step, method=method, max_error=0.1)
    assert error_on(ruined, lowered(ruined, tmp_path, step, method=method), held_out) > 0.1
    assert error_on(ruined, result, held_out) <= 0.1
    assert 0 < result.figures["int8_coverage"] < 1
    note = next(note for note in result.notes if "held out" in note)
    assert "16 samples" in note
    assert "left in float" in note
    assert result.warnings == ()


def test_a_file_far_from_float_says_so_with_the_layers_and_the_remedy(ruined, tmp_path):
    (told,) = lowered(ruined, tmp_path).warnings
    assert told.startswith("outputs differ from float by ")
    assert "second" in told
    assert 'max_error = 0.1 beside use = "ort_x86"' in told


def test_a_file_near_float_has_nothing_to_be_warned_of(tmp_path):
    net = Net()
    model = net.head(net.relu(net.conv("x", 4, 8)))
    assert lowered(model, tmp_path).warnings == ()
    result = lowered(model, tmp_path, max_error=0.1)
    assert result.figures["int8_coverage"] == 1
    assert result.warnings == ()


def test_a_limit_that_leaves_nothing_in_int8_is_told(ruined, tmp_path):
    result = lowered(ruined, tmp_path, max_error=1e-6)
    assert result.figures["int8_coverage"] == 0
    assert result.warnings == ("max_error = 1e-06 leaves nothing in int8",)


def test_nodes_to_skip_are_left_in_float_with_a_limit_as_well(ruined, tmp_path):
    result = lowered(ruined, tmp_path, max_error=0.1, skip=("last",))
    names = {tensor.name for tensor in onnx.load_from_string(result.model.read()).graph.initializer}
    last = next(node for node in ruined.graph.node if node.name == "last").input[1]
    assert last in names


def test_a_limit_on_a_drop_without_labels_is_told_to_be_ignored(ruined, tmp_path):
    told, _ = lowered(ruined, tmp_path, max_drop=1.0).warnings
    assert told.startswith("max_drop was not followed")
    assert "max_error = 0.1" in told


@pytest.mark.parametrize("value", [0, -0.1, 1.5, float("nan"), "0.1", True])
def test_a_limit_is_a_share(value):
    with pytest.raises(errors.ConfigError, match="max_error"):
        LowerForOnnxRuntime(max_error=value)


def test_one_limit_chooses_the_layers():
    with pytest.raises(errors.ConfigError, match="give one of them"):
        LowerForOnnxRuntime(max_error=0.1, max_drop=1.0)
