"""What can be tuned, and what is told of what can't."""

import math
import tomllib

import attrs
import pytest
from tune_kit import CLASSES, RECIPE

from deepseek_core import console, errors
from deepseek_observe.tune.decay import Tuned
from deepseek_observe.tune.recipe import read_recipe, tuned_tables
from deepseek_observe.tune.target import open_target

WRONG = (
    CLASSES
    + """

from torch.utils.data import DataLoader, IterableDataset

SGD = torch.optim.SGD
NOTHING = 3


def two():
    return make_model(), loss


def no_model():
    return 3, loss, make_data()


def torchs_loss():
    return make_model(), nn.CrossEntropyLoss(), make_data()


def no_loss():
    return make_model(), 3, make_data()


def text():
    return make_model(), loss, "text"


def tensors():
    return make_model(), loss, make_data().tensors


class Endless(IterableDataset):
    def __iter__(self):
        yield 1


def endless():
    return make_model(), loss, Endless()


def one():
    return make_model(), loss, make_data(1)


def frozen():
    model = make_model()
    for param in model.parameters():
        param.requires_grad = False
    return model, loss, make_data()


def lazy():
    return nn.LazyLinear(4), loss, make_data()


def other():
    return make_model(), loss, make_data(), SGD(make_model().parameters(), lr=0.1)


def no_optimizer():
    return make_model(), loss, make_data(), 3


def raises():
    raise RuntimeError("no such disk")


def argument(size):
    return build()


def mapping():
    return {"model": make_model(), "loss": loss, "data": make_data(), "batch": 3}


def loader():
    data = DataLoader(make_data(), batch_size=8, collate_fn=lambda rows: len(rows))
    return {"model": make_model(), "loss": loss, "data": data, "optimizer": SGD}
"""
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    import sys

    (tmp_path / "train.py").write_text(WRONG)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("two", "gave 2 parts"),
        ("no_model", "the model is a int"),
        ("torchs_loss", "takes outputs and targets"),
        ("no_loss", "the loss is a int"),
        ("text", "a str is no dataset"),
        ("tensors", "a tuple of 2 tensors"),
        ("endless", "only iterable"),
        ("one", "have 1 samples"),
        ("frozen", "no parameter that is trained"),
        ("lazy", "without a shape yet"),
        ("other", "none of the model's parameters"),
        ("no_optimizer", "the optimizer is a int"),
        ("raises", "RuntimeError: no such disk"),
        ("argument", "missing a required argument"),
        ("mapping", "a mapping of model, loss, data, batch"),
        ("NOTHING", "is a int"),
        ("buidl", "did you mean 'build'"),
    ],
)
def test_what_is_wrong_is_told(folder, name, told):
    with pytest.raises((errors.ConfigError, errors.InputError), match=told) as caught:
        open_target(f"train.py:{name}")
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["train.py", "nowhere.py:build", "no.such.module:build", "a b"])
def test_a_target_that_is_nowhere_is_told(folder, text):
    with pytest.raises(errors.ConfigError, match="TARGET"):
        open_target(text)


def test_a_loader_gives_its_dataset_and_how_it_collates(folder):
    problem = open_target("train.py:loader").problem
    assert problem.data.length == 600
    assert problem.data.read([1, 2, 3]) == 3


def test_a_recipe_says_batch_rate_and_length(folder):
    target = open_target("recipe.toml")
    assert (target.batch, target.rate, target.samples) == (20, 0.003, 1200)
    assert target.problem.optimizer.param_groups[0]["momentum"] == 0.9


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("[loss]", "[lost]"), "loss"),
        (('factory = "train.py:make_data"', ""), "factory"),
        (('"cross_entropy"', '"entropy"'), "no loss 'entropy'"),
        (('"SGD"', '"SDG"'), "no 'SDG'"),
        (("hidden", "hiden"), "hiden"),
        (("batch = 20", "batch = 0"), "train.batch is 0"),
        (("[model]", "evaluate = 3\n[model]"), "evaluate is not a table"),
        (("[model]", "[model"), "is not TOML"),
    ],
)
def test_a_recipe_that_is_wrong_is_told(folder, change, told):
    (folder / "recipe.toml").write_text(RECIPE.replace(*change))
    with pytest.raises(errors.ConfigError, match=told) as caught:
        open_target("recipe.toml")
    assert caught.value.remedy


TUNED = Tuned(batch=80, micro=40, rate=0.02, warmup_steps=10, warmup_start=0.005)


def test_a_tuned_recipe_trains_as_many_samples_and_warms_up(folder):
    recipe = read_recipe(folder / "recipe.toml")
    found = tuned_tables(recipe, TUNED, folder)
    assert found["train"] == {"epochs": 2, "batch": 80, "microbatch": 40}
    assert found["optimizer"]["kwargs"] == {"lr": 0.02, "momentum": 0.9}
    warm = {"start_factor": 0.25, "total_iters": 10}
    assert found["scheduler"] == {"name": "LinearLR", "kwargs": warm}
    assert recipe.tables["optimizer"]["kwargs"]["lr"] == 0.003  # which stays
    assert tomllib.loads(console.as_toml(found)) == found


def test_a_batch_that_fits_at_once_is_cut_by_the_number_of_processes_alone(folder):
    recipe = read_recipe(folder / "recipe.toml")
    found = tuned_tables(recipe, attrs.evolve(TUNED, micro=None), folder)
    assert found["train"] == {"epochs": 2, "batch": 80}


def test_counts_of_steps_follow_the_batch(folder):
    text = RECIPE.replace("epochs = 2", "steps = 100") + (
        '[scheduler]\nname = "MultiStepLR"\nkwargs = { milestones = [40, 80], gamma = 0.5 }\n'
    )
    (folder / "recipe.toml").write_text(text)
    found = tuned_tables(read_recipe(folder / "recipe.toml"), TUNED, folder)
    assert found["train"]["steps"] == 25
    then = found["scheduler"]["kwargs"]["then"]
    assert then == {"name": "MultiStepLR", "kwargs": {"milestones": [10, 20], "gamma": 0.5}}


def test_a_warm_up_stands_before_the_recipes_own_schedule(folder):
    import torch

    from deepseek_observe.tune.schedule import warmed

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    warm = {"start_factor": 0.5, "total_iters": 4}
    schedule = warmed(optimizer, warm, {"name": "CosineAnnealingLR", "kwargs": {"T_max": 100}})
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    wanted = [
        0.1 * min(1.0, 0.5 + step / 8) * (1 + math.cos(math.pi * step / 100)) / 2
        for step in range(100)
    ]
    assert rates == pytest.approx(wanted)


def test_files_are_found_from_another_folder(folder):
    other = folder / "tuned"
    other.mkdir()
    found = tuned_tables(read_recipe(folder / "recipe.toml"), TUNED, other)
    assert found["model"]["factory"] == "../train.py:make_model"
    (other / "tuned.toml").write_text(console.as_toml(found))
    assert open_target(str(other / "tuned.toml")).batch == 80


def test_a_schedule_of_a_file_is_found_from_another_folder(folder):
    (folder / "sched.py").write_text(
        "import torch\n\n\ndef make(optimizer):\n"
        "    return torch.optim.lr_scheduler.StepLR(optimizer, 100)\n"
    )
    text = RECIPE + '[scheduler]\nfactory = "sched.py:make"\n'
    (folder / "recipe.toml").write_text(text)
    other = folder / "tuned"
    other.mkdir()
    found = tuned_tables(read_recipe(folder / "recipe.toml"), TUNED, other)
    assert found["scheduler"]["kwargs"]["then"]["factory"] == "../sched.py:make"


@pytest.mark.parametrize("own", ["", '[scheduler]\nname = "StepLR"\nkwargs = {step_size = 5}\n'])
def test_a_recipe_that_is_tuned_again_has_one_warm_up(folder, own):
    (folder / "recipe.toml").write_text(RECIPE + own)
    once = tuned_tables(read_recipe(folder / "recipe.toml"), TUNED, folder)
    (folder / "again.toml").write_text(console.as_toml(once))
    assert tuned_tables(read_recipe(folder / "again.toml"), TUNED, folder) == once
