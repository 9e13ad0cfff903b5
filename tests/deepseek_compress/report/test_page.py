"""The page of a report: all that it says, escaped, and drawings that keep within their frame."""

import re

import attrs
import pytest
from page_rules import faults

from deepseek_compress.cli.common import print_report
from deepseek_compress.report.charts import layer_bars, scatter
from deepseek_compress.report.page import write_page
from deepseek_core import compression as c

NASTY = '<script>alert("x")</script>'


def interval(value):
    return c.Interval(value=value, low=value - 0.01, high=value + 0.01, count=1000)


def report(**changes):
    profile = c.ModelProfile(parameters=700_000, macs=22_300_000)
    small = c.ModelProfile(parameters=189_000, macs=6_000_000)
    budget = c.Budget.parse({"parameters": "/3.7", "accuracy_drop": 1.0, "macs": 1000})
    made = c.CompressionReport(
        model=NASTY,
        verdict=budget.rows(
            {"parameters": 700_000, "macs": 22_300_000, "accuracy": 0.91},
            {"parameters": 189_000, "macs": 6_000_000, "accuracy": 0.905},
        ),
        steps=(
            c.StepRow(step="original", profile=profile, accuracy=interval(0.91)),
            c.StepRow(step="prune", profile=small, notes=(NASTY,)),
        ),
        variants=(
            c.Variant(
                name="fp32", file="model.fp32.onnx", target="any", nbytes=760_000,
                accuracy=interval(0.906), latency_s=2e-3, device="onnx:cpu",
                evidence="cpu-runtime",
            ),
            c.Variant(
                name="ort_x86", file="model.ort_x86.onnx", target="ort_x86", nbytes=210_000,
                accuracy=interval(0.905), latency_s=1e-3, device="onnx:cpu", int8_coverage=1.0,
                evidence="cpu-runtime", shipped=True,
            ),
        ),
        layers=({"name": NASTY, "channels_before": 64, "channels_after": 24},),
        not_measured=("TensorRT: no GPU",),
    )  # fmt: skip
    return attrs.evolve(made, **changes)


def page(tmp_path, **changes):
    path = tmp_path / "report.html"
    write_page(path, report(**changes))
    return path.read_text()


def test_the_page_says_what_the_report_has(tmp_path):
    text = page(tmp_path)
    for words in (
        "The budget does not hold: macs.", "model.ort_x86.onnx", "100% of MACs", "90.50 %",
        "1 ms on onnx:cpu (cpu-runtime)", "24 of 64", "TensorRT: no GPU",
        "Accuracy against size", "Accuracy against latency",
    ):  # fmt: skip
        assert words in text, words


def test_warnings_are_told_with_the_names_of_steps_and_files(tmp_path, capsys):
    made = report()
    steps = (*made.steps, attrs.evolve(made.steps[1], warnings=("a channel is gone",)))
    files = (made.variants[0], attrs.evolve(made.variants[1], warnings=("slow here",)))
    text = page(tmp_path, steps=steps, variants=files)
    print_report(report(steps=steps, variants=files))
    printed = capsys.readouterr().out
    for told in ("prune: a channel is gone", "model.ort_x86.onnx: slow here"):
        assert told in text
        assert f"\n{told}\n" in printed


def test_nothing_of_a_stranger_is_taken_for_markup(tmp_path):
    assert "<script>" not in page(tmp_path)
    assert faults(page(tmp_path)) == []


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [
        ({"parameters"}, "The budget holds."),
        (set(), "No budget was given."),
    ],
)
def test_the_first_sentence_is_the_verdict(tmp_path, keep, sentence):
    verdict = tuple(row for row in report().verdict if row.name in keep)
    assert sentence in page(tmp_path, verdict=verdict)


def test_what_was_not_measured_is_never_called_held(tmp_path):
    rows = c.Budget.parse({"nbytes": 10}).rows({}, {})
    assert "not measured: nbytes" in page(tmp_path, verdict=rows)


def test_a_report_without_figures_is_a_page_too(tmp_path):
    text = page(tmp_path, variants=(), layers=(), steps=())
    assert "Accuracy against" not in text


def variant(name, milliseconds, value, low, high):
    return c.Variant(
        name=name, file=name, target="any", nbytes=1, latency_s=milliseconds / 1e3,
        accuracy=c.Interval(value=value, low=low, high=high, count=10),
    )  # fmt: skip


@pytest.mark.parametrize("costs", [[1.0], [0.0], [1e-6, 5e6], [3.0, 3.0, 3.0]])
def test_points_lie_within_the_drawing(costs):
    points = [variant(str(cost), cost, 0.5, 0.5, 0.5) for cost in costs]
    drawn = scatter(points, "latency", c.Metric())
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', drawn).groups())
    for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn):
        assert 0 <= float(x) <= width
        assert 0 <= float(y) <= height


def test_bars_are_in_proportion():
    drawn = layer_bars([{"name": "a", "channels_before": 100, "channels_after": 25}])
    before, after = map(float, re.findall(r'width="([\d.]+)" height', drawn))
    assert after / before == pytest.approx(0.25, rel=0.01)


def test_what_has_no_bounds_is_drawn_within_the_frame():
    inf = float("inf")
    points = [variant("m", 1.0, 31.4, -inf, inf)]
    drawn = scatter(points, "latency", c.Metric(name="psnr", unit="dB"))
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert " dB</text>" in drawn
    assert "%" not in drawn
