"""The plan of a batch: its rate, warm-up and accumulation. Pure; no training is run.

Linear in the batch for SGD (Goyal et al., "Accurate, large minibatch SGD", arXiv 1706.02677) up to
the gradient noise scale, by the square root beyond; for Adam and its kin by the square root
throughout (Malladi et al., arXiv 2205.10287). Progress of one step of B samples with a noise scale
N is that of B / (1 + B / N) (McCandlish et al., arXiv 1812.06162), so that a training with B needs
1 + B / N times the samples of one with very small batches.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

_WARM: Final = 0.05  # Goyal et al.: 5 of 90 epochs
_WARM_LEAST: Final = 10


@attrs.frozen(kw_only=True)
class Base:
    """A batch and the rate that was found best for it."""

    batch: int
    rate: float


@attrs.frozen(kw_only=True)
class BatchPlan:
    """`micro` samples are computed at once on each device, `accumulate` times for a step.

    `rule` is how the rate follows from the base: "base", "linear", "square root".
    """

    batch: int
    micro: int
    accumulate: int
    rate: float
    warmup_steps: int
    warmup_start: float
    rule: str


def chosen_batch(noise: float, low: int, high: int, waste: float, step: int = 1) -> int:
    """The largest batch from `low` to `high` that needs at most `waste` more samples than the base.

    A multiple of `step` where there is one; batches are powers of two times `low` otherwise.
    """
    batch = low
    while batch * 2 <= high and batch * 2 <= waste * noise:
        batch *= 2
    return max(step, batch - batch % step)


def plan_batch(
    noise: float,
    fits: int,
    devices: int,
    base: Base,
    *,
    batch: int,
    total_steps: int,
    adaptive: bool = False,
) -> BatchPlan:
    """The plan of `batch` samples a step, on all devices together.

    `fits` is the most that one device computes at once, `total_steps` the length of the training.
    """
    micro, accumulate = divided(batch, fits, devices)
    rate, rule = _scaled(noise, base, batch, adaptive=adaptive)
    grows = rate > base.rate
    return BatchPlan(
        batch=batch,
        micro=micro,
        accumulate=accumulate,
        rate=rate,
        warmup_steps=min(max(_WARM_LEAST, round(_WARM * total_steps)), total_steps) if grows else 0,
        warmup_start=base.rate if grows else rate,
        rule=rule,
    )


def divided(batch: int, fits: int, devices: int) -> tuple[int, int]:
    """Samples that a device computes at once, and how often it does for one step."""
    each = math.ceil(batch / devices)
    accumulate = math.ceil(each / fits)
    return math.ceil(each / accumulate), accumulate


def _scaled(noise: float, base: Base, batch: int, *, adaptive: bool) -> tuple[float, str]:
    if batch == base.batch:
        return base.rate, "base"
    factor = batch / base.batch
    if adaptive:
        return base.rate * math.sqrt(factor), "square root"
    if batch <= noise or batch < base.batch:
        return base.rate * factor, "linear"
    linear = max(1.0, noise / base.batch)
    rule = "square root" if linear == 1 else f"linear up to {noise:.0f}, then square root"
    return base.rate * linear * math.sqrt(factor / linear), rule


def rates_of(plan: BatchPlan, steps: int) -> list[float]:
    """The rates of the first steps, warm-up first."""
    found = []
    for step in range(steps):
        share = min(1.0, step / plan.warmup_steps) if plan.warmup_steps else 1.0
        found.append(plan.warmup_start + (plan.rate - plan.warmup_start) * share)
    return found
