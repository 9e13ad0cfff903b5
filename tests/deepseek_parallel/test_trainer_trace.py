"""A trace of some steps: which, where, and that it names what made them slow."""

import logging
import time

import pytest
import torch
import trainer_jobs as jobs
from process import one_thread

from deepseek_core import errors
from deepseek_observe.profile.profile import profile
from deepseek_observe.reading.reading import read_trace
from deepseek_parallel.trainer.tracing import Trace
from deepseek_parallel.trainer.trainer import Trainer


class Slow(torch.utils.data.Dataset):
    """Samples that take a millisecond each."""

    def __init__(self):
        self._data = jobs.data()

    def __len__(self):
        return len(self._data)

    def __getitem__(self, number):
        time.sleep(0.001)
        return self._data[number]


def pausing(model, batch):
    """A loss that does something else in between."""
    with torch.profiler.record_function("augment"):
        time.sleep(0.01)
    return jobs.mean(model, batch)


def traced(folder, *, steps=5, data=None, loss=jobs.mean, **options):
    model = jobs.plain()
    with one_thread():
        Trainer(
            model, jobs.sgd(model), loss, data or jobs.data(), batch=10,
            trace=Trace(folder=folder, **{"skip": 2, "steps": 2, **options}),
        ).fit(steps=steps)  # fmt: skip


def first_finding(folder):
    (path,) = folder.iterdir()
    assert path.name == "rank0.json.gz"
    return profile(read_trace(path)).findings[0]


def test_a_slow_dataset_is_named(tmp_path):
    traced(tmp_path / "t", data=Slow())
    assert first_finding(tmp_path / "t").kind == "data_loader"


def test_a_slow_part_that_the_user_has_marked_is_named(tmp_path):
    traced(tmp_path / "t", loss=pausing)
    assert "'augment'" in first_finding(tmp_path / "t").title


@pytest.mark.parametrize(("length", "counted"), [(5, 2), (3, 1)])
def test_the_steps_are_those_that_were_asked_for(tmp_path, length, counted):
    """Two after the first two, or as many as there are."""
    traced(tmp_path / "t", steps=length)
    found = read_trace(tmp_path / "t" / "rank0.json.gz")
    assert sum(text == "forward and backward" for text in map(found.text, range(len(found)))) == (
        counted
    )


def test_a_training_that_is_too_short_has_none_and_says_so(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        traced(tmp_path / "t", steps=2)
    assert not (tmp_path / "t").exists()
    assert "no trace" in caplog.text


def test_a_profiler_is_never_left_on(tmp_path):
    def failing(model, batch):
        if torch.autograd._profiler_enabled():
            raise KeyError("in a step that is recorded")
        return jobs.mean(model, batch)

    with pytest.raises(KeyError):
        traced(tmp_path / "t", loss=failing)
    assert not torch.autograd._profiler_enabled()
    assert not (tmp_path / "t").exists()


def test_traces_of_another_run_are_not_mixed_in(tmp_path):
    traced(tmp_path / "t")
    with pytest.raises(errors.ConfigError, match="traces of another run"):
        traced(tmp_path / "t")


def test_a_folder_that_cant_be_is_told(tmp_path):
    (tmp_path / "t").write_text("a file")
    with pytest.raises(errors.WriteError, match="can't be written"):
        traced(tmp_path / "t")


@pytest.mark.parametrize(("name", "value"), [("skip", 0), ("steps", 0), ("steps", True)])
def test_bad_numbers_are_refused(tmp_path, name, value):
    with pytest.raises(errors.ConfigError, match=f"{name} of a trace"):
        Trace(folder=tmp_path, **{name: value})
