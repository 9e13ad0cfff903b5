"""Layers in a row cut into stages, so that the slowest one is as fast as it can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_ROUNDS: Final = 60


def cut(costs: Sequence[Sequence[float]]) -> list[int]:
    """Layers by stage, 1 or more each; `costs[stage][layer]` are seconds.

    There have to be as many layers as stages. No other cut has a faster slowest stage, but for
    rounding.
    """
    low, high = 0.0, max(map(sum, costs))
    found = _within(costs, high)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        fitting = _within(costs, middle)
        if fitting is None:
            low = middle
        else:
            found, high = fitting, middle
    assert found is not None, "all layers on the first stages fit into the time of all"
    return found


def _within(costs: Sequence[Sequence[float]], limit: float) -> list[int] | None:
    """Each stage takes what it can within a limit, and leaves one layer for each that follows."""
    num_layers, num_stages = len(costs[0]), len(costs)
    done, counts = 0, []
    for stage, layers in enumerate(costs):
        last = num_layers - (num_stages - stage - 1)
        begin, seconds = done, 0.0
        while done < last and seconds + layers[done] <= limit:
            seconds += layers[done]
            done += 1
        counts.append(done - begin)
    return counts if done == num_layers and min(counts) else None
