"""Features are fitted on the rows that are given, and on nothing else; odd values have a place."""

from __future__ import annotations

import json

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_apps.ctr.features.map import features_from_json, fit_features
from deepseek_apps.ctr.features.numbers import MISSING, fit_numbers
from deepseek_apps.ctr.features.statistics import fit_statistics, out_of_fold
from deepseek_apps.ctr.features.vocabulary import UNKNOWN, fit_vocabulary
from deepseek_apps.ctr.table import Columns, Inputs, bounded
from deepseek_core import errors

NUMBERS = st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=60)


@given(NUMBERS, st.integers(2, 30))
def test_a_larger_number_never_has_a_smaller_bin(values: list[float], num_bins: int) -> None:
    field = fit_numbers("x", np.float32(values), num_bins)
    bins = field.bins(np.sort(np.float32(values)))
    assert (np.diff(bins) >= 0).all()
    assert bins.min() > MISSING
    assert bins.max() < field.num_ids


@given(NUMBERS)
def test_scaled_logarithms_are_finite_and_of_no_number_zero(values: list[float]) -> None:
    field = fit_numbers("x", np.float32(values), 10)
    scaled = field.scaled(np.float32([*values, np.nan]))
    assert np.isfinite(scaled).all()
    assert scaled[-1] == 0
    assert field.bins(np.float32([np.nan])).tolist() == [MISSING]


def test_bins_hold_about_as_many_rows_each() -> None:
    values = np.random.default_rng(0).lognormal(size=10_000).astype(np.float32)
    counts = np.bincount(fit_numbers("x", values, 20).bins(values))[1:]
    assert len(counts) == 20
    assert counts.min() > 450 and counts.max() < 550


def test_a_column_of_nothing_but_nan_has_one_bin_for_numbers() -> None:
    field = fit_numbers("x", np.full(5, np.nan, np.float32), 20)
    assert field.edges == ()
    assert field.bins(np.float32([3.0, np.nan])).tolist() == [1, MISSING]
    assert field.scaled(np.float32([0.0])).tolist() == [0.0]


def test_numbers_beyond_all_bounds_are_held_and_nan_stays() -> None:
    held = bounded(np.array([1e300, -1e300, np.nan, 2.0]))
    assert np.isfinite(held[[0, 1, 3]]).all()
    assert np.isnan(held[2])


@given(st.lists(st.sampled_from(["a", "b", "é", "", "zz", "猫"]), min_size=1), st.integers(1, 4))
def test_a_text_has_its_own_id_exactly_if_it_is_frequent(texts: list[str], least: int) -> None:
    given_texts = np.array(texts)
    field = fit_vocabulary("x", given_texts, least)
    ids = field.ids(given_texts)
    for text, found in zip(texts, ids, strict=True):
        known = texts.count(text) >= least
        assert (found != UNKNOWN) == known
        assert not known or field.values[found - 1] == text
    assert field.ids(np.array(["never seen", "zzz"])).tolist() == [UNKNOWN, UNKNOWN]


def test_a_rows_own_target_never_reaches_its_statistic() -> None:
    random = np.random.default_rng(1)
    ids, folds = random.integers(0, 40, 300), np.arange(300) % 5
    target = random.integers(0, 2, 300)
    before = out_of_fold(ids, target, folds, (40, 20.0))
    for row in (0, 17, 299):
        changed = target.copy()
        changed[row] = 1 - changed[row]
        after = out_of_fold(ids, changed, folds, (40, 20.0))
        same_fold = folds == folds[row]
        np.testing.assert_array_equal(after[same_fold], before[same_fold])
        assert (after != before).any()


def test_statistics_of_pure_noise_tell_nothing_of_the_rows_that_they_were_fitted_on() -> None:
    from deepseek_apps.ctr.measures import auc

    random = np.random.default_rng(2)
    ids, target = random.integers(0, 1000, 4000), random.integers(0, 2, 4000)
    leaking = fit_statistics(ids, target, 1000, 20.0).values(ids)
    honest = out_of_fold(ids, target, np.arange(4000) % 5, (1000, 20.0))
    assert auc(target, leaking) > 0.7
    assert abs(auc(target, honest) - 0.5) < 0.03


def test_an_unseen_id_has_the_mean() -> None:
    fitted = fit_statistics(np.array([0, 0, 1]), np.array([1, 0, 1]), 3, 10.0)
    assert fitted.shares[2] == pytest.approx(2 / 3)
    assert fitted.shares[1] > fitted.shares[0]


def rows(numbers: list[list[float]], texts: list[list[str]]) -> Inputs:
    return Inputs(
        columns=Columns(numbers=["a", "b"], categories=["c"]),
        numbers=np.float32(numbers),
        categories=np.array(texts),
    )


TRAIN = rows([[1, 5], [2, np.nan], [3, 7], [4, 8]], [["x"], ["y"], ["x"], ["x"]])


def test_what_the_test_part_holds_changes_nothing() -> None:
    alone = fit_features(TRAIN, num_bins=4, min_count=1)
    other = rows([[1e9, -1e9]], [["never seen"]])
    ids = alone.encode(other).ids
    assert alone == fit_features(TRAIN, num_bins=4, min_count=1)
    assert (ids >= alone.offsets[:-1]).all() and (ids < alone.offsets[1:]).all()
    assert ids[0, 2] == alone.offsets[2] + UNKNOWN


def test_fields_have_rows_of_their_own_in_the_table() -> None:
    features = fit_features(TRAIN, num_bins=4, min_count=1)
    ids = features.encode(TRAIN).ids
    assert not set(ids[:, 0]) & set(ids[:, 1])
    assert ids[1, 1] == features.offsets[1] + MISSING


def test_a_map_comes_back_as_it_was_stored() -> None:
    features = fit_features(TRAIN, num_bins=4, min_count=1)
    assert features_from_json(features.to_json(), "f") == features


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace('"x"', '"z"'),
        lambda text: text[: len(text) // 2],
        lambda text: json.dumps({**json.loads(text), "schema": 99}),
        lambda text: "[1, 2]",
    ],
)
def test_a_map_that_was_changed_is_refused(change) -> None:
    text = fit_features(TRAIN, num_bins=4, min_count=1).to_json()
    with pytest.raises(errors.ArtifactError, match=r"features\.json"):
        features_from_json(change(text), "features.json")


def test_other_columns_are_refused_by_name() -> None:
    features = fit_features(TRAIN, num_bins=4, min_count=1)
    renamed = attrs.evolve(TRAIN, columns=Columns(numbers=["a", "bb"], categories=["c"]))
    with pytest.raises(errors.InputError, match="bb"):
        features.encode(renamed)
