"""What a pruned model may cost, and which counts of channels that leaves."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np

from deepseek_compress.errors import CannotPrune
from deepseek_compress.prune.structure import Block, Group


def _ratio(instance: Any, attribute: Any, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value >= 1):
        raise CannotPrune(
            f"{attribute.name} is how many times smaller: 1 or more, not {value!r}",
            operation="budget",
        )


@attrs.frozen(kw_only=True)
class PruneBudget:
    """What the pruned model may cost.

    `params`, `macs`: how many times fewer (3.7 for "/ 3.7"); `latency_ms`: the most, by the
    `latency` function; `round_to`: every count of channels is a multiple (8, and 16 for int8);
    `min_channels`: the least of any layer that shrinks; `least_share`: the least share of its
    channels that a group keeps.
    """

    params: float | None = attrs.field(default=None, validator=_ratio)
    macs: float | None = attrs.field(default=None, validator=_ratio)
    latency_ms: float | None = None
    round_to: int = attrs.field(default=8, validator=attrs.validators.ge(1))
    min_channels: int = attrs.field(default=8, validator=attrs.validators.ge(1))
    least_share: float = attrs.field(
        default=0.0, validator=[attrs.validators.ge(0), attrs.validators.le(1)]
    )


def choices(group: Group, block: Block, budget: PruneBudget) -> np.ndarray:
    """How many units of a block may stay, in rising order; all of them always may."""
    step = 1
    for multiplicity in block.multiplicities:
        step = math.lcm(step, budget.round_to // math.gcd(budget.round_to, multiplicity))
    count, widest = len(block.units), min(block.multiplicities, default=1)
    least = max(1, -(-budget.min_channels // widest), math.ceil(budget.least_share * count))
    counts = np.arange(step, count + 1, step)
    counts = counts[counts >= min(least, count)]
    return np.unique(np.append(counts, count))
