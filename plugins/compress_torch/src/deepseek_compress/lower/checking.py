"""Checks before a model is lowered."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.qspec import QuantSpec
from deepseek_core import errors


def check_names(model: FloatModel, spec: QuantSpec, skip: Collection[str]) -> None:
    """See that spec and `skip` speak of this model.

    Raises:
        InputError: they name no tensor or node of it.
    """
    tensors = set(model.float_tensors()) | {t.name for t in model.proto.graph.initializer}
    foreign = sorted((spec.activations.keys() | spec.weights.keys()) - tensors)
    if foreign:
        raise errors.InputError(
            f"the spec has a range of {foreign[0]!r}, which is not a tensor of the model "
            f"({len(foreign)} such)",
            remedy="calibrate this very model",
        )
    nodes = [node.name for node in model.proto.graph.node]
    for name in sorted(set(skip) - set(nodes)):
        close = get_close_matches(name, nodes, n=1)
        raise errors.InputError(
            f"{name!r} is to stay float, but the model has no such node",
            remedy=f"did you mean {close[0]!r}?" if close else "name nodes as the file does",
        )


def is_simulated(spec: QuantSpec) -> bool:
    """Whether a spec has activations that no 8-bit integer saturates by itself."""
    return any(found.bits < 8 for found in spec.activations.values())
