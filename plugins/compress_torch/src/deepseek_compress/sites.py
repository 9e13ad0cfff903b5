"""Where a runtime wants a model quantized: tensors, weights, and what stays float, with reasons."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class QuantSites:
    """Places in one float model.

    `activations` maps a tensor to the names of the nodes that read it quantized, None for all.
    `ranges_of` maps a tensor to another whose range it has, because an operator hands values
    through; `absorbed` maps a Relu or Clip that saturation replaces to its bounds. `weights` maps
    an initializer to its axis of channels; `biases` a node to (bias, data, weight); `constants`
    maps other initializers, quantized as a whole, to the nodes that read them so. `pooled` are
    nodes that become a pooling; `stays_float` says for heavy nodes why.
    """

    activations: Mapping[str, frozenset[str] | None]
    ranges_of: Mapping[str, str] = attrs.field(factory=dict)
    absorbed: Mapping[str, tuple[float, float]] = attrs.field(factory=dict)
    weights: Mapping[str, int] = attrs.field(factory=dict)
    biases: Mapping[str, tuple[str, str, str]] = attrs.field(factory=dict)
    constants: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    pooled: frozenset[str] = frozenset()
    stays_float: Mapping[str, str] = attrs.field(factory=dict)

    def range_name(self, tensor: str) -> str:
        """The tensor whose range this one has."""
        while tensor in self.ranges_of:
            tensor = self.ranges_of[tensor]
        return tensor
