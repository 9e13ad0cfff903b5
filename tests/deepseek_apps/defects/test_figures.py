"""Figures of an inspection, against slow and plain definitions of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_apps.defects import measures, thresholds
from deepseek_core import errors

# scores of few levels, so that ties occur
SCORED = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40)


def columns(scored: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, defects = zip(*scored, strict=True)
    return np.array(scores, float), np.array(defects)


@given(SCORED)
@settings(max_examples=60, deadline=None)
def test_auroc_is_the_share_of_pairs_in_order(scored: list[tuple[int, bool]]) -> None:
    scores, defects = columns(scored)
    pairs = [(b > g) + (b == g) / 2 for b in scores[defects] for g in scores[~defects]]
    found = measures.auroc(scores, defects)
    assert np.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


@given(SCORED)
@settings(max_examples=60, deadline=None)
def test_average_precision_sums_over_levels(scored: list[tuple[int, bool]]) -> None:
    scores, defects = columns(scored)
    total, before = 0.0, 0
    for level in np.unique(scores)[::-1]:
        hits = int(defects[scores >= level].sum())
        total += (hits - before) * hits / int((scores >= level).sum())
        before = hits
    found = measures.average_precision(scores, defects)
    assert np.isnan(found) if not defects.any() else found == pytest.approx(total / before)


@given(SCORED)
@settings(max_examples=40, deadline=None)
def test_auroc_of_pixels_is_that_of_all_of_them(scored: list[tuple[int, bool]]) -> None:
    scores, defects = columns(scored)
    maps, masks = (scores / 6).reshape(-1, 1, 1), defects.reshape(-1, 1, 1)
    found = measures.pixel_auroc(maps, masks)
    assert found == pytest.approx(measures.auroc(scores, defects), nan_ok=True)


def test_macro_f1_counts_every_class_alike() -> None:
    classes = np.array([0] * 98 + [1, 2])
    assert measures.macro_f1(np.zeros(100, int), classes, 3) == pytest.approx(196 / 198 / 3)
    assert measures.macro_f1(classes, classes, 3) == 1.0


def test_pictures_of_one_part_are_drawn_together() -> None:
    values = np.array([0.0] * 50 + [1.0] * 50)
    apart = measures.bootstrapped(lambda rows: values[rows].mean(), np.arange(100))
    together = measures.bootstrapped(lambda rows: values[rows].mean(), np.arange(100) // 50)
    assert apart.high - apart.low < 0.25
    assert together.high - together.low == 1.0


@given(SCORED, st.floats(0.05, 1.0))
@settings(max_examples=80, deadline=None)
def test_a_threshold_is_the_highest_that_catches_enough(
    scored: list[tuple[int, bool]], target: float
) -> None:
    scores, defects = columns(scored)
    if not defects.any() or defects.all():
        with pytest.raises(errors.InputError, match=r"the validation part has"):
            thresholds.choose(scores, defects, target)
        return
    found = thresholds.choose(scores, defects, target)
    assert found.caught >= target * found.defects - 1e-6
    assert found.caught == (scores[defects] >= found.score).sum()
    assert found.alarms == (scores[~defects] >= found.score).sum()
    higher = [level for level in scores if level > found.score]
    for level in higher:
        assert (scores[defects] >= level).sum() < target * found.defects


def test_a_score_that_is_no_number_chooses_no_threshold() -> None:
    with pytest.raises(errors.InputError, match=r"not a finite number"):
        thresholds.choose(np.array([0.1, np.nan]), np.array([True, False]), 0.9)


def test_a_share_has_wilsons_interval() -> None:
    found = thresholds.share(8, 10)  # Wilson 1927: 0.490 to 0.943
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert thresholds.share(0, 10).low == 0.0
    with pytest.raises(errors.InputError, match=r"no share"):
        thresholds.share(0, 0)


def test_false_alarms_are_told_among_a_thousand_good_parts() -> None:
    scores, defects = np.array([0.9, 0.8, 0.1, 0.2, 0.95]), np.array([False] * 4 + [True])
    found = thresholds.alarms_per_1000(scores, defects, 0.5)
    assert found.value == 500.0
    assert found.low < 500.0 < found.high
