"""Learning from a teacher: Hinton's loss, a teacher that only answers, features compared."""

import attrs
import numpy as np
import pytest
import torch
from process import one_thread
from torch import nn
from torch.nn import functional
from train_kit import CLASSES, EXPECTED, data, net, reached, run, stripes, trained

from deepseek_compress.samples.accept import as_samples
from deepseek_compress.samples.names import Expected
from deepseek_compress.train.distill import distill
from deepseek_compress.train.distillation import matching, softened_distance
from deepseek_compress.train.options import DistillOptions
from deepseek_compress.train.weights import weight_hash
from deepseek_core import errors


@pytest.fixture(scope="module")
def teacher():
    with one_thread():
        return trained(net(8), data(1024, 3)).model


def options(**more):
    plain = {"epochs": 2, "precision": "fp32", "layout": "contiguous"}
    return DistillOptions(**plain, **more)


class Asked(nn.Module):
    """A model that counts how often it is asked."""

    def __init__(self, model):
        super().__init__()
        self.model, self.count = model, torch.zeros(())

    def forward(self, x):
        TIMES.append(len(x))
        return self.model(x)


TIMES = []


def test_the_distance_is_that_of_torch_times_temperature_squared():
    torch.manual_seed(0)
    student, taught = torch.randn(6, 5, requires_grad=True), torch.randn(6, 5)
    expected = 9 * functional.kl_div(
        functional.log_softmax(student / 3, 1),
        functional.softmax(taught / 3, 1),
        reduction="batchmean",
    )
    assert softened_distance(student, taught, 3.0).item() == pytest.approx(
        expected.item(), rel=1e-5
    )
    assert softened_distance(taught, taught, 3.0).item() == pytest.approx(0.0, abs=1e-6)


def test_gradients_are_as_large_at_any_temperature():
    torch.manual_seed(0)
    sizes = []
    for temperature in (4.0, 40.0):
        student = torch.zeros(6, 5, requires_grad=True)
        softened_distance(student, torch.linspace(-1, 1, 30).reshape(6, 5), temperature).backward()
        sizes.append(student.grad.norm().item())
    assert sizes[0] == pytest.approx(sizes[1], rel=0.2)


def regression(count=256, seed=0):
    """Noisy labels of a straight line in four values."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).astype(np.float32)
    y = x @ LINE + rng.normal(scale=2.0, size=(count, 3)).astype(np.float32)
    return as_samples((x, y), Expected(inputs={"x": (1, 4)}))


LINE = np.array([[1, 0, 2], [0, -1, 1], [3, 1, 0], [0, 2, -2]], np.float32)


@pytest.mark.parametrize("match", ["auto", "values"])
def test_values_are_matched_by_their_squared_difference(match):
    """Softened, a shift of all outputs would cost nothing: the student stayed off by it."""
    teacher = nn.Linear(4, 3)
    with torch.no_grad():
        teacher.weight.copy_(torch.from_numpy(LINE.T) + 0.0)
        teacher.bias.copy_(torch.tensor([5.0, 5.0, 5.0]))
    torch.manual_seed(0)
    chosen = options(match=match, alpha=1.0, optimizer="adamw", learning_rate=0.1, batch_size=16)
    more = attrs.evolve(chosen, epochs=20)
    found = distill(nn.Linear(4, 3), teacher, regression(), more, run(), loss=functional.mse_loss)
    x = torch.from_numpy(regression(64, 1).inputs["x"])
    with torch.no_grad():
        assert (found.model(x) - teacher(x)).abs().max() < 0.5


def test_what_is_matched_goes_by_the_labels():
    assert matching("auto", data())[0] == "classes"
    assert matching("auto", regression())[0] == "values"
    assert matching("classes", regression()) == ("classes", "")
    assert "fractions" in matching("auto", regression())[1]


def test_the_teacher_stays_and_is_asked_once_for_samples_that_do_not_change(teacher):
    TIMES.clear()
    asked = Asked(teacher).train()
    before = weight_hash(asked)
    found = distill(net(4), asked, data(), options(), run())
    assert sum(TIMES) == 512
    assert weight_hash(asked) == before
    assert asked.training
    assert all(parameter.requires_grad for parameter in asked.parameters())
    assert reached(found.model) > 0.7


class Loose:
    """The same samples, as a class that does not say that they never change."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def batches(self, size, *, seed=None):
        return self.samples.batches(size, seed=seed)


def test_answers_that_are_kept_are_those_of_asking_anew(teacher):
    kept = distill(net(4), teacher, data(), options(), run()).epochs
    asked = distill(net(4), teacher, Loose(data()), options(), run()).epochs
    # Other batches round differently, by a few units in the last place.
    for one, other in zip(kept, asked, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-4)


def test_alpha_of_one_needs_no_labels(teacher):
    x, _ = stripes(1024)
    found = distill(net(6), teacher, as_samples(x, EXPECTED), options(alpha=1.0), run())
    assert reached(found.model) > 0.7
    assert found.epochs[-1].accuracy is None
    with pytest.raises(errors.InputError, match="no labels"):
        distill(net(4), teacher, as_samples(x, EXPECTED), options(alpha=0.5), run())


@pytest.mark.parametrize("alpha", [0.7, 1.0])
def test_held_out_data_judges_by_labels_or_by_the_teacher(teacher, alpha):
    x, y = stripes(512)
    samples = as_samples((x, y) if alpha < 1 else x, EXPECTED)
    found = distill(net(4), teacher, samples, options(alpha=alpha, validation_share=0.2), run())
    assert (found.figures["validation"] > 0) == (alpha < 1)


@pytest.mark.parametrize("kind", ["attention", "projection"])
def test_features_come_nearer_to_those_of_the_teacher(teacher, kind):
    more = {"features": kind, "layers": ["2", "5=5"], "feature_weight": 5.0, "alpha": 0.2}
    found = distill(net(4), teacher, data(), options(**more), run())
    assert found.epochs[-1].loss < found.epochs[0].loss
    assert reached(found.model) > 0.7
    again = distill(net(4), teacher, data(), options(**more), run())
    assert weight_hash(again.model) == weight_hash(found.model)
    assert [name for name, _ in found.model.named_parameters()] == [
        name for name, _ in net(4).named_parameters()
    ]
    assert not any(part._forward_hooks for part in found.model.modules())


def test_projections_are_trained_and_resumed(teacher, tmp_path):
    more = options(features="projection", layers=["5"])
    whole = distill(net(4), teacher, data(), more, run())

    def stop(done, _of, _text):
        if done == 10:
            raise errors.Interrupted("enough")

    surroundings = {"checkpoint": tmp_path / "training.checkpoint"}
    with pytest.raises(errors.Interrupted):
        distill(net(4), teacher, data(), more, run(progress=stop, **surroundings))
    resumed = distill(net(4), teacher, data(), more, run(**surroundings))
    assert "gone on after epoch 1" in resumed.notes
    assert weight_hash(resumed.model) == weight_hash(whole.model)
    other = distill(net(4), net(8, seed=9), data(), more, run(**surroundings))
    assert "training started again" in " ".join(other.notes)  # it is another teacher's


def test_the_loss_of_a_user_stands_for_cross_entropy(teacher):
    asked = []

    def loss(outputs, labels):
        asked.append(len(labels))
        return functional.cross_entropy(outputs, labels.long())

    x, y = stripes(512)
    samples = as_samples((x, y.astype(np.float32)), EXPECTED)  # no classes, but for this loss
    found = distill(net(4), teacher, samples, options(validation_share=0.2), run(), loss=loss)
    assert sum(asked) >= 2 * 384
    assert found.epochs[-1].accuracy is None
    assert reached(found.model) > 0.6
    one = nn.Sequential(net(), nn.Linear(CLASSES, 1))
    with pytest.raises(errors.InputError, match="scores of classes"):
        distill(one, one, samples, options(), run(), loss=loss)


def test_layers_that_do_not_fit(teacher):
    cases = [
        (["55"], "no module '55'", errors.ConfigError),
        (["2=fc"], "no module 'fc'", errors.ConfigError),
        (["8=2"], "their positions differ", errors.InputError),
    ]
    for layers, said, kind in cases:
        with pytest.raises(kind, match=said) as caught:
            distill(net(4), teacher, data(), options(features="projection", layers=layers), run())
        assert caught.value.remedy
    for wrong in ({"features": "attention"}, {"layers": ["2"]}, {"layers": "2"}, {"alpha": 2}):
        with pytest.raises(errors.ConfigError):
            options(**wrong)


def test_teachers_that_do_not_fit(teacher):
    other = nn.Sequential(net(), nn.Linear(CLASSES, 7))
    with pytest.raises(errors.InputError, match="the student gives shape"):
        distill(net(4), other, data(), options(), run())
    broken = net()
    with torch.no_grad():
        broken[8].bias[1] = float("inf")
    with pytest.raises(errors.InputError, match="the teacher gives NaN"):
        distill(net(4), broken, data(), options(), run())


def test_a_student_learns_more_of_scores_than_of_few_labels(teacher):
    """What distillation is for: labels that are partly wrong, and a teacher that knows better."""
    x, y = stripes(512, seed=5)
    wrong = np.where(np.random.default_rng(0).random(512) < 0.6, (y + 1) % CLASSES, y)
    samples = as_samples((x, wrong), EXPECTED)
    plain = trained(net(4), samples)
    taught = distill(net(4), teacher, samples, options(alpha=0.9), run())
    assert reached(taught.model) > reached(plain.model) + 0.1
