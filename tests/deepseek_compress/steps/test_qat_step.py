"""Step qat: trains in integers beside quantization after training, and ships the better."""

import attrs
import numpy as np
import pytest
import torch
from small_torch import example, pictures, reached, trained

from deepseek_compress import conformance
from deepseek_compress.lower.export import export_onnx
from deepseek_compress.modules import copied
from deepseek_compress.qspec import QuantSpec
from deepseek_compress.steps.quantize import QatOptions
from deepseek_core import Artifact, compression, errors, open_compressor
from deepseek_core.testing import ModelCompressorConformance

QUICK = {"batch_size": 32, "layout": "contiguous"}


@pytest.fixture(scope="module")
def teacher():
    return trained()


def context(folder, teacher, **more):
    given = {
        "train": pictures(512, seed=3),
        "calibration": pictures(64),
        "original": teacher,
        "evaluate": reached,
        "inputs": {"x": (1, 1, 8, 8)},
    }
    return compression.StepContext(workspace=folder, **{**given, **more})


def applied(model, told, **options):
    step = open_compressor("qat", {**QUICK, **options}).compressor
    return step.apply(model, step.plan(model, told), told)


class TestQat(ModelCompressorConformance):
    """What every step promises."""

    plugin = "compress_torch"
    name = "qat"
    options = {**QUICK, "weights": 4, "activations": 4}  # noqa: RUF012
    waivers = conformance.TestQat.waivers
    made = None

    def model(self):
        if TestQat.made is None:
            TestQat.made = trained()
        return copied(TestQat.made)

    def context(self, workspace):
        return context(workspace, self.model(), train=pictures(128, seed=3))


@pytest.fixture(scope="module")
def three_bits(teacher, tmp_path_factory):
    """What it makes of three bits, its workspace, and the teacher's weights before."""
    folder = tmp_path_factory.mktemp("three")
    before = {name: t.clone() for name, t in teacher.state_dict().items()}
    options = {"weights": 3, "activations": 3, "learning_rate": 0.02, "epochs": 2}
    return applied(teacher, context(folder, teacher), **options), folder, before


def test_three_bits_are_better_trained(three_bits):
    result, _, _ = three_bits
    figures = result.figures
    assert figures["shipped_qat"] == 1.0
    assert figures["accuracy_qat"] > figures["accuracy_ptq"]
    assert result.notes[0].startswith("qat is shipped: ptq ")


def test_the_callers_model_is_untouched(three_bits, teacher):
    _, _, before = three_bits
    assert all(torch.equal(t, before[name]) for name, t in teacher.state_dict().items())


def test_it_leaves_ranges_and_nothing_else_but_its_checkpoint(three_bits):
    result, folder, _ = three_bits
    assert result.provided == {"ranges": folder / "ranges.json"}
    assert {p.name for p in folder.iterdir()} <= {"ranges.json", "training.checkpoint"}
    spec = QuantSpec.read(folder / "ranges.json")
    assert {w.bits for w in spec.weights.values()} == {3}
    assert {w.source for w in spec.weights.values()} == {"learned"}


def test_the_model_is_plain_and_floats(three_bits):
    result, _, _ = three_bits
    names = {name for name, _ in result.model.named_modules()}
    assert not any("fake" in name for name in names)
    with torch.no_grad():
        assert torch.isfinite(result.model(example()["x"])).all()


@pytest.mark.parametrize("target", ["ort_x86", "trt"])
def test_a_lowering_takes_what_it_provides(three_bits, teacher, tmp_path, target):
    """The runner exports the module again; names in the spec are those of that file."""
    result, _, _ = three_bits
    export_onnx(copied(result.model), {"x": (1, 1, 8, 8)}, tmp_path / "float.onnx")
    artifact = Artifact.from_path(tmp_path / "float.onnx")
    told = context(tmp_path, teacher, provided=result.provided, evaluate=None)
    step = open_compressor(target).compressor
    lowered = step.apply(artifact, step.plan(artifact, told), told)
    assert "ranges learned in training" in lowered.notes
    assert any("computed in float" in warning for warning in lowered.warnings)
    if target == "ort_x86":
        import onnxruntime

        session = onnxruntime.InferenceSession(lowered.model.read())
        x, y = pictures(512, 1).inputs["x"], pictures(512, 1).labels
        found = (session.run(None, {"x": x})[0].argmax(1) == y).mean()
        assert found == pytest.approx(result.figures["accuracy_qat"], abs=0.005)


def test_two_bits_of_weights_run_in_integer(teacher, tmp_path):
    result = applied(teacher, context(tmp_path, teacher), weights=2, activations=8)
    export_onnx(copied(result.model), {"x": (1, 1, 8, 8)}, tmp_path / "float.onnx")
    artifact = Artifact.from_path(tmp_path / "float.onnx")
    told = context(tmp_path, teacher, provided=result.provided, evaluate=None)
    step = open_compressor("ort_x86").compressor
    lowered = step.apply(artifact, step.plan(artifact, told), told)
    assert lowered.figures["int8_coverage"] == 1.0
    assert not any("computed in float" in warning for warning in lowered.warnings)


def test_eight_bits_are_as_good_trained_or_not(teacher, tmp_path):
    figures = applied(teacher, context(tmp_path, teacher)).figures
    assert figures["accuracy_qat"] == pytest.approx(figures["accuracy_ptq"], abs=0.02)
    best = max(figures["accuracy_qat"], figures["accuracy_ptq"])
    shipped = "accuracy_qat" if figures["shipped_qat"] else "accuracy_ptq"
    assert figures[shipped] == best


def test_what_training_spoils_is_not_shipped(teacher, tmp_path):
    """Labels that are often wrong: the trained one is worse, so the other is given on."""
    wrong = pictures(512, seed=3)
    shifted = np.where(np.arange(512) % 20 < 9, (wrong.labels + 1) % 4, wrong.labels)
    wrong = attrs.evolve(wrong, labels=shifted)
    options = {"distill": False, "learning_rate": 0.02, "epochs": 2}
    result = applied(teacher, context(tmp_path, teacher, train=wrong), **options)
    assert result.figures["shipped_qat"] == 0.0
    assert result.figures["accuracy_qat"] < result.figures["accuracy_ptq"]
    spec = QuantSpec.read(tmp_path / "ranges.json")
    assert "learned" not in {r.source for r in spec.activations.values()}
    assert reached(result.model) == pytest.approx(reached(teacher), abs=1e-9)


def test_without_test_data_agreement_decides_and_is_said(teacher, tmp_path):
    result = applied(teacher, context(tmp_path, teacher, evaluate=None))
    assert {"agreement_ptq", "agreement_qat"} <= set(result.figures)
    assert "by agreement with float" in result.notes[0]


@pytest.mark.parametrize(
    ("missing", "said"),
    [("train", "training data"), ("calibration", "samples"), ("original", "teacher")],
)
def test_what_is_missing_is_told(teacher, tmp_path, missing, said):
    with pytest.raises(errors.InputError, match=said) as caught:
        applied(teacher, context(tmp_path, teacher, **{missing: None}))
    assert caught.value.remedy


@pytest.mark.parametrize(
    "wrong", [{"weights": 1}, {"activations": 9}, {"weights": True}, {"target": "gpu"}]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises((errors.ConfigError, ValueError)):
        QatOptions(**wrong)


def test_a_poisoned_sample_is_refused_before_training(teacher, tmp_path):
    samples = pictures(64)
    samples.inputs["x"][9] *= 100
    with pytest.raises(errors.InputError, match="sample 9 alone"):
        applied(teacher, context(tmp_path, teacher, calibration=samples))
    assert list(tmp_path.iterdir()) == []


def test_the_loss_of_the_recipe_is_trained_with(teacher, tmp_path):
    """Labels that are no classes are its own affair, with a teacher and without."""
    asked = []

    def loss(outputs, labels):
        asked.append(labels.dtype)
        return (outputs[:, 0] - labels).square().mean()

    given = pictures(64, seed=3)
    fractions = attrs.evolve(given, labels=(given.labels + 0.5).astype(np.float32))
    told = context(tmp_path, teacher, train=fractions, provided={"loss": loss})
    for distill in (True, False):
        applied(teacher, told, distill=distill)
        assert set(asked) == {torch.float32}
        asked.clear()
