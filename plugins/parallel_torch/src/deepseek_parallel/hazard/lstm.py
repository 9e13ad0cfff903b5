"""The LSTM of a gap predictor, without torch: some thousand numbers, one step a failure."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors

Vector = NDArray[np.float32]
Weights = Mapping[str, Vector]

NOTHING_SEEN: Final = (0.0, 0.0)
"""Features before the first failure."""
NUM_FEATURES: Final = len(NOTHING_SEEN)
OUTPUTS: Final = ((-3.0, 3.0), (-1.5, 0.5))
"""Bounds of what is said: logarithms of the scale over the running mean, and of the shape."""
SHIPPED: Final = Path(__file__).with_name("gaps.npz")


class Lstm:
    """One layer of Hochreiter and Schmidhuber (1997), as torch's, and a linear head.

    `weights`, of H hidden values: `from_input` [4H, 2], `from_hidden` [4H, H], `bias` [4H],
    `head` [2, H] and `head_bias` [2], float32; gates in torch's order.

    Raises:
        InputError: arrays are missing, or of other shapes.
    """

    def __init__(self, weights: Weights) -> None:
        hidden = len(weights["bias"]) // 4 if "bias" in weights else 0
        for name, shape in shapes(hidden).items():
            found = np.shape(weights.get(name, ()))
            if found != shape:
                raise errors.InputError(
                    f"weights of a gap predictor need {name} of shape {shape}, got {found}",
                    remedy="write them with `ds-sdk train failures LOG --fit FILE.npz`",
                )
        self._weights = weights
        self._hidden = np.zeros(hidden, np.float32)
        self._cell = np.zeros(hidden, np.float32)

    def step(self, features: tuple[float, ...]) -> tuple[float, ...]:
        """The outputs after one more failure."""
        w = self._weights
        gates = w["from_input"] @ np.asarray(features, np.float32) + w["bias"]
        gates = gates + w["from_hidden"] @ self._hidden
        enter, forget, new, leave = np.split(gates, 4)
        self._cell = _logistic(forget) * self._cell + _logistic(enter) * np.tanh(new)
        self._hidden = _logistic(leave) * np.tanh(self._cell)
        return tuple(map(float, w["head"] @ self._hidden + w["head_bias"]))


def shapes(hidden: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights by name."""
    return {
        "from_input": (4 * hidden, NUM_FEATURES),
        "from_hidden": (4 * hidden, hidden),
        "bias": (4 * hidden,),
        "head": (len(OUTPUTS), hidden),
        "head_bias": (len(OUTPUTS),),
    }


def read_weights(path: Path = SHIPPED) -> dict[str, Vector]:
    """The weights in a file that `fit` wrote; by default those that come with the package.

    Raises:
        InputError: no such file, or none of these.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            weights = {name: found[name].astype(np.float32) for name in found.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise errors.InputError(
            f"can't read the weights in {path}: {error}",
            remedy="write them with `ds-sdk train failures LOG --fit FILE.npz`",
        ) from error
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise errors.InputError(f"the weights in {path} hold NaN or infinity")
    Lstm(weights)
    return weights


def _logistic(x: Vector) -> Vector:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), np.float32)
