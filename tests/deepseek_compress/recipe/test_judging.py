"""Verdicts by the user's own metric: its name, its threshold, what each is asked about."""

import json
from pathlib import Path

import pytest
import torch
from recipe_kit import RECIPE, job_of, open_step, quiet, write_recipe

from deepseek_compress.cli.common import print_report
from deepseek_compress.recipe.data import load_data
from deepseek_compress.recipe.job import Job
from deepseek_compress.recipe.judging import Judge
from deepseek_compress.recipe.models import SourceModel
from deepseek_compress.recipe.run import run
from deepseek_compress.report.page import write_page
from deepseek_core import compression, errors

DATA = """
import numpy as np

ASKED = []

def rows(count, seed):
    x = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    return x, (x.sum(axis=1) > 0.5).astype(np.int64)

def train():
    return rows(60, 0)

def validation():
    return rows(41, 1)

def test():
    return rows(83, 2)

def threshold(outputs, labels):
    ASKED.append(len(labels))
    return float(np.quantile(outputs[labels == 0, 1], 0.9))

def recall(outputs, labels, threshold):
    ASKED.append(-len(labels))
    return np.ma.array(outputs[:, 1] > threshold, mask=labels == 0)
"""
SOURCE = {
    name: f"data.py:{name}" for name in ("train", "validation", "test", "metric", "threshold")
} | {"metric": "data.py:recall"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data.py").write_text(DATA)
    return tmp_path


def net():
    torch.manual_seed(0)
    return torch.nn.Linear(4, 2)


def loaded(folder, **fields):
    model = SourceModel(name="net", form="torch", model=net(), inputs={"input": (1, 4)})
    return load_data(compression.DataSource(**fields), folder, model, 1)


def asked_of(data):
    return data.evaluate.func.__self__.metric.__globals__["ASKED"]


def test_the_threshold_is_chosen_on_validation_samples_alone(folder):
    data = loaded(folder, **SOURCE)
    found = data.evaluate(net(), "torch")
    assert asked_of(data) == [41, -83]
    assert found.metric == "recall"
    assert found.score.count == found.counted.sum() < 83
    again = data.judge(net(), "torch")
    assert asked_of(data)[2:] == [41, -41]
    assert again.threshold == found.threshold


def test_each_model_has_its_own(folder):
    data, other = loaded(folder, **SOURCE), net()
    with torch.no_grad():
        other.bias += 100
    one, shifted = data.evaluate(net(), "torch"), data.evaluate(other, "torch")
    assert shifted.threshold == pytest.approx(one.threshold + 100, abs=1e-3)
    assert shifted.score == one.score


def test_a_threshold_needs_a_metric_and_samples(folder):
    without = {name: text for name, text in SOURCE.items() if name != "metric"}
    with pytest.raises(errors.ConfigError, match="for a metric of your own"):
        loaded(folder, **without)
    for name in ("train", "validation"):
        without = {key: text for key, text in SOURCE.items() if key != "validation"}
        more = {"validation_share": 0.0} if name == "train" else {}
        if name == "validation":
            without.pop("train")
        with pytest.raises(errors.ConfigError, match="chosen on validation samples") as caught:
            loaded(folder, **without, **more)
        assert "data.validation" in caught.value.remedy


def test_what_is_no_function_is_refused(folder):
    for name in ("metric", "threshold", "loss"):
        with pytest.raises(errors.ConfigError, match=f"data.{name} data.py:ASKED is a list"):
            loaded(folder, **{**SOURCE, name: "data.py:ASKED"})


def test_a_test_without_what_counts_is_refused(folder):
    text = DATA.replace("return x, (x.sum(axis=1) > 0.5)", "return x, (x.sum(axis=1) > 99)")
    (folder / "data.py").write_text(text)
    with pytest.raises(errors.InputError, match="recall masks all 83 samples"):
        loaded(folder, **SOURCE).evaluate(net(), "torch")
    (folder / "good.py").write_text(text.replace("> 99", "> -99"))
    only = {name: text.replace("data.py", "good.py") for name, text in SOURCE.items()}
    with pytest.raises(errors.InputError, match="threshold function threshold") as caught:
        loaded(folder, **only).evaluate(net(), "torch")
    assert caught.value.remedy


def test_reports_speak_of_the_metric(folder, capsys):
    names = ("train", "validation", "test", "threshold")
    lines = "".join(f'{name} = "data.py:{name}"\n' for name in names)
    data = f'[data]\n{lines}metric = "data.py:recall"\n\n[[step]]'
    text = RECIPE.replace("[[step]]", data, 1).replace("accuracy_drop", "recall_drop")
    job = Job.read(write_recipe(folder, text), open_step)
    report = run(job, folder / "out", resume=False, progress=quiet)
    assert report.metric == compression.Metric(name="recall")
    kept = json.loads((folder / "out" / "report.json").read_text())
    assert kept["verdict"][1]["name"] == "accuracy_drop"  # keys stay
    one, copy = (variant["threshold"] for variant in kept["variants"])
    assert one == copy != kept["steps"][0]["figures"]["threshold"]
    print_report(compression.CompressionReport.from_json(kept))
    told = capsys.readouterr().out
    page = (folder / "out" / "report.html").read_text()
    for words in (told, page):
        assert "recall_drop" in words
        assert "RECALL" in words
        assert "THRESHOLD" in words
        assert "accuracy" not in words.lower()


def test_without_a_metric_nothing_changes(tmp_path, capsys):
    report = run(job_of(write_recipe(tmp_path)), tmp_path / "out", resume=False, progress=quiet)
    print_report(report)
    told = capsys.readouterr().out
    assert "accuracy_drop" in told
    assert "THRESHOLD" not in told
    write_page(tmp_path / "page.html", report)
    assert "Accuracy against size" in Path(tmp_path / "page.html").read_text()


METRICS = """

def psnr(outputs, labels):
    return 31.4 + outputs[:, 1] - outputs[:, 1].mean()


def error(outputs, labels):
    return -(np.abs(outputs[:, 1] - labels)).mean() - 3.0
"""


@pytest.mark.parametrize("metric", ["psnr", "error"])
def test_a_metric_that_is_no_share_needs_a_unit_and_is_told_in_it(folder, capsys, metric):
    (folder / "data.py").write_text(DATA + METRICS)
    source = {name: SOURCE[name] for name in ("train", "test")}
    with pytest.raises(errors.InputError, match=f"the metric {metric} gives") as caught:
        data = loaded(folder, **source, metric=f"data.py:{metric}")
        data.evaluate(net(), "torch")
    assert "data.metric_unit" in caught.value.remedy
    lines = "".join(f'{name} = "{text}"\n' for name, text in source.items())
    lines += f'metric = "data.py:{metric}"\nmetric_unit = "dB"\n'
    text = RECIPE.replace("[[step]]", f"[data]\n{lines}\n[[step]]", 1)
    text = text.replace("accuracy_drop", f"{metric}_drop")
    job = Job.read(write_recipe(folder, text), open_step)
    report = run(job, folder / "out", resume=False, progress=quiet)
    of_drop = next(row for row in report.verdict if row.name == "accuracy_drop")
    first, last = report.steps[0].accuracy.value, report.variants[-1].accuracy.value
    assert of_drop.got == pytest.approx(first - last)  # no hundredths
    assert of_drop.low <= of_drop.got <= of_drop.high
    print_report(report)
    told = capsys.readouterr().out.replace("100% of MACs", "")
    page = (folder / "out" / "report.html").read_text()
    for words in (told, page.partition("</style>")[2]):
        assert f"{first:.4g} dB" in words
        assert "%" not in words.replace("100%", "")
        assert "points" not in words


def test_a_model_of_nan_is_noted_or_refused(folder):
    broken = net()
    broken.weight.data[:] = float("nan")
    data = loaded(folder, train=SOURCE["train"], test=SOURCE["test"])
    assert "NaN or infinity for 83 samples" in data.evaluate(broken, "torch").notes[-1]
    with pytest.raises(errors.InputError, match="gives NaN"):
        nan = lambda outputs, labels: outputs.mean()  # noqa: E731
        Judge(metric=nan).evaluation(broken, "torch", data.test)
