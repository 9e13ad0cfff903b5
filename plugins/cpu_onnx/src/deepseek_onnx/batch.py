"""The batch axis of a model: as declared by the caller or in the file, else as proven."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from deepseek_core import Batching, errors
from deepseek_onnx.batching import follow, prove
from deepseek_onnx.model import Model
from deepseek_onnx.parts import declare
from deepseek_onnx.protos import ModelProto

METADATA_KEY: Final = "deepseek.batch_axis"
"""A file's metadata under this key says what `--batch-axis` would: `N`, `x=0,state=1`, `none`."""

FindBatch = Callable[[frozenset[str], tuple[str, ...]], Batching]


def find_batch(model: Model, choice: Any) -> FindBatch:
    """What finds the axis for a choice of fixed inputs and wanted outputs; remembers answers."""
    known: dict[tuple[frozenset[str], tuple[str, ...]], Batching] = {}

    def find(fixed: frozenset[str], outputs: tuple[str, ...]) -> Batching:
        key = fixed, outputs
        if key not in known:
            known[key] = _find(model, choice, fixed, outputs)
        return known[key]

    return find


def _find(model: Model, choice: Any, fixed: frozenset[str], outputs: tuple[str, ...]) -> Batching:
    if choice is not None:
        return _declared(model, choice, fixed, outputs)
    try:
        choice = _of_file(model, fixed, outputs)
        if choice is not None:
            return _declared(model, choice, fixed, outputs)
    except errors.ConfigError as error:  # the file runs all the same
        return Batching(reason=f"its metadata {METADATA_KEY} is of no use: {error.message}")
    return _proven(model, fixed, outputs)


def _proven(model: Model, fixed: frozenset[str], outputs: tuple[str, ...]) -> Batching:
    verdict = prove(_proto(model, outputs), fixed=fixed)
    if verdict.symbol is None:
        return Batching(reason=verdict.reason)
    return Batching(source="proven", symbol=verdict.symbol, axes=verdict.axes, reason="")


def _declared(
    model: Model, choice: Any, fixed: frozenset[str], outputs: tuple[str, ...]
) -> Batching:
    inputs = [model.value(name).spec() for name in model.given if name not in fixed]
    told = Batching.declare(choice, inputs, [model.value(name).spec() for name in outputs])
    if told.source == "none":
        return told
    found = follow(model.inferred, told.axes, symbol=told.symbol or None)
    return Batching(source="declared", symbol=told.symbol, axes={**found, **told.axes}, reason="")


def _proto(model: Model, outputs: tuple[str, ...]) -> ModelProto:
    """The model with these outputs."""
    if outputs == tuple(value.name for value in model.graph.output):
        return model.proto
    made = ModelProto()
    made.CopyFrom(model.proto)
    del made.graph.output[:]
    made.graph.output.extend(declare(model.value(name)) for name in outputs)
    return made


def _of_file(model: Model, fixed: frozenset[str], outputs: tuple[str, ...]) -> Any:
    """What the metadata declare, but for inputs that are fixed and outputs that nobody wants."""
    for entry in model.proto.metadata_props:
        if entry.key == METADATA_KEY:
            choice = Batching.parse(entry.value.split(","))
            if not isinstance(choice, Mapping):
                return choice
            made = {value.name for value in model.proto.graph.output}
            idle = (fixed | made) - set(outputs)
            return {name: axis for name, axis in choice.items() if name not in idle} or None
    return None
