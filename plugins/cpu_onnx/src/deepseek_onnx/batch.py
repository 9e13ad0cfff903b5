"""The batch axis of a model: as declared by the caller or in the file, else as proven."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from deepseek_core import Batching
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
    if choice is None:
        choice = _of_file(model)
    if choice is None:
        verdict = prove(_proto(model, outputs), fixed=fixed)
        if verdict.symbol is None:
            return Batching(reason=verdict.reason)
        return Batching(source="proven", symbol=verdict.symbol, axes=verdict.axes, reason="")
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


def _of_file(model: Model) -> Any:
    for entry in model.proto.metadata_props:
        if entry.key == METADATA_KEY:
            return Batching.parse(entry.value.split(","))
    return None
