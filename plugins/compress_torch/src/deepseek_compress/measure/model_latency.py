"""Predicts what a pruned model takes on a device, before it is made.

The sum over layers of what each takes alone and of what lies behind it, times what the whole model
takes by that sum (layers in a row share caches and threads), and what any run costs, of which each
layer has its share. What lies behind a layer (additions, poolings) shrinks with its outputs, a
convolution with its inputs, too: without it narrow models are predicted too fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from deepseek_compress.measure.layer_models import LayerShape
from deepseek_compress.measure.layer_table import LayerTable

BEHIND: Final = 0.2
BEHIND_INT8: Final = 0.5
"""Of a layer's time at its full width: ResNet-50, benchmarks/resnet50_budget.py --latency.

Additions and poolings gain less by integers than convolutions do.
"""


@attrs.frozen(kw_only=True, eq=False)
class LatencyModel:
    """Seconds by layer and channel counts; `factor` makes the whole model's sum what it takes.

    `share_s` is each layer's part of what a run costs whatever it computes, `behind` what lies
    behind a layer, as a share of its time at full width.
    """

    table: LayerTable
    shapes: Mapping[str, tuple[LayerShape, ...]]
    factor: float
    share_s: float = 0.0
    behind: float = BEHIND

    @classmethod
    def fitted(
        cls, table: LayerTable, shapes: Mapping[str, tuple[LayerShape, ...]], whole_s: float
    ) -> LatencyModel:
        """The model of a network that takes `whole_s` seconds as it is."""
        behind = BEHIND_INT8 if table.in_integers else BEHIND
        alone = cls(table=table, shapes=shapes, factor=1.0, behind=behind)
        total = sum(alone.layer_s(name, None, None) for name in shapes)
        run_s = min(table.run_s, whole_s)
        return attrs.evolve(
            alone,
            factor=(whole_s - run_s) / total if total else 1.0,
            share_s=run_s / max(len(shapes), 1),
        )

    def layer_s(self, name: str, in_channels: int | None, out_channels: int | None) -> float:
        """Seconds of a layer with so many channels; None: as many as it has."""
        calls = self.shapes.get(name, ())
        return self.share_s + self.factor * sum(
            self._call_s(
                shape, in_channels or shape.in_channels, out_channels or shape.out_channels
            )
            for shape in calls
        )

    def _call_s(self, shape: LayerShape, in_channels: int, out_channels: int) -> float:
        narrow = shape.with_channels(in_channels, out_channels)
        left = narrow.out_channels / shape.out_channels
        return self._alone_s(shape, narrow) + self.behind * left * self._alone_s(shape, shape)

    def _alone_s(self, full: LayerShape, shape: LayerShape) -> float:
        channels = {"full_in": full.in_channels, "full_out": full.out_channels}
        return self.table(attrs.asdict(shape) | channels)

    def __call__(self, layer: Mapping[str, Any]) -> float:
        """Estimate a layer (`name`, `in_channels`, `out_channels`) in seconds."""
        return self.layer_s(layer["name"], layer.get("in_channels"), layer.get("out_channels"))
