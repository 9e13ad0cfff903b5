"""Budgets: what people write, and the verdict."""

import math

import pytest

from deepseek_core import compression, errors

Budget, Limit = compression.Budget, compression.Limit


ORIGINAL = {"parameters": 1000, "macs": 10_000, "nbytes": 4096, "accuracy": 0.91}


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("/3.7", 1000 / 3.7),
        ("<= /4", 250),
        (700_000, 700_000),
        ("700k", 700_000),
        ("0.7M", 700_000),
        ("4 MiB", 4 * 2**20),
        ("1e3", 1000),
        ("<= 2 kB", 2000),
    ],
)
def test_a_limit_reads_as_people_write_it(text, most):
    assert Limit.parse(text, where="budget.parameters").of(1000) == most


@pytest.mark.parametrize(
    "text", ["", "/", "/0", 0, -3, "3 apples", "/3 MiB", True, None, [1], "1/3"]
)
def test_what_is_no_limit_is_refused_with_the_way_to_write_it(text):
    with pytest.raises(errors.ConfigError) as refused:
        Limit.parse(text, where="budget.parameters")
    assert "limit" in refused.value.message


def test_a_limit_is_one_of_the_two():
    with pytest.raises(errors.ConfigError):
        Limit()
    with pytest.raises(errors.ConfigError):
        Limit(divisor=2, most=3)
    with pytest.raises(errors.ConfigError):
        Limit(divisor=math.inf)


def test_a_budget_survives_its_table():
    table = {
        "parameters": "/3.7",
        "nbytes": "1 MiB",
        "accuracy_drop": "<= 1.0 pt",
        "accuracy": ">= 90 %",
        "latency": {"device": "cpu", "p95_ms": 8.5, "batch": 4},
    }
    budget = Budget.parse(table)
    assert Budget.parse(budget.to_table()) == budget
    assert budget.accuracy == 0.9
    assert budget.latency.seconds == 0.0085


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(errors.ConfigError, match="accuracy_drop"):
        Budget.parse({"acuracy_drop": 1})


@pytest.mark.parametrize(
    "latency",
    [
        {"device": "cpu"},
        {"p99_ms": 8},
        {"device": "cpu", "p99_ms": 8, "p50_ms": 3},
        {"device": "cpu", "p99_ms": "8"},
        {"device": "cpu", "p99_ms": -8},
        {"device": "cpu", "p99_ms": 8, "batch": 0},
        {"device": "cpu", "p98_ms": 8},
        "8 ms",
    ],
)
def test_a_latency_that_says_too_little_is_refused(latency):
    with pytest.raises(errors.DeepSeekError):
        Budget.parse({"latency": latency})


def outcomes(budget, **got):
    return {row.name: row.outcome for row in Budget.parse(budget).rows(ORIGINAL, got)}


def test_the_verdict_has_a_line_for_each_limit():
    budget = {
        "parameters": "/4",
        "macs": 5000,
        "accuracy_drop": 1.0,
        "latency": {"device": "cpu", "p99_ms": 8},
    }
    found = outcomes(budget, parameters=250, macs=5001, accuracy=0.90)
    assert found == {
        "parameters": "holds",
        "macs": "fails",
        "accuracy_drop": "holds",  # .91 - .90 is a little above .01 in binary
        "latency_s": "not measured",
    }


def test_the_accuracy_must_not_fall_below_its_least():
    assert outcomes({"accuracy": 0.9}, accuracy=0.8999) == {"accuracy": "fails"}
    assert outcomes({"accuracy": 0.9}, accuracy=0.9) == {"accuracy": "holds"}


def test_what_was_not_measured_never_holds():
    rows = Budget.parse({"nbytes": 10}).rows(ORIGINAL, {})
    assert [row.outcome for row in rows] == ["not measured"]
    report = compression.CompressionReport(model="m", verdict=rows, steps=(), variants=())
    assert not report.holds


def test_a_part_of_an_unknown_original_is_not_measured():
    (row,) = Budget.parse({"macs": "/2"}).rows({}, {"macs": 10})
    assert row.outcome == "not measured"


def test_accuracy_goes_by_the_name_of_the_metric():
    recall = compression.Metric(name="recall")
    own = compression.Budget.parse({"recall_drop": "<= 1.0 pt", "recall": 0.9}, recall)
    assert own == compression.Budget.parse({"accuracy_drop": 1.0, "accuracy": 0.9}, recall)
    assert compression.Budget.parse(own.to_table(), recall) == own
    with pytest.raises(errors.ConfigError, match="both recall_drop and accuracy_drop"):
        compression.Budget.parse({"recall_drop": 1, "accuracy_drop": 1}, recall)
    with pytest.raises(errors.ConfigError, match=r"no key 'recal_drop'.*'recall_drop'"):
        compression.Budget.parse({"recal_drop": 1}, recall)
    with pytest.raises(errors.ConfigError, match="no key 'recall_drop'"):
        compression.Budget.parse({"recall_drop": 1})
    latency = {"latency": {"device": "cpu", "p99_ms": 8.0}}
    assert (
        compression.Budget.parse(latency, compression.Metric(name="latency")).latency.seconds
        == 0.008
    )


PSNR = compression.Metric(name="psnr", unit="dB")


def test_a_metric_with_a_unit_has_a_budget_in_it():
    told = compression.Budget.parse({"psnr": ">= 30 dB", "psnr_drop": "<= 0.5 dB"}, PSNR)
    assert told == compression.Budget.parse({"psnr": 30, "psnr_drop": 0.5}, PSNR)
    assert compression.Budget.parse(told.to_table(), PSNR) == told
    rows = told.rows({"accuracy": 31.4}, {"accuracy": 30.75})
    assert [(row.wanted, round(row.got, 9), row.outcome) for row in rows] == [
        ("<= 0.5 dB", 0.65, "fails"),  # in dB, not in hundredths
        (">= 30 dB", 30.75, "holds"),
    ]
    assert compression.Budget.parse({"psnr": -3.2}, PSNR).accuracy == -3.2


@pytest.mark.parametrize(
    ("table", "metric"),
    [
        ({"psnr": "92 %"}, PSNR),
        ({"psnr": math.nan}, PSNR),
        ({"psnr_drop": "1 pt"}, PSNR),
        ({"psnr_drop": -1.0}, PSNR),
        ({"psnr_drop": math.inf}, PSNR),
        ({"psnr_drop": ">= 1 dB"}, PSNR),
        ({"accuracy": "<= 92 %"}, None),
        ({"accuracy_drop": ">= 1 pt"}, None),
    ],
)
def test_what_is_of_another_unit_or_direction_is_refused(table, metric):
    (name,) = table
    with pytest.raises(errors.ConfigError, match=rf"budget\.{name} is") as caught:
        compression.Budget.parse(table, metric)
    assert caught.value.remedy


@pytest.mark.parametrize("value", ["/0", 0, -5, math.nan, math.inf])
def test_a_limit_that_is_none_is_told_with_its_place(value):
    with pytest.raises(errors.ConfigError, match=r"budget\.macs must be a limit, got"):
        compression.Budget.parse({"macs": value})


def test_metrics_say_their_figures_in_their_unit():
    share, plain = compression.Metric(name="recall"), compression.Metric(name="r2", unit="1")
    assert (share.text(0.9238), share.difference(1.204)) == ("92.38 %", "1.20 points")
    assert (share.limit(5.0), PSNR.limit(0.5), plain.limit(0.01)) == ("5 points", "0.5 dB", "0.01")
    assert share.between(0.9238, 0.91, 0.934) == "92.38 % (91.0 to 93.4)"
    assert (PSNR.text(31.4), PSNR.difference(0.5, 0.25, 0.75)) == (
        "31.4 dB",
        "0.5 dB (0.25 to 0.75)",
    )
    assert (plain.text(-0.31), plain.text(123456.0)) == ("-0.31", "123,456")
    with pytest.raises(errors.ConfigError, match="the unit of psnr"):
        compression.Metric(name="psnr", unit=" ")
