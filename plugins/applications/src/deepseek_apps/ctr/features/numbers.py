"""A column of numbers twice: as a bin, and as a scaled logarithm.

The bin lets a network find steps and humps; the logarithm keeps the order within a bin.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from deepseek_apps.ctr.table import Floats, Ints

MISSING = 0
"""The bin of what is no number; bins of numbers begin at 1."""


def _edges(value: Any) -> tuple[float, ...]:
    return tuple(float(np.float32(edge)) for edge in value)


@attrs.frozen(kw_only=True)
class NumberField:
    """Upper edges of the bins, and the mean and spread of the logarithm."""

    name: str
    edges: tuple[float, ...] = attrs.field(converter=_edges)
    mean: float
    spread: float

    @property
    def num_ids(self) -> int:
        """Bins, and the one of missing values."""
        return len(self.edges) + 2

    def bins(self, values: Floats) -> Ints:
        """1 more than how many edges lie below each value; 0 for NaN."""
        found = np.searchsorted(np.array(self.edges, np.float32), values, side="left") + 1
        return np.where(np.isnan(values), MISSING, found).astype(np.int64)

    def scaled(self, values: Floats) -> Floats:
        """Scaled logarithms; 0, which is the mean, for NaN."""
        scaled = (signed_log(values) - np.float32(self.mean)) / np.float32(self.spread)
        return np.where(np.isnan(values), np.float32(0), scaled)


def signed_log(values: Floats) -> Floats:
    """`sign(x) * log(1 + |x|)` in float32, computed as the exported graph computes it."""
    grown: Floats = np.sign(values) * np.log(np.float32(1) + np.abs(values))
    return grown


def fit_numbers(name: str, values: Floats, num_bins: int) -> NumberField:
    """A field fitted on these values; a column without any number has one bin."""
    held = values[~np.isnan(values)]
    if not len(held):
        return NumberField(name=name, edges=(), mean=0.0, spread=1.0)
    shares = np.arange(1, num_bins) / num_bins
    # an edge is a value that occurs: halves between neighbors would differ in float32 elsewhere
    edges = np.unique(np.quantile(held, shares, method="inverted_cdf"))
    logs = signed_log(held).astype(np.float64)
    spread = float(logs.std()) or 1.0
    return NumberField(
        name=name,
        edges=edges[edges < held.max()],
        mean=float(logs.mean()),
        spread=spread if spread > 1e-6 else 1.0,
    )
