"""What a prediction is worth: AUC, log loss, calibration error, and the curves behind them."""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_apps.ctr.table import Ints

Reals = npt.NDArray[Any]
TINY: Final = 1e-7
"""Probabilities are held this far from 0 and 1 where a logarithm is taken."""


def auc(target: Ints, scores: Reals) -> float:
    """The chance that a click is scored above what is none, ties counting half.

    Mann and Whitney's U, by midranks. NaN where there is one class only.
    """
    clicks = int(target.sum())
    others = len(target) - clicks
    if not clicks or not others:
        return float("nan")
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    midranks = np.cumsum(counts) - (counts - 1) / 2.0
    total = float(midranks[place][target == 1].sum())
    return (total - clicks * (clicks + 1) / 2.0) / (clicks * others)


def log_loss(target: Ints, probabilities: Reals) -> float:
    """Mean negative log-likelihood, in nats."""
    held = np.clip(probabilities.astype(np.float64), TINY, 1.0 - TINY)
    return float(-np.where(target == 1, np.log(held), np.log1p(-held)).mean())


def relative_improvement(score: float, base: float) -> float:
    """RelaImpr, `(AUC - 0.5) / (AUC of base - 0.5) - 1`: what is gained over chance."""
    return (score - 0.5) / (base - 0.5) - 1.0


@attrs.frozen(kw_only=True, eq=False)
class Reliability:
    """Bins of equal count: mean probability, share of clicks, rows of each."""

    predicted: Reals
    observed: Reals
    rows: Reals

    @property
    def error(self) -> float:
        """Expected calibration error: the mean of |observed - predicted| over rows."""
        weights = self.rows / self.rows.sum()
        return float((weights * np.abs(self.observed - self.predicted)).sum())


def reliability(target: Ints, probabilities: Reals, num_bins: int = 10) -> Reliability:
    """Rows in the order of their probability, cut into `num_bins` bins of as many rows.

    Bins of equal count, not of equal width: with few clicks most bins of equal width are empty
    or hold a handful of rows (Nixon et al., "Measuring Calibration in Deep Learning", 2019).
    """
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, num_bins) if len(part)]
    return Reliability(
        predicted=np.array([probabilities[part].mean() for part in parts]),
        observed=np.array([target[part].mean() for part in parts]),
        rows=np.array([len(part) for part in parts]),
    )


def sigmoid(logits: Reals) -> Reals:
    """Probabilities of log odds, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))
