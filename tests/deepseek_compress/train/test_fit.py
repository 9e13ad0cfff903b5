"""Training: learns, repeats bit for bit, stops, notices what goes wrong, copies the model."""

import numpy as np
import pytest
import torch
from torch import nn
from train_kit import CLASSES, EXPECTED, data, net, quick, reached, stripes, trained

from deepseek_compress.errors import TrainingDiverged
from deepseek_compress.samples.accept import as_samples
from deepseek_compress.samples.names import Expected
from deepseek_compress.train.fit import RETRY_SHARE
from deepseek_compress.train.guard import Diverged, Guard
from deepseek_compress.train.objectives import CrossEntropy, Objective, Step, UserLoss
from deepseek_compress.train.optimizers import rate_at
from deepseek_compress.train.weights import weight_hash
from deepseek_core import errors


def test_it_learns_and_leaves_the_given_model_alone():
    model = net()
    before, mode = weight_hash(model), model.training
    found = trained(model, options=quick(epochs=3))
    assert reached(found.model) > 0.8 > 0.5 > reached(model)
    assert (weight_hash(model), model.training) == (before, mode)
    assert not found.model.training
    assert found.figures["train_accuracy"] > 0.8
    assert found.epochs[-1].loss < found.epochs[0].loss


@pytest.mark.parametrize("options", [{}, {"precision": "bf16", "layout": "channels_last"}])
def test_equal_arguments_give_equal_bytes(options):
    dropout = nn.Sequential(net(), nn.Dropout(0.1))
    one, other = (weight_hash(trained(dropout, options=quick(**options)).model) for _ in range(2))
    assert one == other
    assert weight_hash(trained(dropout, options=quick(**options), seed=1).model) != one


def test_random_numbers_of_the_process_are_given_back():
    model = net()
    torch.manual_seed(5)
    np.random.seed(5)
    expected = torch.rand(1).item(), np.random.rand()
    torch.manual_seed(5)
    np.random.seed(5)
    trained(model)
    assert (torch.rand(1).item(), np.random.rand()) == expected
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_gradients_that_the_caller_switched_off(switch):
    expected = weight_hash(trained().model)
    with switch():
        assert weight_hash(trained().model) == expected


def test_augmentation_by_global_random_numbers_repeats():
    x, y = stripes(128)

    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return len(x)

        def __getitem__(self, place):
            shift = np.random.normal() + torch.rand(()).item()
            return x[place] + np.float32(0.1 * shift), int(y[place])

    samples = as_samples(Noisy(), EXPECTED)
    hashes = {weight_hash(trained(samples=samples, options=quick(epochs=1)).model) for _ in "ab"}
    assert len(hashes) == 1


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("schedule", ["cosine", "onecycle", "constant"])
def test_optimizers_and_schedules(optimizer, schedule):
    rate = 0.05 if optimizer == "sgd" else 0.01
    options = quick(optimizer=optimizer, schedule=schedule, learning_rate=rate, clip_norm=5.0)
    assert reached(trained(options=options).model) > 0.6


def test_rates_rise_and_fall():
    for schedule in ("cosine", "onecycle", "constant"):
        options = quick(schedule=schedule, learning_rate=2.0)
        rates = [rate_at(step, 100, options) for step in range(100)]
        assert max(rates) == pytest.approx(2.0, rel=0.01)
        assert 0 < rates[0] < 0.5
        assert rates[-1] == (2.0 if schedule == "constant" else pytest.approx(0.0, abs=0.01))
        rise = rates[: rates.index(max(rates)) + 1]
        assert rise == sorted(rise)
    assert rate_at(0, 1, quick()) > 0


def test_progress_counts_batches_and_tells_the_loss():
    told = []
    trained(samples=data(160), progress=lambda *words: told.append(words))
    assert [done for done, _, _ in told] == [1, 2, 3, 4]
    assert {of for _, of, _ in told} == {4}
    assert told[-1][2].startswith("epoch 2/2, loss ")
    assert told[-1][2].endswith(" 0 s left")


def test_channels_last_gives_plain_weights_back_and_knows_who_can_not():
    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(144, CLASSES)

        def forward(self, x):
            return self.fc(self.conv(x).view(-1, 144))

    found = trained(options=quick(layout="auto", epochs=1))
    assert all(p.is_contiguous() for p in found.model.parameters())
    assert "channels last while" in " ".join(found.notes)
    viewing = trained(Viewing(), options=quick(layout="auto", epochs=1))
    assert "does not run channels last" in " ".join(viewing.notes)
    with pytest.raises(errors.InputError, match="view"):
        trained(Viewing(), options=quick(layout="channels_last", epochs=1))


def test_the_best_epoch_on_held_out_data_is_kept():
    options = quick(epochs=12, validation_share=0.25, patience=2, learning_rate=0.1)
    found = trained(samples=data(256, strength=0.4), options=options)
    scores = [row.validation for row in found.epochs]
    assert len(scores) < 12  # it did not go on for nothing
    best = scores.index(max(scores))
    assert len(scores) - 1 - best == 2
    assert f"epoch {best + 1} of {len(scores)}" in found.notes[-1]


def test_held_out_accuracy_of_positions_is_a_share():
    class Everywhere(nn.Module):
        """Scores of classes at each place."""

        def __init__(self):
            super().__init__()
            self.out = nn.Conv2d(1, 2, 1)

        def forward(self, x):
            return self.out(x)

    x = np.random.default_rng(0).normal(size=(32, 1, 4, 4)).astype(np.float32)
    samples = as_samples((x, (x[:, 0] > 0).astype(np.int64)), Expected(inputs={"x": (1, 1, 4, 4)}))
    options = quick(epochs=1, batch_size=8, validation_share=0.25)
    found = trained(Everywhere(), samples=samples, options=options)
    assert 0 <= found.figures["validation"] <= 1


# What goes wrong


def test_a_rate_too_high_is_tried_once_more_lower_and_told():
    found = trained(options=quick(epochs=3, learning_rate=4.0, warmup=0.0))
    retried = [note for note in found.notes if "trained again" in note]
    if not retried:
        pytest.fail(f"4.0 was no rate too high: {found.notes}")
    assert found.learning_rate == pytest.approx(4.0 * RETRY_SHARE)
    assert reached(found.model) > 0.5


def test_twice_is_an_error_with_a_lower_rate():
    model = net()
    before = weight_hash(model)
    with pytest.raises(TrainingDiverged) as caught:
        trained(model, options=quick(learning_rate=90.0))
    assert caught.value.step == "test"
    assert "learning_rate = 3.6" in caught.value.remedy
    assert weight_hash(model) == before


def test_a_model_that_is_broken_already_is_told_so():
    model = net()
    with torch.no_grad():
        model[3].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(TrainingDiverged, match=r"before any training: weight 3\.weight") as caught:
        trained(model)
    assert caught.value.at == 0


class Falling(Objective):
    """Cross-entropy, that is turned round after some batches."""

    name = "falling"

    def __init__(self, after, factor):
        self._after, self._factor, self._count = after, factor, 0

    def step(self, model, batch):
        self._count += 1
        found = CrossEntropy().step(model, batch)
        factor = 1.0 if self._count <= self._after else self._factor
        return Step(found.loss * factor, found.logits, found.labels)


def test_a_loss_that_explodes():
    guard = Guard()
    for at in range(40):
        guard.check_loss(Step(torch.tensor(1.0 + at % 3)), at)
    with pytest.raises(Diverged, match=r"the loss rose from 2 to 8\."):
        for at in range(40, 80):
            guard.check_loss(Step(torch.tensor(20.0)), at)
    for value in ("nan", "inf"):
        with pytest.raises(Diverged, match=f"became {value}") as caught:
            Guard().check_loss(Step(torch.tensor(float(value))), 0)
        assert caught.value.untouched


def test_a_fall_to_chance():
    options = quick(epochs=6, schedule="constant", learning_rate=0.02)
    with pytest.raises(TrainingDiverged, match="accuracy is at chance"):
        trained(objective=Falling(24, -1.0), options=options)


def test_labels_that_say_nothing_are_told_to_be_at_chance():
    x, _ = stripes(1024)
    samples = as_samples((x, np.random.default_rng(0).integers(0, CLASSES, 1024)), EXPECTED)
    assert "is at chance" in trained(samples=samples).notes[-1]


def test_labels_of_one_class_are_told():
    x, y = stripes(512)
    assert trained(samples=as_samples((x, y * 0 + 2), EXPECTED)).notes[-1].endswith("are 2")


def test_slow_learning_is_no_divergence():
    found = trained(options=quick(learning_rate=0.01))
    assert found.figures["train_accuracy"] < 0.5
    assert found.learning_rate == 0.01

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.out = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, CLASSES)

        def forward(self, x):
            return self.out(self.lstm(x[:, 0].transpose(1, 2))[0][:, -1])

    torch.manual_seed(0)
    assert "is at chance" in trained(Recurrent(), options=quick(epochs=1)).notes[-1]


def test_one_class_of_nearly_all_is_no_fall_to_chance():
    x, y = stripes(1024)
    samples = as_samples((x, np.where(np.arange(1024) % 20 == 0, y, 0)), EXPECTED)
    assert trained(samples=samples).epochs


def test_positions_of_a_sample_are_no_independent_answers():
    labels = torch.zeros(256, 8, 8, dtype=torch.int64)
    labels[::8, 2:6, 2:6] = 1  # 3 % of the positions, all in an eighth of the samples
    logits = torch.stack([torch.ones(256, 8, 8), torch.zeros(256, 8, 8)], 1)
    guard = Guard(best=0.99)
    guard.note_answers(Step(torch.tensor(0.1), logits, labels))
    assert guard.end_epoch(10, last=False) == 1 - 1 / 32


# Data, losses and models of all sorts


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 129])
def test_any_number_of_samples(count):
    if count == 1:  # statistics of one sample over positions are still those of many values
        assert trained(samples=data(1)).epochs
        return
    assert len(trained(samples=data(count)).epochs) == 2


def test_one_value_per_channel_names_the_remedy():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES))
    with pytest.raises(errors.InputError) as caught:
        trained(model, data(64), options=quick(batch_size=1))
    assert "batch_size" in caught.value.remedy
    assert trained(model, data(65), options=quick(batch_size=64)).epochs  # no rest of one


@pytest.mark.parametrize("form", ["tuple", "dict", "logits"])
def test_outputs_with_one_tensor(form):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            y = self.net(x)
            return {"tuple": (y,), "dict": {"scores": y}, "logits": {"logits": y, "more": x}}[form]

    assert reached(trained(Wrapped()).model) > 0.5


def test_outputs_with_several_need_a_loss_of_the_users():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, x):
            return self.net(x), self.net(-x)

    with pytest.raises(errors.InputError, match="2 values") as caught:
        trained(Two())
    assert "data.loss" in caught.value.remedy

    def loss(outputs, labels):
        return sum(nn.functional.cross_entropy(each, labels) for each in outputs)

    assert trained(Two(), objective=UserLoss(loss)).epochs[-1].accuracy is None


def test_several_inputs_go_by_name():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net()

        def forward(self, picture, gain):
            return self.net(picture * gain[:, :, None, None])

    x, y = stripes(512)
    wanted = Expected(inputs={"gain": (1, 1), "picture": (1, 1, 8, 8)})
    given = {"gain": np.ones((512, 1), np.float32), "picture": x, "labels": y}
    found = trained(Weighted(), as_samples(given, wanted))
    assert found.figures["train_accuracy"] > 0.5


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (nn.CrossEntropyLoss(reduction="none"), r"gives shape \[64\]"),
        (lambda y, t: 1.0, "gives a float"),
        (lambda y, t: y.detach().mean(), "no gradients"),
        (lambda y, t: y[:, 99].mean(), "raised IndexError"),
        (lambda y: y.mean(), "raised TypeError"),
    ],
)
def test_losses_of_the_users_that_are_none(loss, said):
    with pytest.raises(errors.InputError, match=said) as caught:
        trained(objective=UserLoss(loss))
    assert caught.value.remedy


def test_regression_with_a_loss_of_the_users():
    x, y = stripes(512)
    model = nn.Sequential(net(), nn.Linear(CLASSES, 1))
    samples = as_samples((x, y.astype(np.float64)[:, None]), EXPECTED)
    options = quick(epochs=3, validation_share=0.2, learning_rate=0.02)
    found = trained(model, samples, UserLoss(nn.MSELoss()), options)
    assert found.epochs[-1].loss < 0.7 < found.epochs[0].loss
    assert found.figures["validation"] < 0


@pytest.mark.parametrize(
    "labels", [lambda y: y.astype(float), lambda y: np.eye(4)[y], lambda y: y + 1]
)
def test_labels_that_are_no_classes(labels):
    x, y = stripes(64)
    with pytest.raises(errors.InputError, match="labels"):
        trained(samples=as_samples((x, labels(y)), EXPECTED))


def test_frozen_parts_stay_and_their_statistics_too():
    model = net()
    for part in (model[0], model[1]):
        part.requires_grad_(False)
    frozen = model[0].weight.clone(), model[1].running_mean.clone()
    found = trained(model).model
    assert torch.equal(found[0].weight, frozen[0])
    assert torch.equal(found[1].running_mean, frozen[1])
    assert not torch.equal(found[4].running_mean, model[4].running_mean)
    with pytest.raises(errors.InputError, match="all parameters of the model are frozen"):
        trained(net().requires_grad_(False))


def test_tied_weights_stay_tied():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    model.append(nn.Linear(64, CLASSES))
    model[3].weight = model[1].weight
    found = trained(model).model
    assert found[3].weight is found[1].weight
    assert not torch.equal(found[1].weight, model[1].weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_not_trained_but_measured(dtype):
    with pytest.raises(errors.InputError, match="too coarse") as caught:
        trained(net().to(dtype))
    assert "model.float()" in caught.value.remedy
    found = trained().model
    assert reached(found.to(dtype)) > 0.5


def test_double_precision_is_trained():
    assert trained(net().double()).model[0].weight.dtype == torch.float64


def test_pixels_that_were_not_scaled_are_told():
    x, y = stripes(64)
    samples = as_samples(((x * 9).astype(np.uint8), y), EXPECTED)
    with pytest.raises(errors.InputError) as caught:
        trained(samples=samples)
    assert "x.astype(np.float32) / 255" in caught.value.remedy


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch's own code, when it is copied
def test_an_exported_program_is_trained_as_it_is():
    open_batch = ({0: torch.export.Dim("N")},)
    example = (torch.zeros(2, 1, 8, 8),)
    learned = trained(options=quick(epochs=1)).model
    program = torch.export.export(learned, example, dynamic_shapes=open_batch).module()
    found = trained(program, options=quick(learning_rate=0.01))
    assert reached(found.model) > reached(program)
    assert "an exported program" in " ".join(found.notes)
    fixed = torch.export.export(learned, example).module()
    with pytest.raises(errors.InputError, match="can't take x float32"):
        trained(fixed)


def test_models_that_can_not_be_trained():
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(CLASSES))
    uncopied = net()
    uncopied.file = (row for row in ())
    for model, said in ((lazy, "lazy"), (uncopied, "copied"), ("net", "given a str")):
        with pytest.raises(errors.InputError, match=said) as caught:
            trained(model)
        assert caught.value.remedy


def test_a_data_set_that_ends_early_is_no_shorter_training():
    class Short:
        def __len__(self):
            return 512

        def batches(self, size, *, seed=None):
            return data(100).batches(size, seed=seed)

    with pytest.raises(errors.InputError, match="ended early"):
        trained(samples=Short())
