"""The risk of nodes, and how it is judged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_parallel.hazard.evaluate import evaluate_nodes, riskiest
from deepseek_parallel.hazard.log import FailureLog
from deepseek_parallel.hazard.nodes import HISTORY, judged, node_days
from deepseek_parallel.hazard.risk import ConstantRisk, Logistic, OwnRate
from deepseek_parallel.hazard.risk_lstm import LstmRisk

DAY_S = 86400.0


def bad_nodes(days=200, nodes=30, seed=0):
    """A log in which three nodes fail often, and the others seldom."""
    rng = np.random.default_rng(seed)
    rates = np.where(np.arange(nodes) < 3, 0.2, 0.01)
    when, which = np.nonzero(rng.random((days, nodes)) < rates)
    return FailureLog(
        system="a",
        times_s=when * DAY_S + 1.0,
        nodes=which,
        num_nodes=nodes,
        names=tuple(f"node{number}" for number in range(nodes)),
    )


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=40))
def test_the_area_is_the_chance_that_one_that_fails_is_scored_higher(rows):
    scores, failed = (np.array(column) for column in zip(*rows, strict=True))
    if failed.all() or not failed.any():
        with pytest.raises(errors.InputError):
            judged(scores, failed)
        return
    pairs = scores[failed][:, None] - scores[~failed][None]
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert judged(scores, failed).auc == pytest.approx(expected)


def test_precision_counts_all_that_are_alarmed_together():
    scores = np.array([9.0, 9, 5, 5, 5, 1])
    failed = np.array([True, False, True, False, False, True])
    told = judged(scores, failed)
    assert told.precision_at_recall_10 == 0.5
    assert told.average_precision == pytest.approx((1 / 2 + 2 / 5 + 3 / 6) / 3)


def test_a_day_is_told_by_the_days_before_it_only():
    log = bad_nodes()
    system = node_days(log)
    later = system.counts.copy()
    later[100:] = 7
    other = type(system)(system="a", counts=later)
    assert np.array_equal(system.at(100), other.at(100))
    assert np.array_equal(system.history(100), other.history(100))
    assert system.at(100).shape == (30, 8)
    for day in (HISTORY - 1, len(system.counts) + 1):
        with pytest.raises(errors.InputError, match="history"):
            system.at(day)


def test_features_are_sums_of_the_days_before():
    system = node_days(bad_nodes(days=90, nodes=6))
    for day in (HISTORY, 60, 90):
        before = system.counts[:day]
        told = system.at(day)
        for column, days in enumerate((1, 3, 7, 28)):
            assert told[:, column] == pytest.approx(np.log1p(before[-days:].sum(axis=0)), abs=1e-5)
        since = [next((n for n, c in enumerate(reversed(node)) if c), day) for node in before.T]
        assert told[:, 5] == pytest.approx(np.log1p(since), abs=1e-5)
        assert told[0, 7] == pytest.approx(np.log(before[-7:].mean() + 1e-3), abs=1e-5)


def test_days_and_nodes_that_no_memory_holds_are_refused():
    log = FailureLog(
        system="a",
        times_s=np.array([0.0, 1e10]),
        nodes=np.array([0, 0]),
        num_nodes=1_000_000,
    )
    with pytest.raises(errors.InputError, match="too many to judge"):
        node_days(log)


def test_models_find_the_nodes_that_fail_often():
    log = bad_nodes()
    found = evaluate_nodes([log], [ConstantRisk(), OwnRate(), Logistic(), LstmRisk()])
    assert found["constant"].auc == 0.5
    assert all(found[name].auc > 0.7 for name in found if name != "constant")
    assert {name for name, _ in riskiest(log, Logistic(), 3)} == {"node0", "node1", "node2"}


def test_the_risk_of_a_sample_is_that_of_all():
    log = bad_nodes(days=400)
    system = node_days(log)
    for model in (ConstantRisk(), Logistic(), LstmRisk()):
        model.fit([system], [len(system.counts)])
        told = np.mean([model.risk(system, day).mean() for day in range(HISTORY, 400)])
        assert told == pytest.approx((system.counts[HISTORY:] > 0).mean(), rel=0.3)


def test_a_short_log_is_refused():
    with pytest.raises(errors.InputError, match="longer log"):
        evaluate_nodes([bad_nodes(days=20)], [OwnRate()])
