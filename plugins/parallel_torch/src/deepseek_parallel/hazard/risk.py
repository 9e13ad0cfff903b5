"""The chance that a node fails tomorrow, by what it did before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deepseek_parallel.hazard.nodes import HISTORY, Floats, NodeDays

_RIDGE: Final = 1.0
_ROUNDS: Final = 25
_HALVINGS: Final = 20
_SO_FAR: Final = 4  # the column of failures so far


class RiskModel(ABC):
    """Learns from days of systems; then tells the risk of each node on a day."""

    name: str

    @abstractmethod
    def fit(self, systems: Sequence[NodeDays], until: Sequence[int]) -> None:
        """Learn from the days before `until` of each system."""

    @abstractmethod
    def risk(self, system: NodeDays, day: int) -> Floats:
        """Chance of each node that it fails on a day, from the days before it."""


class ConstantRisk(RiskModel):
    """All nodes alike."""

    name = "constant"

    def fit(self, systems: Sequence[NodeDays], until: Sequence[int]) -> None:
        """Take the mean."""
        seen = [s.counts[HISTORY:day] > 0 for s, day in zip(systems, until, strict=True)]
        self._mean = sum(map(np.sum, seen)) / sum(map(np.size, seen))

    def risk(self, system: NodeDays, day: int) -> Floats:
        """The mean."""
        return np.full(system.counts.shape[1], self._mean, np.float32)


class OwnRate(RiskModel):
    """A node fails as often as it did so far."""

    name = "own rate so far"

    def fit(self, systems: Sequence[NodeDays], until: Sequence[int]) -> None:
        """Nothing is to be learned."""

    def risk(self, system: NodeDays, day: int) -> Floats:
        """Failures a day so far."""
        return np.exp(system.at(day)[:, _SO_FAR])


class Logistic(RiskModel):
    """Logistic regression over the features of `NodeDays`, by Newton's method with a ridge."""

    name = "logistic regression"

    def fit(self, systems: Sequence[NodeDays], until: Sequence[int]) -> None:
        """Find the coefficients."""
        found = [
            (system.at(day), system.counts[day] > 0)
            for system, end in zip(systems, until, strict=True)
            for day in range(HISTORY, end)
        ]
        seen = np.concatenate([features for features, _ in found]).astype(np.float64)
        failed = np.concatenate([label for _, label in found])
        self._mean, self._spread = seen.mean(axis=0), seen.std(axis=0) + 1e-6
        self._weights = _newton(self._wide(seen), failed)

    def risk(self, system: NodeDays, day: int) -> Floats:
        """The chance."""
        seen = self._wide(system.at(day).astype(np.float64))
        return _logistic(seen @ self._weights).astype(np.float32)

    def _wide(self, seen: NDArray[np.float64]) -> NDArray[np.float64]:
        scaled = (seen - self._mean) / self._spread
        return np.concatenate([scaled, np.ones((len(seen), 1))], axis=1)


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 0.5 * (1 + np.tanh(0.5 * x))


def _newton(seen: NDArray[np.float64], failed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights of least loss; each step is halved until the loss falls."""
    weights = np.zeros(seen.shape[1])
    ridge = _RIDGE * np.eye(len(weights))
    ridge[-1, -1] = 0.0
    loss = _loss(seen, failed, weights)
    for _ in range(_ROUNDS):
        chance = _logistic(seen @ weights)
        slope = seen.T @ (chance - failed) + ridge @ weights
        curve = (seen * (chance * (1 - chance))[:, None]).T @ seen + ridge
        step = np.linalg.solve(curve + 1e-9 * np.eye(len(weights)), slope)
        for _ in range(_HALVINGS):
            tried = _loss(seen, failed, weights - step)
            if tried <= loss:
                break
            step /= 2
        else:
            break
        weights, loss = weights - step, tried
    return weights


def _loss(
    seen: NDArray[np.float64], failed: NDArray[np.bool_], weights: NDArray[np.float64]
) -> float:
    odds = seen @ weights
    loss = np.logaddexp(0, odds).sum() - odds[failed].sum()
    return float(loss + _RIDGE / 2 * (weights[:-1] ** 2).sum())
