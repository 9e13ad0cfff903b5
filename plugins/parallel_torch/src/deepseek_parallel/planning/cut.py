"""Layers in a row cut into stages, so that the slowest one is as fast as it can be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def cut(costs: Sequence[Sequence[float]]) -> list[int]:
    """Layers by stage, 1 or more each; `costs[stage][layer]` are seconds.

    There have to be as many layers as stages. No other cut has a faster slowest stage, but for
    rounding; of equal ones the first stages have most layers.
    """
    # best[j]: the slowest of the stages so far, if they have the first j layers
    until = [np.concatenate([[0.0], np.cumsum(layers)]) for layers in costs]
    best = until[0].copy()
    best[0] = np.inf
    befores = []
    for seconds in until[1:]:
        slowest = np.maximum(best[:, None], seconds[None, :] - seconds[:, None])
        slowest[np.tril_indices(len(seconds))] = np.inf
        before = len(seconds) - 1 - np.argmin(slowest[::-1], axis=0)
        befores.append(before)
        best = slowest[before, np.arange(len(seconds))]
    ends = [len(costs[0])]
    for before in reversed(befores):
        ends.append(int(before[ends[-1]]))
    ends.append(0)
    return [end - begin for end, begin in pairwise(ends)][::-1]
