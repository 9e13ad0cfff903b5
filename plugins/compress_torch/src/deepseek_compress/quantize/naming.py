"""Which tensor of a file is which tensor of the module that it was exported from.

Found by their values for the same samples: exporters rename, merge and reorder, but compute the
same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
import numpy as np

from deepseek_compress.onnx_graph.graph import GraphIndex
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.onnx_graph.running import open_session, with_outputs
from deepseek_compress.quantize.calls import Call, Place, values_of

Array = np.ndarray[Any, Any]
_SAME: Final = 1e-5
"""Difference, relative to the largest value, of tensors that are surely one."""
_LIKE: Final = 1e-3
"""Difference that other orders of summation may make; the nearest within it is taken."""


@attrs.frozen(kw_only=True, eq=False)
class Names:
    """Places and parameters of a module by the names of a file's tensors.

    `weights` maps an initializer to a parameter's name and whether its two axes are swapped.
    """

    activations: Mapping[str, Place]
    weights: Mapping[str, tuple[str, bool]]


def names_of(
    module: Any, model: FloatModel, inputs: Mapping[str, Any], calls: tuple[Call, ...]
) -> Names:
    """Compare all float tensors of a file with those of a recorded run on the same inputs."""
    by_shape: dict[tuple[int, ...], list[tuple[Place, Array]]] = defaultdict(list)
    for place, tensor in values_of(inputs, calls).items():
        by_shape[tuple(tensor.shape)].append((place, tensor.detach().float().cpu().numpy()))
    found = {}
    for name, value in _run(model, inputs).items():
        place = _nearest(value, by_shape.get(value.shape, ()))
        if place is not None:
            found[name] = place
    return Names(activations=found, weights=_weights(module, model, calls))


def _run(model: FloatModel, inputs: Mapping[str, Any]) -> dict[str, Array]:
    names = [value.name for value in model.proto.graph.input]
    arrays = [tensor.detach().cpu().numpy() for tensor in inputs.values()]
    feeds = dict(zip(names, arrays, strict=True))
    asked = [name for name in model.float_tensors() if name not in feeds]
    found = {name: feeds[name] for name in model.float_tensors() if name in feeds}
    if asked:
        session = open_session(with_outputs(model.proto, asked), level="BASIC")
        found |= dict(zip(asked, session.run(asked, feeds), strict=True))
    return found


def _nearest(value: Array, places: Iterable[tuple[Any, Array]]) -> Any:
    """The first place that holds the value; else the nearest to it, if any is near."""
    largest = float(np.abs(value).max(initial=0.0)) or 1.0
    best, at = _LIKE, None
    for place, other in places:
        off = float(np.abs(value - other).max(initial=0.0)) / largest
        if off <= _SAME:
            return place
        if off < best:
            best, at = off, place
    return at


def _weights(
    module: Any, model: FloatModel, calls: tuple[Call, ...]
) -> dict[str, tuple[str, bool]]:
    """Parameters in the order in which calls read them, each for one initializer."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    read = [tensor for made in calls for tensor in made.arguments if id(tensor) in names]
    left = {names[id(t)]: t.detach().float().cpu().numpy() for t in read if t.ndim > 1}
    index = GraphIndex.of(model.proto)
    found: dict[str, tuple[str, bool]] = {}
    for node in model.proto.graph.node:
        for name in node.input[1:2]:
            value = index.constant(name)
            if value is None or value.ndim < 2 or name in found:
                continue
            match = _nearest(value, _turned(left, value.shape))
            if match is not None:
                found[name] = match
                del left[match[0]]
    return found


def _turned(left: Mapping[str, Array], shape: tuple[int, ...]) -> Iterable[tuple[Any, Array]]:
    """Parameters of a shape, as they are and with two axes swapped."""
    for name, array in left.items():
        if array.shape == shape:
            yield (name, False), array
    for name, array in left.items():
        if array.ndim == 2 and array.T.shape == shape:
            yield (name, True), array.T
