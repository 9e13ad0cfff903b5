"""How near an int8 model stays to the float one, and which layers cost most of it; no labels."""

from __future__ import annotations

from typing import Any, Final

from deepseek_compress.onnx_graph.graph import HEAVY
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.onnx_graph.running import compare
from deepseek_compress.qspec import QuantSpec
from deepseek_compress.quantize.calibrating import SomeSamples
from deepseek_compress.quantize.sensitivity import (
    LowerPart,
    Mixed,
    Sensitivity,
    mixed,
    sensitivity,
)
from deepseek_core import compression

LARGE: Final = 0.1
"""A relative error of the outputs that is told as large."""
_LAYERS, _SAMPLES = 64, 8  # what it may cost to name layers that nobody asked about


def within_error(
    model: FloatModel,
    spec: QuantSpec,
    held_out: compression.Samples,
    lower: LowerPart,
    max_error: float,
) -> Mixed:
    """Leave as few layers in float as keep the outputs' relative error within `max_error`.

    The metric of what is returned is 1 less that error.

    Raises:
        BadCalibration: samples do not fit the model.
    """

    def nearness(proto: Any) -> float:
        return 1 - compare(model.proto, proto, held_out).relative_error

    enough = nearness(lower(model, spec)) >= 1 - max_error
    ranked = Sensitivity(layers=()) if enough else sensitivity(model, spec, held_out, lower)
    return mixed(model, spec, ranked, lower=lower, metric=nearness, max_drop=max_error)


def costliest(
    model: FloatModel, spec: QuantSpec, held_out: compression.Samples, lower: LowerPart
) -> str:
    """The three layers that cost most by themselves, with their errors; empty for large models.

    A few samples tell the order well enough.
    """
    if sum(node.op_type in HEAVY for node in model.proto.graph.node) > _LAYERS:
        return ""
    few = SomeSamples(held_out, 0, min(_SAMPLES, len(held_out)))
    worst = sensitivity(model, spec, few, lower).layers[:3]
    return ", ".join(f"{layer.name} {layer.error:.1%}" for layer in worst)
