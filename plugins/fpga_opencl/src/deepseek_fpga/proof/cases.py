"""Random descriptors with many ties, and what exact numpy finds nearest."""

from __future__ import annotations

from typing import Final

import numpy as np
from attrs import frozen

from deepseek_fpga.packing import DTYPES, Array
from deepseek_fpga.variants import Metric

WORD_BYTES: Final = 32
"""Of one descriptor: the Verilog twin takes 256 bits a cycle."""
K: Final = 2
_BLOCK: Final = 4  # queries compared at a time


@frozen(kw_only=True)
class Case:
    """Queries [B, D] and gallery [N, D], with the indices and distances [B, K] of the nearest."""

    queries: Array
    gallery: Array
    indices: Array
    distances: Array

    def mismatches(self, indices: Array, distances: Array) -> int:
        """Queries whose list differs in any place."""
        differs = (indices != self.indices) | (distances != self.distances)
        return int(differs.any(axis=1).sum())


def make_case(metric: Metric, queries: int, count: int, width: int, seed: int) -> Case:
    """Rows of small integers, so that float sums are exact; a tenth of them are there twice."""
    rng = np.random.default_rng(seed)
    low, high = (0, 256) if metric == "hamming" else (-9, 10)
    rows = rng.integers(low, high, (queries + count, width)).astype(DTYPES[metric])
    wanted, gallery = rows[:queries], rows[queries:]
    twins = count // 10
    gallery[count - twins :] = gallery[:twins]
    wanted[0] = gallery[0]  # a distance of 0, twice
    indices, distances = _nearest(wanted, gallery, metric)
    return Case(queries=wanted, gallery=gallery, indices=indices, distances=distances)


def _nearest(queries: Array, gallery: Array, metric: Metric) -> tuple[Array, Array]:
    indices, distances = [], []
    for start in range(0, len(queries), _BLOCK):
        block = _distances(queries[start : start + _BLOCK], gallery, metric)
        order = np.argsort(block, axis=1, kind="stable")[:, :K]
        indices.append(order)
        distances.append(np.take_along_axis(block, order, 1))
    return np.concatenate(indices), np.concatenate(distances)


def _distances(queries: Array, gallery: Array, metric: Metric) -> Array:
    if metric == "hamming":
        different: Array = queries[:, None] ^ gallery[None]
        counts: Array = np.unpackbits(different, axis=2).sum(2, dtype=np.int64)
        return counts
    different = queries[:, None].astype(np.float64) - gallery[None]
    squares: Array = (different * different).sum(2)
    return squares
