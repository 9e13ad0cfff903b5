"""Recipes run as children of `ds-sdk`: their progress and Ctrl-C are passed on, and they go on."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_apps.shared.recipes import export_weights, train, write_recipe
from deepseek_core import applications, errors

PARTS = """
import torch
from torch.utils.data import TensorDataset


def make_model():
    return torch.nn.Linear(4, 2)


def make_data():
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    return TensorDataset(x, (x[:, 0] > 0).long())
"""
TABLES = {
    "model": {"factory": "parts.py:make_model"},
    "data": {"factory": "parts.py:make_data"},
    "optimizer": {"name": "SGD", "kwargs": {"lr": 0.1}},
    "loss": {"name": "cross_entropy"},
    "train": {"steps": 12, "batch": 16, "seed": 0},
    "checkpoint": {"url": "saved"},
    "log": {"folder": "log"},
}
LINES = st.text(st.characters(codec="utf-8"), max_size=12)
LEAVES = st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), LINES)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(LINES, inner, max_size=3)),
    max_leaves=8,
)


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "parts.py").write_text(PARTS)
    return write_recipe(tmp_path / "recipe.toml", TABLES)


def seen(folder):
    """A context, and what its progress was told."""
    told = []
    context = applications.ApplicationContext(
        folder=folder, progress=lambda done, of, text: told.append((done, of, text))
    )
    return context, told


@given(st.dictionaries(LINES, VALUES, max_size=4))
def test_what_is_written_as_toml_comes_back(tmp_path_factory, tables):
    path = tmp_path_factory.mktemp("toml") / "r.toml"
    assert tomllib.loads(write_recipe(path, tables).read_text(encoding="utf-8")) == tables


def test_none_is_left_out(tmp_path):
    path = write_recipe(tmp_path / "r.toml", {"train": {"steps": 3, "clip": None}})
    assert tomllib.loads(path.read_text()) == {"train": {"steps": 3}}


def test_a_training_tells_its_progress_and_goes_on_from_its_checkpoint(recipe, tmp_path):
    context, told = seen(tmp_path)
    assert train(recipe, context)["steps"] == 12
    assert told[0][:2] == (1, 12)
    assert told[-1][:2] == (12, 12)
    assert "loss" in told[-1][2]
    context, told = seen(tmp_path)
    report = train(recipe, context, changes=["train.steps=15"])
    assert report["resumed"] == 12
    assert [done for done, _, _ in told] == [13, 14, 15]


def test_a_training_that_fails_has_its_last_words(recipe, tmp_path):
    write_recipe(recipe, {**TABLES, "loss": {"name": "cross_entropi"}})
    with pytest.raises(errors.DeepSeekError, match="cross_entropi") as failed:
        train(recipe, seen(tmp_path)[0])
    assert "ended with exit code 2" in failed.value.message


def test_what_progress_raises_stops_the_training_which_then_goes_on(recipe, tmp_path):
    context, _ = seen(tmp_path)
    stop = threading.Event()

    def until_five(done, _of, _text):
        stop.set()
        raise errors.Interrupted("enough")

    with pytest.raises(errors.Interrupted, match="enough"):
        train(recipe, attrs.evolve(context, progress=until_five), changes=["train.steps=2000000"])
    assert stop.is_set()
    saved = sorted(path.name for path in (tmp_path / "saved").iterdir())
    assert saved
    step = json.loads((tmp_path / "log" / "log.jsonl").read_text().splitlines()[-1])["step"]
    report = train(recipe, context, changes=[f"train.steps={step + 2}"])
    assert 0 < report["resumed"] <= step


PARENT = """
import sys
from pathlib import Path
from deepseek_apps.shared.recipes import train
from deepseek_core import applications
folder = Path(sys.argv[1])
train(folder / "recipe.toml", applications.ApplicationContext(folder=folder),
      changes=["train.steps=10000000"])
"""


def test_a_training_ends_with_a_parent_that_was_killed(recipe, tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)])
    log = tmp_path / "log" / "log.jsonl"
    wait_for(lambda: log.is_file() and log.stat().st_size > 0)
    child = next(pid for pid in children_of(parent.pid))
    parent.send_signal(signal.SIGKILL)
    parent.wait(timeout=30)
    wait_for(lambda: not is_alive(child))
    assert any((tmp_path / "saved").iterdir())


def children_of(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(is_so, limit_s=60.0):
    end_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_weights_that_can_not_be_exported_are_told(tmp_path):
    (tmp_path / "saved").mkdir()
    with pytest.raises(errors.DeepSeekError):
        export_weights(tmp_path / "saved", tmp_path / "model.safetensors", step=3)
    assert not (tmp_path / "model.safetensors").exists()
