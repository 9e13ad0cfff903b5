"""A logistic regression over the log odds of several models: what stacking learns.

Wolpert, "Stacked generalization", 1992: it is fitted on out-of-fold predictions, for those of
models that saw a row's target would teach it to trust whoever memorized most. Weights are held
at 0 or above (Breiman, "Stacked regressions", 1996): models of one target agree, and a negative
weight only fits their noise.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from deepseek_apps.ctr.measures import Reals, sigmoid
from deepseek_apps.ctr.table import Ints
from deepseek_core import errors

_RIDGE = 1.0


@attrs.frozen(kw_only=True)
class Combination:
    """A weight for the log odds of each model, and a constant."""

    weights: Mapping[str, float]
    bias: float

    def logits(self, of_models: Mapping[str, Reals]) -> Reals:
        """The log odds (N) of the combination.

        Raises:
            InputError: a model's are missing.
        """
        missing = [name for name in self.weights if name not in of_models]
        if missing:
            raise errors.InputError(
                f"the stack needs the predictions of {', '.join(missing)}",
                remedy="give those of every model that it was fitted on",
            )
        parts = [weight * of_models[name] for name, weight in self.weights.items()]
        return np.asarray(np.sum(parts, axis=0) + self.bias)


def fit_combination(of_models: Mapping[str, Reals], target: Ints) -> Combination:
    """Fit on out-of-fold log odds (N) of each model, by a ridge toward their mean."""
    from scipy.optimize import minimize

    names = list(of_models)
    logits = np.stack([of_models[name] for name in names], axis=1).astype(np.float64)
    even = np.full(len(names), 1.0 / len(names))

    def loss(x: Reals) -> tuple[float, Reals]:
        z = logits @ x[:-1] + x[-1]
        away = x[:-1] - even
        value = np.logaddexp(0.0, z).sum() - z[target == 1].sum() + _RIDGE * (away @ away)
        error = sigmoid(z) - target
        return float(value), np.append(logits.T @ error + 2.0 * _RIDGE * away, error.sum())

    bounds = [(0.0, None)] * len(names) + [(None, None)]
    found = minimize(loss, np.append(even, 0.0), jac=True, bounds=bounds, method="L-BFGS-B")
    weights = {name: float(w) for name, w in zip(names, found.x[:-1], strict=True)}
    return Combination(weights=weights, bias=float(found.x[-1]))
