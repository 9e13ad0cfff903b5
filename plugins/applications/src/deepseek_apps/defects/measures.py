"""Figures of an inspection: how well scores, classes and maps tell good from bad.

Legend: N pictures, K classes of which 0 is good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from deepseek_core import compression

Array = np.ndarray[Any, Any]
_LEVELS = 4096  # that pixels' scores are counted in


def auroc(scores: Array, defects: Array) -> float:
    """The share of pairs of a defect and a good part that are in order; ties count half.

    `scores` (N,), `defects` bool (N,); NaN where one sort is missing.
    """
    good, bad = np.sort(scores[~defects]), scores[defects]
    if not len(good) or not len(bad):
        return float("nan")
    below = np.searchsorted(good, bad, "left") + np.searchsorted(good, bad, "right")
    return float(below.mean() / (2 * len(good)))


def average_precision(scores: Array, defects: Array) -> float:
    """The mean precision over the defects, in falling order of scores; NaN without defects.

    Parts of one score are taken together, as scikit-learn does.
    """
    if not defects.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits, ends = np.cumsum(defects[order]), np.flatnonzero(np.diff(scores[order], append=-np.inf))
    found = hits[ends]
    gained = np.diff(found, prepend=0)
    return float((gained * found / (ends + 1)).sum() / hits[-1])


def macro_f1(predicted: Array, classes: Array, count: int) -> float:
    """The mean F1 over the classes that occur, or were predicted; both arrays are (N,)."""
    found = []
    for number in range(count):
        one, other = predicted == number, classes == number
        if one.any() or other.any():
            found.append(2 * (one & other).sum() / (one.sum() + other.sum()))
    return float(np.mean(found))


def pixel_auroc(maps: Array, masks: Array) -> float:
    """`auroc` of single pixels: maps float (N, h, w) from 0 to 1, masks bool (N, h, w).

    Scores are counted in 4,096 levels, so that millions of them need no sorting.
    """
    levels = np.clip(maps * (_LEVELS - 1), 0, _LEVELS - 1).astype(np.int64)
    bad = np.bincount(levels[masks], minlength=_LEVELS)
    good = np.bincount(levels[~masks], minlength=_LEVELS)
    if not bad.sum() or not good.sum():
        return float("nan")
    below = np.cumsum(good) - good
    return float((bad * (below + good / 2)).sum() / (bad.sum() * good.sum()))


def bootstrapped(
    measure: Callable[[Array], float], groups: Array, *, rounds: int = 1000, seed: int = 0
) -> compression.Interval:
    """A figure over pictures with its 95 % interval, by drawing whole groups again.

    `measure(rows)` is the figure of some rows, `groups` (N,) which part each picture shows: those
    of one part are no independent witnesses (cluster bootstrap, Davison and Hinkley 1997, 3.8).
    Draws of which the figure is undefined are left out.
    """
    value = measure(np.arange(len(groups)))
    _, first, sizes = np.unique(groups[order := np.argsort(groups, kind="stable")],
                                return_index=True, return_counts=True)  # fmt: skip
    rng, found = np.random.default_rng(seed), []
    members = [order[start : start + size] for start, size in zip(first, sizes, strict=True)]
    for _ in range(rounds):
        drawn = rng.integers(0, len(members), len(members))
        figure = measure(np.concatenate([members[each] for each in drawn]))
        if np.isfinite(figure):
            found.append(figure)
    low, high = np.percentile(found, [2.5, 97.5]) if found else (value, value)
    ends = {"low": min(value, float(low)), "high": max(value, float(high))}
    return compression.Interval(value=value, count=len(groups), **ends)
