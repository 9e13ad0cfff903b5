"""Whole items for workers of unequal speed, so that the last one is done soonest."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import NamedTuple


class Affine(NamedTuple):
    """Seconds of n items: `fixed_s` + n * `each_s`."""

    fixed_s: float
    each_s: float

    def of(self, count: float) -> float:
        """Seconds of `count` items."""
        return self.fixed_s + count * self.each_s


def allocate(costs: Sequence[Affine], total: int, least: int = 0) -> list[int]:
    """How many of `total` items each worker gets, `least` or more, in the order of `costs`.

    Each next item goes to whom it leaves done first: no other division ends sooner. The bulk is
    given at once, up to the time at which all would end if items could be cut.
    """
    num = len(costs)
    if costs.count(costs[0]) == num:
        share, more = divmod(total, num)
        return [share + (rank < more) for rank in range(num)]
    open_costs = [Affine(cost.of(least), cost.each_s) for cost in costs]
    end_s = _end_s(open_costs, total - least * num)
    # a shade below the bound: what rounding would give too much can't be taken back
    counts = [max(0, math.floor((end_s - c.fixed_s) / c.each_s - 1e-9)) for c in open_costs]
    heap = [
        (cost.of(count + 1), rank)
        for rank, (cost, count) in enumerate(zip(open_costs, counts, strict=True))
    ]
    heapq.heapify(heap)
    for _ in range(total - least * num - sum(counts)):
        _, rank = heap[0]
        counts[rank] += 1
        heapq.heapreplace(heap, (open_costs[rank].of(counts[rank] + 1), rank))
    return [least + count for count in counts]


def imbalance(seconds: Sequence[float]) -> float:
    """Largest over mean, less 1."""
    return max(0.0, max(seconds) * len(seconds) / sum(seconds) - 1)


def _end_s(costs: Sequence[Affine], total: int) -> float:
    """When all are done if items could be cut into parts."""
    rate = work = end_s = 0.0
    for cost in sorted(costs):
        if rate and end_s <= cost.fixed_s:
            break
        rate += 1 / cost.each_s
        work += cost.fixed_s / cost.each_s
        end_s = (total + work) / rate
    return end_s
