"""Recipes: all faults at once, nearest keys, and the way back to a table."""

import tomllib

import pytest

from deepseek_core import compression, errors

Recipe = compression.Recipe


TEXT = """
[model]
entry = "mine.net:make"
weights = "net.npz"
input = [1, 3, 224, 224]

[data]
train = "mine.data:train"
test = "mine.data:test"
calibration_samples = 256

[[step]]
use = "prune"
criterion = "cis"
round_to = 8

[[step]]
use = "distill"
epochs = 4

[[lower]]
use = "ort_x86"

[budget]
parameters = "/3.7"
accuracy_drop = "<= 1.0 pt"

[run]
seed = 3
threads = 1
"""


def faults(table):
    with pytest.raises(errors.ConfigError) as refused:
        Recipe.parse(table)
    return str(refused.value).splitlines()


def test_a_recipe_survives_its_table():
    recipe = Recipe.parse(tomllib.loads(TEXT))
    assert Recipe.parse(recipe.to_table()) == recipe
    assert recipe.steps[0].options == {"criterion": "cis", "round_to": 8}
    assert recipe.model.inputs == {"input": (1, 3, 224, 224)}


def test_a_target_may_begin_with_the_file_of_another_one():
    table = tomllib.loads(TEXT)
    table["lower"] += [{"use": "engine", "of": "ort_x86", "compute": ["8.6"]}]
    recipe = Recipe.parse(table)
    assert recipe.lower[1].of == "ort_x86"
    assert recipe.lower[1].options == {"compute": ["8.6"]}
    assert Recipe.parse(recipe.to_table()) == recipe
    table["step"][0]["of"] = "ort_x86"  # steps follow each other: there it is an option
    assert Recipe.parse(table).steps[0].options["of"] == "ort_x86"
    table["lower"][1]["of"] = 7
    assert faults(table) == ["lower[1].of must be a text in quotes, got 7"]


def test_every_fault_has_its_own_line():
    table = tomllib.loads(TEXT)
    table["bugdet"] = {}
    table["data"]["trian"] = "x:y"
    table["run"]["threads"] = 0
    table["step"][1] = {"epochs": 4}
    found = faults(table)
    assert len(found) == 4
    assert "budget" in found[0]
    assert "train" in found[1]
    assert "step[1]" in found[2]
    assert "threads" in found[3]


@pytest.mark.parametrize(
    "model",
    [
        None,
        "net.onnx",
        {},
        {"entry": "a:b", "path": "m.onnx"},
        {"path": ""},
        {"path": "m.onnx", "input": [1], "inputs": {"x": [1]}},
        {"path": "m.onnx", "input": []},
        {"path": "m.onnx", "input": [0, 3]},
        {"path": "m.onnx", "input": [1, True]},
        {"path": "m.onnx", "inputs": [1, 3]},
        {"path": "m.onnx", "input": 3},
    ],
)
def test_a_model_that_is_none_is_refused(model):
    assert faults({} if model is None else {"model": model})


@pytest.mark.parametrize("steps", ["prune", {"use": "prune"}, [3], [{"use": 1}], 7])
def test_steps_are_tables_that_say_what_they_use(steps):
    assert any("step" in line for line in faults({"model": {"path": "m.onnx"}, "step": steps}))


def test_a_recipe_of_a_later_version_is_refused():
    assert "schema" in faults({"model": {"path": "m.onnx"}, "schema": 99})[0]


def test_a_student_stands_beside_a_module_and_a_reference_beside_a_metric():
    table = tomllib.loads(TEXT)
    table["model"]["student"] = "mine.net:small"
    table["data"] |= {"metric": "mine.data:nearest", "reference": "mine.data:known"}
    recipe = Recipe.parse(table)
    assert recipe.model.student == "mine.net:small"
    assert Recipe.parse(recipe.to_table()) == recipe
    del table["data"]["metric"]
    assert "reference is for a metric" in faults(table)[0]
    file = {"path": "net.onnx", "student": "mine.net:small"}
    assert "student" in faults({"model": file})[0]


@pytest.mark.parametrize("share", [-0.1, 1.0, "tenth", True])
def test_a_share_of_validation_is_a_share(share):
    table = {"model": {"path": "m.onnx"}, "data": {"validation_share": share}}
    assert "validation_share" in faults(table)[0]


def test_a_budget_by_the_recipes_own_metric():
    data = {"test": "d.py:test", "metric": "d.py:recall", "threshold": "d.py:threshold"}
    table = {"model": {"path": "m.onnx"}, "data": data, "budget": {"recall_drop": 1.0}}
    recipe = compression.Recipe.parse(table)
    assert recipe.data.judged_by == recipe.budget.metric == compression.Metric(name="recall")
    assert recipe.budget.accuracy_drop == 1.0
    assert compression.Recipe.parse(recipe.to_table()) == recipe
    with pytest.raises(errors.ConfigError, match="no key 'recall_drop'"):
        compression.Recipe.parse({**table, "data": {"test": "d.py:test"}})


def test_a_unit_is_of_a_metric():
    data = {"test": "d.py:test", "metric": "d.py:psnr", "metric_unit": "dB"}
    table = {"model": {"path": "m.onnx"}, "data": data, "budget": {"psnr_drop": "0.5 dB"}}
    recipe = compression.Recipe.parse(table)
    assert recipe.budget.metric == compression.Metric(name="psnr", unit="dB")
    assert compression.Recipe.parse(recipe.to_table()) == recipe
    del data["metric"]
    with pytest.raises(errors.ConfigError, match="metric_unit is for a metric"):
        compression.Recipe.parse({**table, "budget": {}})


@pytest.mark.parametrize("run", [{"seed": 10**22}, {"seed": -1}, {"batch": 64}])
def test_a_run_has_a_seed_that_every_library_takes_and_nothing_without_effect(run):
    (told,) = faults({"model": {"path": "m.onnx"}, "run": run})
    assert next(iter(run)) in told
