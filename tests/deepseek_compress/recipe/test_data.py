"""What a recipe's samples are used for: nothing that steps choose by is judged by the verdict."""

import numpy as np
import pytest
import torch

from deepseek_compress.recipe.data import load_data
from deepseek_compress.recipe.models import SourceModel
from deepseek_core import compression, errors

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
