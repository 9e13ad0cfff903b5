"""Reports: one JSON that is read back strictly, and one page that needs nothing else."""

import json
import math
import re
from html.parser import HTMLParser

import pytest

from deepseek_apps.report.drawing import Scale
from deepseek_apps.report.page import write_page
from deepseek_apps.report.record import Report, report_of
from deepseek_core import applications, compression, errors

AUC = applications.Measure(name="AUC", unit="1")
ERROR = applications.Measure(name="calibration error", unit="1", higher_is_better=False)


def interval(value, low, high, count=5):
    return compression.Interval(value=value, low=low, high=high, count=count)


def score(model, kind, measure, *ends, **more):
    return applications.Score(
        model=model, kind=kind, measure=measure, interval=interval(*ends),
        basis="t over 5 seeds", **more,
    )  # fmt: skip


def difference(one, other, *ends):
    return applications.Difference(
        one=one, other=other, measure=AUC, interval=interval(*ends), basis="paired over 5 seeds"
    )


def curve(model):
    return applications.Curve(
        chart="reliability",
        model=model,
        x_label="predicted",
        y_label="seen",
        x=[0, 1],
        y=[0.1, 0.9],
    )


@pytest.fixture
def report():
    evaluation = applications.Evaluation(
        scores=[
            score("crosses", "ours", AUC, 0.93, 0.92, 0.94, seeds=[0, 1], parameters=4821, cpu_s=9),
            score("trees <b>", "baseline", AUC, 0.933, 0.93, 0.94),
            score("one seed", "peer", AUC, 0.9, -math.inf, math.inf, 1),
            score("crosses", "ours", ERROR, 0.01, 0.0, 0.02),
        ],
        differences=[
            difference("crosses", "trees <b>", -0.003, -0.01, 0.001),
            difference("crosses", "one seed", 0.03, 0.02, 0.04),
        ],
        curves=[curve("crosses"), curve("trees <b>")],
        notes=["calibrated on the validation part"],
    )
    card = applications.DataCard(
        source="shoppers", license="CC BY 4.0", parts={"train": 8631, "test": 2466},
        split="by row", split_hash="ab" * 32, warnings=["12 rows are in both parts"],
    )  # fmt: skip
    return Report(
        application="ctr", version="0.1", made="2030-01-01T00:00:00Z", card=card,
        evaluation=evaluation, seeds=(0, 1), options={"target": "Revenue"},
        cpu_s={"train:0": 9.0}, machines=("a machine",), versions={"numpy": "2"},
    )  # fmt: skip


def test_a_report_comes_back_as_it_was(report, tmp_path):
    report.write(tmp_path / "report.json")
    assert report_of(tmp_path / "report.json") == report


def test_a_report_says_all_that_its_figures_rest_on(report):
    kept = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert kept["data"]["license"] == "CC BY 4.0"
    assert kept["data"]["split_hash"] == "ab" * 32
    assert kept["seeds"] == [0, 1]
    ours = kept["evaluation"]["scores"][0]
    assert (ours["parameters"], ours["cpu_s"], ours["interval"]["low"]) == (4821, 9, 0.92)
    assert [each["outcome"] for each in kept["outcomes"]] == ["no gain", "better"]
    assert "baseline" in {row["kind"] for row in kept["evaluation"]["scores"]}


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: kept.update(schema=2),
        lambda kept: kept.pop("seeds"),
        lambda kept: kept.update(more=1),
        lambda kept: kept["data"].pop("license"),
        lambda kept: kept["evaluation"]["scores"].pop(1),
    ],
)
def test_a_damaged_report_is_refused(damage, report, tmp_path):
    kept = report.to_json()
    damage(kept)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(kept))
    with pytest.raises(errors.ArtifactError):
        report_of(path)


def test_what_is_no_report_is_refused(tmp_path):
    (tmp_path / "report.json").write_text("[]")
    with pytest.raises(errors.ArtifactError, match="a report has schema 1"):
        report_of(tmp_path / "report.json")
    with pytest.raises(errors.ConfigError, match="is no work folder"):
        report_of(tmp_path)


class Page(HTMLParser):
    """What a page holds: `open` tags that were not closed, `used` tags, `text`, links elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.used, self.text, self.outside = [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.used.append(tag)
        self.outside += [v for n, v in attributes if n in ("src", "href")]
        if tag not in ("meta", "rect", "line", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.used.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page(report, tmp_path):
    write_page(tmp_path / "report.html", [report])
    return Page((tmp_path / "report.html").read_text(encoding="utf-8"))


def test_the_page_is_whole_and_needs_nothing_else(page):
    assert page.open == []
    assert page.outside == []
    assert "script" not in page.used
    assert page.used.count("polyline") == 2


def test_the_page_says_what_follows_from_the_figures(page):
    assert "No gain of crosses over trees <b> is shown: AUC -0.003 (-0.01 to 0.001)" in page.text
    assert "Crosses is better than one seed" in page.text
    assert "Warning: 12 rows are in both parts" in page.text
    assert "0.9 (no interval)" in page.text
    assert "lower is better" in page.text
    assert "ab" * 32 in page.text
    assert "AUC, best baseline: trees <b>" in page.text


def test_bars_of_intervals_stand_where_their_figures_are(report, tmp_path):
    write_page(tmp_path / "report.html", [report])
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    bars = [
        tuple(map(float, found))
        for found in re.findall(r'<rect x="(\S+)" y="\S+" width="(\S+)"', text)
    ]
    dots = [float(found) for found in re.findall(r'<circle cx="(\S+)"', text)]
    assert len(bars) == 3  # the score of one seed has none
    assert len(dots) == 4
    ours, trees = bars[:2]
    assert ours[0] < dots[0] < ours[0] + ours[1]
    assert ours[0] < trees[0]
    assert ours[0] + ours[1] == pytest.approx(trees[0] + trees[1], abs=0.2)


@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.881, 0.942), (-3.0, 120.0), (1e-9, 2e-9)])
def test_ticks_are_few_round_and_within_the_axis(ends):
    scale = Scale(low=ends[0], high=ends[1], start=0, end=100)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 6
    assert all(ends[0] - 1e-12 <= tick <= ends[1] * (1 + 1e-9) for tick in ticks)
    assert scale(ends[0]) == 0
    assert scale(ends[1]) == 100
    assert scale(ends[1] * 2 + 1) == 100
