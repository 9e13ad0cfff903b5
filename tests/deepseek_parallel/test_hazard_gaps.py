"""Predictors of the next failure, and the interval that follows from them."""

import errno
import math

import failure_logs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_parallel.hazard.fit import fit, write_weights
from deepseek_parallel.hazard.gaps import Blend, Constant, Learned, RunningMean, failure_predictor
from deepseek_parallel.hazard.interval import SaveInterval, next_interval, young_daly
from deepseek_parallel.hazard.lstm import Lstm, read_weights
from deepseek_parallel.hazard.replay import forecasts, waste
from deepseek_parallel.hazard.weibull import Forecast, Part

HOUR_S = 3600.0


def test_a_forecast_is_a_distribution():
    forecast = Forecast.of([Part(0.25, 100.0, 0.7), Part(0.75, 1000.0)])
    times = np.linspace(0, 50_000, 200_001)
    chances = np.exp(forecast.log_survival(times))
    assert chances[0] == 1
    assert (np.diff(chances) <= 0).all()
    assert np.trapezoid(chances, times) == pytest.approx(forecast.mean_s, rel=1e-3)
    grid = np.arange(0.0, 60_000, 60)
    assert np.exp(forecast.log_likelihood(grid)).sum() == pytest.approx(1, abs=1e-3)


def test_a_constant_rate_gives_young_and_daly():
    forecast = Constant(6 * HOUR_S).forecast()
    for elapsed_s in (0.0, 100.0, 1e6, 1e12):
        assert next_interval(forecast, elapsed_s, 60.0) == pytest.approx(
            math.sqrt(2 * 60 * 6 * HOUR_S)
        )


def test_after_a_failure_that_may_begin_a_cluster_it_is_saved_more_often():
    forecast = Forecast.of([Part(1.0, 6 * HOUR_S, 0.6)])
    soon, late = next_interval(forecast, np.array([0.0, 20 * HOUR_S]), 60.0)
    assert soon < late


def test_the_interval_is_that_of_least_waste():
    gaps_s = np.random.default_rng(0).exponential(6 * HOUR_S, 400).tolist()
    lost = [
        waste(gaps_s, forecasts(gaps_s, Constant(guess * HOUR_S)), 60.0) for guess in (1, 6, 36)
    ]
    assert lost[1] < min(lost[0], lost[2])
    per_s = math.sqrt(2 * 60.0 / (6 * HOUR_S))  # first order: cost / interval + interval / 2 mean
    assert lost[1] == pytest.approx(per_s, rel=0.1)


@given(st.lists(st.floats(0, 1e9), max_size=60), st.floats(1, 1e7))
def test_whatever_was_seen_the_interval_is_a_time(gaps_s, mean_s):
    one = failure_predictor(mean_s, WEIGHTS)
    for gap_s in gaps_s:
        one.observe(gap_s)
    forecast = one.forecast()
    assert sum(forecast.weights) == pytest.approx(1)
    intervals_s = next_interval(forecast, np.array([0.0, 1.0, 1e5, 1e9]), 5.0)
    assert np.isfinite(intervals_s).all()
    assert (intervals_s >= 5.0).all()


WEIGHTS = read_weights()


def test_the_lstm_is_that_of_torch():
    hidden = len(WEIGHTS["bias"]) // 4
    lstm = torch.nn.LSTM(2, hidden)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.from_numpy(WEIGHTS["from_input"]))
        lstm.weight_hh_l0.copy_(torch.from_numpy(WEIGHTS["from_hidden"]))
        lstm.bias_ih_l0.copy_(torch.from_numpy(WEIGHTS["bias"]))
        lstm.bias_hh_l0.zero_()
    seen = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    with torch.no_grad():
        expected = lstm(torch.from_numpy(seen))[0].numpy() @ WEIGHTS["head"].T
    ours = Lstm(WEIGHTS)
    found = [ours.step(tuple(map(float, row))) for row in seen]
    np.testing.assert_allclose(found, expected + WEIGHTS["head_bias"], atol=1e-5)


def test_what_was_fitted_expects_clusters(tmp_path):
    systems = [failure_logs.clustered(300, 10.0**power, seed=power) for power in (4, 5, 6)]
    weights = fit(systems, epochs=25)
    write_weights(weights, tmp_path / "w.npz")
    again = read_weights(tmp_path / "w.npz")
    assert all(np.array_equal(weights[name], again[name]) for name in weights)
    gaps_s = failure_logs.clustered(400, 5e4, seed=9)
    mean_s = sum(gaps_s[:100]) / 100
    of = {
        make: forecasts(gaps_s, one).log_likelihood(gaps_s)[100:].mean()
        for make, one in {
            "learned": Learned(mean_s, again),
            "running": RunningMean(mean_s),
            "blend": failure_predictor(mean_s, again),
        }.items()
    }
    assert of["learned"] > of["running"] + 0.1
    assert of["blend"] > of["running"] + 0.1


def test_equal_input_gives_equal_weights():
    systems = [failure_logs.clustered(60)]
    first, second = fit(systems, epochs=2), fit(systems, epochs=2)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_blend_follows_whose_intervals_would_have_cost_least():
    one = Blend([Constant(100.0), Constant(10_000.0)], 1_000.0)
    for _ in range(30):
        one.observe(9_000.0)
    assert one.forecast().weights[1] > 0.9
    for _ in range(30):
        one.observe(100.0)
    assert one.forecast().weights[0] > 0.9


@settings(max_examples=20)
@given(st.floats(0.3, 1.5), st.floats(0.2, 20))
def test_a_loss_is_that_of_saves_and_work_of_the_smallest_costs(shape, gaps):
    part, gap_s, cost_s = Part(1.0, 50 * HOUR_S, shape), gaps * 50 * HOUR_S, 1e-3
    steps = np.linspace(0, 1, 20_001) ** 3 * gap_s
    rates = np.diff((steps / part.scale_s) ** shape) / np.diff(steps)
    intervals_s = np.sqrt(2 * cost_s / rates)
    lost_s = (cost_s / intervals_s * np.diff(steps)).sum() + intervals_s[-1] / 2
    assert part.loss(gap_s) * math.sqrt(cost_s / 2) == pytest.approx(lost_s, rel=0.01)


def test_a_blend_costs_about_as_little_as_its_best_expert():
    gaps_s = np.random.default_rng(1).exponential(2 * HOUR_S, 300)
    experts = [Constant(hours * HOUR_S) for hours in (0.1, 2, 40)]
    lost = [waste(gaps_s, forecasts(gaps_s, one), 60.0) for one in experts]
    blend = waste(gaps_s, forecasts(gaps_s, Blend(experts, 40 * HOUR_S)), 60.0)
    assert blend < 1.03 * min(lost) < 0.6 * max(lost)


def test_a_replay_does_not_hang_on_where_failures_fall_between_saves():
    gaps_s = np.random.default_rng(2).exponential(100 * HOUR_S, 20)
    lost = [
        waste(gaps_s, forecasts(gaps_s, Constant(hours * HOUR_S)), 60.0)
        for hours in np.linspace(98, 102, 5)  # by itself this counts for 0.01 %
    ]
    assert max(lost) / min(lost) < 1.03


def test_a_gap_of_centuries_and_a_save_of_nothing_are_replayed_in_time():
    gaps_s = [3600.0] * 99 + [1e10]
    lost = waste(gaps_s, forecasts(gaps_s, Constant(HOUR_S)), 1.0)
    assert lost == pytest.approx(1.0 / young_daly(1.0, HOUR_S), rel=0.1)


def test_checkpoints_are_due_by_what_they_cost_and_what_fails():
    interval = SaveInterval(RunningMean(10 * HOUR_S), now_s=0.0, cost_s=10.0)
    assert interval.due_s == pytest.approx(young_daly(10.0, 10 * HOUR_S))
    assert not interval.is_due(interval.due_s - 1)
    assert interval.is_due(interval.due_s)
    interval.saved(1000.0, 40.0)  # it cost four times as much: half as often
    assert interval.due_s - 1000.0 == pytest.approx(2 * young_daly(10.0, 10 * HOUR_S))
    before_s = interval.due_s - 1000.0
    for _ in range(40):
        interval.failed(1100.0)
    assert interval.due_s - 1100.0 < before_s / 4


@pytest.mark.parametrize("bad", [0, -1, math.inf, math.nan, "6"])
def test_a_time_between_failures_that_is_none(bad):
    with pytest.raises(errors.ConfigError, match="above 0"):
        failure_predictor(bad)


def test_weights_of_another_form_are_refused(tmp_path):
    with pytest.raises(errors.InputError, match="from_input of shape"):
        Lstm({})
    torn = tmp_path / "torn.npz"
    torn.write_bytes((tmp_path / "w").name.encode() + b"PK\x03\x04")
    for path in (torn, tmp_path / "none.npz"):
        with pytest.raises(errors.InputError, match="can't read the weights"):
            read_weights(path)
    bad = {**WEIGHTS, "bias": np.full_like(WEIGHTS["bias"], np.nan)}
    write_weights(bad, torn)
    with pytest.raises(errors.InputError, match="NaN"):
        read_weights(torn)


def test_weights_that_do_not_fit_leave_those_before_them(tmp_path, monkeypatch):
    path = tmp_path / "w.npz"
    write_weights(WEIGHTS, path)

    def full(file, **_weights):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(errors.WriteError, match="No space left"):
        write_weights({}, path)
    assert [one.name for one in tmp_path.iterdir()] == ["w.npz"]
    assert all(np.array_equal(WEIGHTS[name], found) for name, found in read_weights(path).items())


def test_too_few_failures_to_learn_from():
    with pytest.raises(errors.InputError, match="too few"):
        fit([[60.0] * 20])
