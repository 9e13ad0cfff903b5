"""The time that all layers take together, asked of whoever measured them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deepseek_compress.prune.sizes import Sizes

Latency = Callable[[str, int, int], float]


class LayerTimes:
    """Milliseconds of all layers. Fields: `sizes`, `latency`, and what was asked already."""

    def __init__(self, sizes: Sizes, latency: Latency) -> None:
        self.sizes, self.latency = sizes, latency
        self.known: dict[tuple[str, int, int], float] = {}

    def total(self, kept: np.ndarray) -> float:
        """Milliseconds of all layers, which keep so many units of each block."""
        lengths = self.sizes.lengths(kept)
        return sum(
            self._of(layer, round(lengths[a]), round(lengths[b]))
            for layer, (a, b) in self.sizes.layers.items()
        )

    def _of(self, layer: str, into: int, out: int) -> float:
        key = (layer, into, out)
        if key not in self.known:
            self.known[key] = float(self.latency(layer, into, out))
        return self.known[key]
