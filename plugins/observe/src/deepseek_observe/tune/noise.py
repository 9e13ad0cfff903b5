"""The gradient noise scale: up to which batch a larger one is worth its samples.

Of gradients of two batch sizes b < B (McCandlish et al., "An empirical model of large-batch
training", arXiv 1812.06162, appendix A.1): E|G_b|^2 = |G|^2 + S / b, so that

    |G|^2 = (B |G_B|^2 - b |G_b|^2) / (B - b)       S = (|G_b|^2 - |G_B|^2) / (1 / b - 1 / B)

without bias; the scale is S / |G|^2. Both are averaged over draws before they are divided, and the
jackknife over draws takes the ratio's bias and gives its error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
import torch

from deepseek_observe.tune.problem import Problem
from deepseek_observe.tune.samples import Stream

DRAWS: Final = 12
MOST_DRAWS: Final = 96
PIECES: Final = 16
_ENOUGH: Final = 0.25  # of the value: the error that is good enough
_SURE: Final = 2.0  # standard errors


@attrs.frozen(kw_only=True)
class NoiseScale:
    """In samples. `value` is infinite where the gradient drowns in its noise.

    The truth is from `low` to `high` in about 19 of 20 cases.
    """

    value: float
    low: float
    high: float
    draws: int

    @property
    def error(self) -> float:
        """The standard error, in parts of the value."""
        if math.isinf(self.high) or self.value == 0:
            return math.inf
        return (self.high - self.value) / _SURE / self.value


@attrs.frozen
class Draw:
    """The squared norm of one large batch's gradient, and the mean one of its small batches."""

    small: float
    large: float


def noise_scale(draws: Sequence[Draw], small: int, large: int) -> NoiseScale:
    """The scale of gradients of `small` and `large` samples.

    Raises:
        ValueError: less than three draws.
    """
    if len(draws) < 3:
        raise ValueError(f"three draws or more, got {len(draws)}")
    norms = np.array([(draw.small, draw.large) for draw in draws])
    signal = (large * norms[:, 1] - small * norms[:, 0]) / (large - small)
    noise = (norms[:, 0] - norms[:, 1]) / (1 / small - 1 / large)
    count = len(draws)
    least = float(signal.mean() - _SURE * signal.std(ddof=1) / math.sqrt(count))
    most = float(signal.mean() + _SURE * signal.std(ddof=1) / math.sqrt(count))
    spread = float(max(noise.mean(), 0.0))
    if least <= 0:
        low = spread / most if most > 0 else 0.0
        return NoiseScale(value=math.inf, low=low, high=math.inf, draws=count)
    whole = noise.mean() / signal.mean()
    left_out = (noise.sum() - noise) / (signal.sum() - signal)
    error = math.sqrt((count - 1) / count * float(((left_out - left_out.mean()) ** 2).sum()))
    value = max(0.0, float(count * whole - (count - 1) * left_out.mean()))
    return NoiseScale(
        value=value,
        low=max(0.0, value - _SURE * error),
        high=value + _SURE * error,
        draws=count,
    )


def measured_noise(
    problem: Problem, stream: Stream, small: int, *, most_draws: int = MOST_DRAWS
) -> NoiseScale:
    """The scale where the weights are now, to a quarter or of `most_draws` draws.

    Running statistics stay as they are.
    """
    buffers = [buffer.clone() for buffer in problem.model.buffers()]
    drawn: list[Draw] = []
    while True:
        drawn += [_draw(problem, stream, small) for _ in range(min(DRAWS, most_draws))]
        found = noise_scale(drawn, small, small * PIECES)
        if found.error <= _ENOUGH or len(drawn) >= most_draws:
            break
    with torch.no_grad():
        for buffer, was in zip(problem.model.buffers(), buffers, strict=True):
            buffer.copy_(was)
    problem.optimizer.zero_grad(set_to_none=True)
    return found


def _draw(problem: Problem, stream: Stream, small: int) -> Draw:
    squares = 0.0
    total: list[torch.Tensor] | None = None
    for _ in range(PIECES):
        problem.gradient(stream.take(small))
        gradients = [
            torch.zeros_like(param) if param.grad is None else param.grad.to_dense()
            for param in problem.params
        ]
        squares += _square(gradients)
        if total is None:
            total = [one.clone() for one in gradients]
        else:
            for held, one in zip(total, gradients, strict=True):
                held.add_(one)
    assert total is not None
    return Draw(squares / PIECES, _square(total) / PIECES**2)


def _square(gradients: Sequence[torch.Tensor]) -> float:
    return sum(float(torch.linalg.vector_norm(one)) ** 2 for one in gradients)
