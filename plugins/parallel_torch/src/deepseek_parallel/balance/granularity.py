"""How large a microbatch may be, so that whole ones can follow the speeds of the ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_parallel.shares import Affine, allocate, imbalance

BAR: Final = 0.05


@attrs.frozen(kw_only=True)
class Granularity:
    """A cut of a batch: `microbatches` of `samples` each, and the imbalance that stays at best."""

    samples: int
    microbatches: int
    floor: float


def floor(costs: Sequence[Affine], microbatches: int) -> float:
    """Imbalance (max / mean - 1) of the best division; `costs` are of a whole batch."""
    counts = allocate(
        of_microbatches(costs, microbatches), microbatches, least(costs, microbatches)
    )
    ends_s = [cost.of(n / microbatches) for cost, n in zip(costs, counts, strict=True)]
    return imbalance(ends_s)


def of_microbatches(costs: Sequence[Affine], microbatches: int) -> list[Affine]:
    """Costs of one microbatch, of those of a whole batch."""
    return [Affine(cost.fixed_s, cost.each_s / microbatches) for cost in costs]


def least(costs: Sequence[Affine], microbatches: int) -> int:
    """Each rank has a microbatch, so that it is measured, where there are enough."""
    return int(microbatches >= len(costs))


def picked(costs: Sequence[Affine], batch: int, *, most: int, bar: float = BAR) -> Granularity:
    """The largest microbatch of up to `most` samples that keeps the imbalance within `bar`.

    It divides the batch. Where none does, the one with the least imbalance; its `floor` says how
    much.

    Raises:
        InputError: a batch or a limit below 1.
    """
    if batch < 1 or most < 1:
        raise errors.InputError(f"batch and most must be 1 or more, got {batch} and {most}")
    sizes = [size for size in range(min(most, batch), 0, -1) if batch % size == 0]
    cuts = [
        Granularity(samples=size, microbatches=batch // size, floor=floor(costs, batch // size))
        for size in sizes
    ]
    return next((cut for cut in cuts if cut.floor <= bar), min(cuts, key=lambda cut: cut.floor))
