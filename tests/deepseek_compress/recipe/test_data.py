"""What a recipe's samples are used for: nothing that steps choose by is judged by the verdict."""

import numpy as np
import pytest
import torch

from deepseek_compress.lower.export import export_onnx
from deepseek_compress.recipe.data import load_data
from deepseek_compress.recipe.fingerprints import fingerprints
from deepseek_compress.recipe.models import SourceModel, load_model
from deepseek_core import Artifact, compression, errors

MODEL = SourceModel(name="net", form="torch", model=None, inputs={"input": (1, 4)})
SOURCE = """
import numpy as np

def train():
    return np.arange(400, dtype=np.float32).reshape(100, 4), np.arange(100) % 2

def test():
    return np.arange(40, dtype=np.float32).reshape(10, 4) + 1000, np.arange(10) % 2

def few():
    return np.zeros((2, 4), np.float32), np.arange(2)

def nearest(outputs, labels, known, known_labels):
    gaps = np.abs(outputs[:, None] - known).sum(axis=2)
    return known_labels[gaps.argmin(axis=1)] == labels

def wide():
    return np.zeros((9, 5), np.float32), np.arange(9) % 2

def whole():
    return np.arange(40).reshape(10, 4), np.arange(10) % 2

def small():
    return np.arange(40, dtype=np.int32).reshape(10, 4), np.arange(10) % 2

def half():
    return np.arange(40, dtype=np.float16).reshape(10, 4), np.arange(10) % 2

class Rows:
    def __init__(self):
        self.x, self.y = train()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, at):
        return self.x[at] + np.random.random(), self.y[at]

class NoLength(Rows):
    def __len__(self):
        raise TypeError("it has none")

class Share:
    def __call__(self, outputs, labels):
        return (outputs.argmax(1) == labels).mean()

class Needs:
    def __init__(self, path):
        pass

number = 3
"""


@pytest.fixture
def load(tmp_path):
    (tmp_path / "data.py").write_text(SOURCE)

    def load(**fields):
        return load_data(compression.DataSource(**fields), tmp_path, MODEL, 1)

    return load


def rows(samples):
    found = np.concatenate([batch.inputs["input"] for batch in samples.batches(16)])
    return {tuple(row) for row in found}


def test_a_tenth_of_the_training_samples_is_held_out(load):
    data = load(train="data.py:train", test="data.py:test")
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 10)
    assert not rows(data.train) & rows(data.validation)
    assert rows(data.calibration) <= rows(data.train)
    again = load(train="data.py:train")
    assert rows(again.validation) == rows(data.validation)


def test_samples_of_its_own_or_none(load):
    own = load(train="data.py:train", validation="data.py:test")
    assert (len(own.train), len(own.validation)) == (100, 10)
    none = load(train="data.py:train", validation_share=0.0)
    assert len(none.train) == 100
    assert none.validation is none.judge is None


def test_calibration_draws_of_the_training_samples(load):
    data = load(train="data.py:train", calibration_samples=20)
    assert len(data.calibration) == 20


def test_a_metric_is_shown_the_reference_too(load):
    data = load(test="data.py:test", reference="data.py:train", metric="data.py:nearest")
    calls = []

    class Same(torch.nn.Module):
        def forward(self, x):
            calls.append(len(x))
            return x

    model = Same()
    found = data.evaluate(model, "torch").score
    assert (found.count, found.value) == (10, 0.5)  # all are nearest to the last known one
    assert sum(calls) >= 110
    calls.clear()
    assert data.evaluate(model, "torch").score == found
    assert not calls  # the first model is the original: it is judged once
    assert data.evaluate(Same(), "torch").score == found
    assert calls


def test_what_does_not_fit_is_refused(load):
    with pytest.raises(errors.InputError, match="samples is 0"):
        load(train="data.py:few")
    with pytest.raises(errors.InputError, match="shape"):
        load(train="data.py:wide")
    with pytest.raises(errors.ConfigError, match="has no 'tset'"):
        load(test="data.py:tset")


def test_without_data_there_is_nothing_to_judge(load):
    data = load()
    names = ("train", "validation", "test", "calibration", "reference")
    assert data.parts() == dict.fromkeys(names)
    assert data.evaluate is data.judge is data.drop is None


def test_a_class_stands_for_what_it_makes(load):
    assert len(load(test="data.py:Rows", metric="data.py:Share").test) == 100


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"test": "data.py:NoLength"}, "NoLength has no length"),
        (
            {"test": "data.py:train", "metric": "data.py:number"},
            "data.py:number is a int",
        ),
        ({"test": "data.py:train", "loss": "data.py:Needs"}, "made without arguments: TypeError"),
    ],
)
def test_what_is_no_data_set_and_no_function(load, fields, told):
    with pytest.raises(errors.DeepSeekError, match=told):
        load(**fields)


def test_augmentation_does_not_change_what_a_data_set_is(load):
    first, again = (fingerprints({"train": load(train="data.py:Rows").train}) for _ in range(2))
    assert first["train"].sha256 == again["train"].sha256


SEVERAL = """
import torch

class Several(torch.nn.Module):
    def forward(self, input):
        return {OUTPUTS}
"""


@pytest.mark.parametrize(
    "outputs",
    [
        "(input, None, input.sum())",
        "{'logits': input, 'input': input, 'deep': [input * 2, (input * 3,)]}",
    ],
)
def test_a_metric_sees_a_file_as_it_sees_the_module(tmp_path, outputs):
    (tmp_path / "net.py").write_text(SEVERAL.replace("{OUTPUTS}", outputs))
    (tmp_path / "data.py").write_text(SOURCE)
    model = load_model(
        compression.ModelSource(entry="net.py:Several", inputs={"input": (1, 4)}), tmp_path
    )
    (tmp_path / "judge.py").write_text(METRIC)
    source = compression.DataSource(test="data.py:test", metric="judge.py:metric")
    found = load_data(source, tmp_path, model, 1)
    export_onnx(model.model, model.inputs, tmp_path / "net.onnx")
    found.evaluate(model.model, "torch")
    found.evaluate(Artifact.from_path(tmp_path / "net.onnx"), "onnx")
    of_module, of_file = found.functions["metric"].__globals__["SEEN"]
    assert jsonable(of_module) == jsonable(of_file)


METRIC = """
import numpy as np

SEEN = []

def metric(outputs, labels):
    SEEN.append(outputs)
    return np.ones(len(labels))
"""


def jsonable(value):
    if isinstance(value, dict):
        return {key: jsonable(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [jsonable(part) for part in value]
    return None if value is None else value.tolist()


@pytest.mark.parametrize(
    ("train", "test", "told"),
    [
        ("whole", "small", "data.test gives input 'input' as int32, data.train as int64"),
        ("train", "whole", "data.test gives input 'input' as int64, data.train as a float"),
        ("train", "half", None),  # fractions become what the model computes in
        ("whole", "whole", None),
    ],
)
def test_data_sets_of_two_dtypes_are_refused_before_any_work(load, train, test, told):
    fields = {"train": f"data.py:{train}", "test": f"data.py:{test}"}
    if told is None:
        load(**fields)
        return
    with pytest.raises(errors.InputError) as caught:
        load(**fields)
    assert caught.value.message == told
    assert "astype" in caught.value.remedy


def test_samples_that_do_not_calibrate_are_not_read(load, tmp_path):
    text = (
        SOURCE
        + """
READ = set()

class Pictures(Rows):
    def __getitem__(self, at):
        READ.add(at)
        return self.x[at], self.y[at]
"""
    )
    (tmp_path / "data.py").write_text(text)
    data = load(train="data.py:Pictures", calibration_samples=7)
    assert len(data.calibration) == 7
    read = type(data.train.items).__getitem__.__globals__["READ"]
    assert len(read) <= 7 + 2  # and those that tell whether the data set fits
