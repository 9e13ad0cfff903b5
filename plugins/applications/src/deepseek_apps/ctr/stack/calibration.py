"""Calibration: log odds to probabilities that can be taken at their word.

Platt 1999 (a line over the log odds) and isotonic regression (Zadrozny and Elkan 2002). Both are
held as what an exported graph can compute: a line, and a curve through points.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
import numpy as np

from deepseek_apps.ctr.measures import Reals, sigmoid
from deepseek_apps.ctr.table import Ints
from deepseek_core import errors

Method = Literal["platt", "isotonic", "none"]


def _floats(value: Any) -> tuple[float, ...]:
    return tuple(float(one) for one in value)


@attrs.frozen(kw_only=True)
class Calibration:
    """A line over the log odds, then, where there are `points`, a curve from them to `levels`."""

    slope: float = 1.0
    shift: float = 0.0
    points: tuple[float, ...] = attrs.field(default=(), converter=_floats)
    levels: tuple[float, ...] = attrs.field(default=(), converter=_floats)

    def __attrs_post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.points, self.points[1:], strict=False))
        if len(self.points) != len(self.levels) or not rising or len(self.points) == 1:
            raise errors.InputError(
                "a calibration curve needs points that rise, and a level for each",
                remedy="fit it again",
            )

    def probabilities(self, logits: Reals) -> Reals:
        """Probabilities (N) of log odds (N)."""
        moved = self.slope * logits + self.shift
        if self.points:
            return np.interp(moved, self.points, self.levels)
        return sigmoid(moved)


def fit_calibration(logits: Reals, target: Ints, method: Method) -> Calibration:
    """Fit on log odds (N) of rows that no model was fitted on: the validation part."""
    if method == "none" or not 0 < target.sum() < len(target):
        return Calibration()
    return _platt(logits, target) if method == "platt" else _isotonic(logits, target)


def _platt(logits: Reals, target: Ints) -> Calibration:
    """A line fitted to Platt's smoothed targets, which keep few rows from a slope without end."""
    from scipy.optimize import minimize

    clicks = int(target.sum())
    others = len(target) - clicks
    smooth = np.where(target == 1, (clicks + 1) / (clicks + 2), 1 / (others + 2))

    def loss(x: Reals) -> tuple[float, Reals]:
        z = x[0] * logits + x[1]
        error = sigmoid(z) - smooth
        value = np.logaddexp(0.0, z).mean() - (smooth * z).mean()
        return float(value), np.array([(error * logits).mean(), error.mean()])

    # a slope at or below 0 would turn the order of the models around
    found = minimize(
        loss, np.array([1.0, 0.0]), jac=True, bounds=[(1e-3, None), (None, None)], method="L-BFGS-B"
    )
    return Calibration(slope=float(found.x[0]), shift=float(found.x[1]))


def _isotonic(logits: Reals, target: Ints) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    # in float32, as an exported graph compares
    given = logits.astype(np.float32)
    fitted = IsotonicRegression(out_of_bounds="clip").fit(given, target)
    points, levels = fitted.X_thresholds_, fitted.y_thresholds_
    if len(points) < 2:
        return _platt(logits, target)
    return Calibration(points=points, levels=levels)
