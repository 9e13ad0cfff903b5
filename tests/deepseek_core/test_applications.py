"""Applications are made by name with checked options; their records survive files, and refuse."""

import json
import math

import attrs
import pytest
from bad_samples import applications as samples

from deepseek_core import ApplicationSpec, applications, compression, errors
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.switches import Switches

AUC = applications.Measure(name="AUC", unit="1")
SECONDS = applications.Measure(name="time", unit="s", higher_is_better=False)
SHARE = applications.Measure(name="accuracy")
CARD = {
    "source": "rows.csv",
    "license": "CC0",
    "parts": {"train": 3, "test": 1},
    "split": "by hash",
    "split_hash": "0a" * 32,
}


@attrs.frozen(kw_only=True)
class Options:
    epochs: int = attrs.field(default=3, metadata={"help": "passes"})
    target: str
    columns: tuple[str, ...] = ()

    def __attrs_post_init__(self):
        if self.epochs < 1:
            raise ValueError("epochs is below 1")


class Job(samples.Sound):
    def __init__(self, **options):
        self.options = options


def offered(made="Job", options="Options", **why):
    record = ApplicationSpec(
        name="churn", tasks=["churn"], data="CSV",
        factory=f"test_applications:{made}",
        options=f"test_applications:{options}" if options else None,
    )  # fmt: skip
    found = Registered(record=record, plugin="acme", dist="acme-churn", version="1.2", **why)
    return Registry(plugins=(), switches=Switches(), applications=(found,))


@pytest.fixture(autouse=True)
def _named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "test_applications", sys.modules[__name__])


def interval(value=0.9, low=0.8, high=0.95, count=5):
    return compression.Interval(value=value, low=low, high=high, count=count)


def score(model="ours", kind="ours", measure=AUC, **more):
    fields = {"interval": interval(), "basis": "t over 5 seeds", **more}
    return applications.Score(model=model, kind=kind, measure=measure, **fields)


def difference(low, high, measure=AUC, one="ours", other="trees"):
    middle = 0.0 if math.isinf(low) else (low + high) / 2
    return applications.Difference(
        one=one, other=other, measure=measure, interval=interval(middle, low, high),
        basis="paired over 5 seeds",
    )  # fmt: skip


def evaluation(**more):
    scores = [score(), score("trees", "baseline")]
    return applications.Evaluation(**{"scores": scores, **more})


def test_an_application_is_made_with_its_options_and_text_is_read_as_its_type_wants():
    opened = applications.open_application(
        "churn", {"target": "left", "epochs": "7", "columns": "a,b"}, registry=offered()
    )
    expected = {"epochs": 7, "target": "left", "columns": ("a", "b")}
    assert opened.application.options == opened.options == expected
    assert (opened.plugin, opened.dist, opened.version) == ("acme", "acme-churn", "1.2")


@pytest.mark.parametrize(
    ("options", "message", "remedy"),
    [
        ({"target": "x", "epoch": 1}, "no option 'epoch'", "did you mean epochs"),
        ({"target": "x", "epochs": "many"}, "must be a whole number, got 'many'", "correct"),
        ({"target": "x", "epochs": 0}, "epochs is below 1", "correct the options"),
        ({}, "needs target", "add target to the options"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(options, message, remedy):
    with pytest.raises(errors.ConfigError) as refused:
        applications.open_application("churn", options, registry=offered())
    assert message in refused.value.message
    assert refused.value.message.startswith("application 'churn'")
    assert remedy in refused.value.remedy


def test_a_name_that_nobody_offers_names_the_nearest():
    with pytest.raises(errors.ConfigError, match="did you mean churn"):
        applications.open_application("chrn", registry=offered())


def test_what_an_application_lacks_is_told_when_it_is_opened_and_listed():
    registry = offered(reason="needs torch, not installed", remedy="pip install torch")
    with pytest.raises(errors.ConfigError, match="needs torch"):
        applications.open_application("churn", {"target": "x"}, registry=registry)
    offer = applications.offers(registry=registry)["churn"]
    assert (offer.reason, offer.remedy) == ("needs torch, not installed", "pip install torch")


def test_a_factory_that_makes_something_else_is_the_plugins_fault():
    with pytest.raises(errors.PluginError, match="made a Measure, which is no Application"):
        applications.open_application("churn", registry=offered("an_application", None))


def an_application():
    return AUC


def test_options_are_described_for_people():
    fields = {
        field.name: field for field in applications.offers(registry=offered())["churn"].options()
    }
    assert (fields["epochs"].default, fields["epochs"].help) == ("3", "passes")
    assert fields["target"].default is None


@pytest.mark.parametrize(
    "change",
    [
        {"parts": {"train": 3}},
        {"parts": {"train": 3, "test": 0}},
        {"split_hash": "abc"},
        {"split_hash": "Z" * 64},
    ],
)
def test_a_data_card_without_a_test_part_or_a_hash_is_refused(change):
    with pytest.raises(errors.InputError):
        applications.DataCard(**CARD | change)


def test_what_a_difference_shows_follows_from_its_interval_and_the_better_way():
    assert difference(0.01, 0.02).outcome == "better"
    assert difference(-0.01, 0.02).outcome == "no gain"
    assert difference(-0.03, -0.01).outcome == "worse"
    assert difference(-0.03, -0.01, SECONDS).outcome == "better"
    assert difference(0.01, 0.03, SECONDS).outcome == "worse"


def test_sentences_say_figure_interval_and_basis():
    assert difference(0.01, 0.02).sentence == (
        "ours is better than trees: AUC 0.015 (0.01 to 0.02), paired over 5 seeds"
    )
    assert difference(-0.01, 0.03, SHARE).sentence == (
        "no gain of ours over trees is shown: accuracy 1.00 points (-1.00 to 3.00), "
        "paired over 5 seeds"
    )
    assert "without an interval" in difference(-math.inf, math.inf).sentence
    assert difference(-math.inf, math.inf).outcome == "no gain"


def test_a_score_of_one_seed_says_that_it_has_no_interval():
    assert score(interval=interval(0.9, -math.inf, math.inf)).text == "0.9 (no interval)"
    assert score().text == "0.9 (0.8 to 0.95)"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"scores": [score()]}, "no score of kind 'baseline'"),
        ({"scores": [score("trees", "baseline")]}, "no score of kind 'ours'"),
        ({"scores": [score(), score(), score("trees", "baseline")]}, "two scores of AUC"),
        ({"differences": [difference(0, 1, other="forest")]}, "'forest', which has no score"),
        ({"differences": [difference(0, 1, SHARE)]}, "has no score of accuracy"),
    ],
)
def test_an_evaluation_without_a_baseline_or_with_names_that_miss_is_refused(more, said):
    with pytest.raises(errors.InputError, match=said):
        evaluation(**more)


@pytest.mark.parametrize(("value", "low", "high"), [(math.nan, 0, 1), (2, 0, 1), (0.5, 1, 0)])
def test_a_figure_outside_of_its_interval_is_refused(value, low, high):
    with pytest.raises(errors.InputError, match="does not lie in"):
        score(interval=interval(value, low, high))


def test_a_curve_has_as_many_finite_x_as_y():
    words = {"chart": "ROC", "model": "ours", "x_label": "x", "y_label": "y"}
    assert applications.Curve(**words, x=[0, 1], y=[2, 3]).x == (0.0, 1.0)
    for x, y in (([0], [1, 2]), ([math.nan], [1])):
        with pytest.raises(errors.InputError, match="finite numbers"):
            applications.Curve(**words, x=x, y=y)


def test_the_first_measure_is_the_main_one():
    scores = [score(), score("trees", "baseline"), score(measure=SECONDS)]
    assert evaluation(scores=scores).measures == (AUC, SECONDS)


def test_records_come_back_from_json_as_they_were():
    curve = applications.Curve(chart="c", model="ours", x_label="x", y_label="y", x=[0], y=[1])
    one = score(interval=interval(0.9, -math.inf, math.inf), seeds=[0, 1], parameters=7, cpu_s=1.5)
    found = evaluation(
        scores=[one, score("trees", "baseline")],
        differences=[difference(0.0, 0.1)],
        curves=[curve],
        notes=["a note"],
    )
    kept = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert applications.Evaluation.from_json(kept) == found
    card = applications.DataCard(**CARD, warnings=["a leak"])
    assert applications.DataCard.from_json(json.loads(json.dumps(card.to_json()))) == card


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: kept.pop("scores"),
        lambda kept: kept.update(more=1),
        lambda kept: kept["scores"][0].pop("interval"),
        lambda kept: kept["scores"][0].update(kind="best"),
        lambda kept: kept["scores"][0]["interval"].update(value="much"),
        lambda kept: kept.update(scores=None),
        lambda kept: kept["scores"][0]["measure"].update(unit=3),
    ],
)
def test_a_damaged_evaluation_is_refused_in_words(damage):
    kept = evaluation(differences=[difference(0.0, 0.1)]).to_json()
    damage(kept)
    with pytest.raises(errors.ArtifactError, match="an evaluation can't be read"):
        applications.Evaluation.from_json(kept)


@pytest.mark.parametrize("kept", [None, [], {}, CARD | {"more": 1}, CARD | {"parts": 3}])
def test_a_damaged_card_is_refused_in_words(kept):
    with pytest.raises(errors.ArtifactError, match="a data card can't be read"):
        applications.DataCard.from_json(kept)
