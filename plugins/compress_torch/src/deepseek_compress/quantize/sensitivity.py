"""What each layer loses by itself when it alone is quantized, and which to leave in float."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol

import attrs
from onnx import ModelProto

from deepseek_compress.onnx_graph.graph import HEAVY
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.onnx_graph.running import compare
from deepseek_compress.qspec import QuantSpec
from deepseek_core import errors

Metric = Callable[[ModelProto], float]
"""The accuracy of a model, more is better."""


class LowerPart(Protocol):
    """Lowers a model but for the nodes named in `skip`: what a target's lowering does."""

    def __call__(
        self, model: FloatModel, spec: QuantSpec, *, skip: Collection[str] = ()
    ) -> ModelProto:
        """The quantized model."""
        ...


@attrs.frozen(kw_only=True)
class LayerSensitivity:
    """A layer; the relative output error, and the metric's drop, when it alone is quantized."""

    name: str
    operator: str
    error: float
    drop: float | None = None


@attrs.frozen(kw_only=True)
class Sensitivity:
    """All layers, the most sensitive first: by drop where there is a metric, then by error."""

    layers: tuple[LayerSensitivity, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """For a report."""
        return [attrs.asdict(layer) for layer in self.layers]


def sensitivity(
    model: FloatModel,
    spec: QuantSpec,
    samples: Any,
    lower: LowerPart,
    metric: Metric | None = None,
) -> Sensitivity:
    """Quantize each heavy node alone and compare with the float model.

    Raises:
        BadCalibration: samples do not fit the model.
    """
    nodes = [node for node in model.proto.graph.node if node.op_type in HEAVY]
    names = {node.name for node in nodes}
    whole = metric(model.proto) if metric else 0.0
    layers = []
    for node in nodes:
        alone = lower(model, spec, skip=names - {node.name})
        layers.append(
            LayerSensitivity(
                name=node.name,
                operator=node.op_type,
                error=compare(model.proto, alone, samples).relative_error,
                drop=whole - metric(alone) if metric else None,
            )
        )
    return Sensitivity(layers=tuple(sorted(layers, key=lambda la: (-(la.drop or 0.0), -la.error))))


@attrs.frozen(kw_only=True, eq=False)
class Mixed:
    """A model whose worst layers stay float, with the metric of it, of float and of all-integer."""

    proto: ModelProto = attrs.field(repr=False)
    left_in_float: tuple[str, ...]
    metric: float
    metric_float: float
    metric_quantized: float


def mixed(
    model: FloatModel,
    spec: QuantSpec,
    ranked: Sensitivity,
    *,
    lower: LowerPart,
    metric: Metric,
    max_drop: float,
) -> Mixed:
    """Leave as few of the most sensitive layers in float as keep the drop within `max_drop`.

    The number is found by bisection, so the metric is asked about log2(layers) times.

    Raises:
        ConfigError: `max_drop` is negative or no number.
    """
    if not max_drop >= 0:
        raise errors.ConfigError(f"max_drop must be 0 or more, got {max_drop}")
    worst = [layer.name for layer in ranked.layers]
    whole = metric(model.proto)

    def attempt(count: int) -> Mixed:
        proto = lower(model, spec, skip=worst[:count])
        return Mixed(
            proto=proto,
            left_in_float=tuple(worst[:count]),
            metric=metric(proto),
            metric_float=whole,
            metric_quantized=tried[0].metric if tried else 0.0,
        )

    tried: dict[int, Mixed] = {}
    tried[0] = attempt(0)
    tried[0] = attrs.evolve(tried[0], metric_quantized=tried[0].metric)
    low, high = 0, len(worst)  # `low` fails unless it is 0 and holds; all in float always holds
    if whole - tried[0].metric <= max_drop:
        return tried[0]
    while high - low > 1:
        middle = (low + high) // 2
        tried[middle] = attempt(middle)
        low, high = (low, middle) if whole - tried[middle].metric <= max_drop else (middle, high)
    return tried[high] if high in tried else attempt(high)
