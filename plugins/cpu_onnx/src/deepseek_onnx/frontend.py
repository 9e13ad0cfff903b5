"""Reads an ONNX model and cuts it into stages by what the devices present support."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import attrs
from onnx import NodeProto

from deepseek_core import Artifact, Frontend, Graph, Operation, Stage, Support, errors
from deepseek_onnx.model import Model, load, reads
from deepseek_onnx.partition import cut
from deepseek_onnx.shapes import BATCH, Value, infer_values
from deepseek_onnx.stages import borders, operation, submodel
from deepseek_onnx.work import stage_kind, stage_work

Supporters = Callable[[Operation], dict[str, Support]]
Devices = frozenset[str]

_NO_CROSSING: Final = "export it with a fixed rank, or with tensors in place of sequences"


@attrs.frozen(eq=False)
class _Reading:
    """A model with what was found out about it, node by node."""

    model: Model
    values: dict[str, Value]
    operations: tuple[Operation, ...]


class OnnxFrontend(Frontend):
    """Reader of `.onnx` files, with data files beside them."""

    def read(self, artifact: Artifact, supporters: Supporters) -> Graph:
        """The model as stages, cut wherever the set of supporting devices changes.

        The leading symbol of the inputs is named `batch`, whatever the file calls it.

        Raises:
            ArtifactError: missing, truncated, no ONNX model; or no dtype or rank to be found.
            NoDevice: an operator that no device supports; says why each refused.
        """
        reading = _read(artifact)
        devices = _ask(reading, supporters)
        groups = cut(devices, _needs(reading.model.nodes))
        if not _may_cut(reading, groups):
            groups = [_uncut(reading, devices)]
        path = artifact.path
        return Graph(
            name=path.stem if path is not None else reading.model.graph.name or "model",
            stages=_stages(reading, groups),
            outputs=[value.name for value in reading.model.graph.output],
        )


def whole_model_stage(artifact: Artifact) -> Stage:
    """A model as one stage, its file untouched, whatever any device supports.

    Raises:
        ArtifactError: missing, truncated, no ONNX model; or no dtype or rank to be found.
    """
    reading = _read(artifact)
    everything = [list(range(len(reading.operations)))]
    return attrs.evolve(_stages(reading, everything)[0], artifact=artifact)


def _read(artifact: Artifact) -> _Reading:
    model = load(artifact)
    values = infer_values(model)
    for value in (*model.graph.input, *model.graph.output):
        if not values[value.name].can_cross:
            raise errors.ArtifactError(
                f"{value.name!r} is a sequence or of unknown rank; the SDK passes tensors",
                remedy=_NO_CROSSING,
            )
    operations = tuple(operation(node, model, values) for node in model.nodes)
    return _Reading(model, values, operations)


def _ask(reading: _Reading, supporters: Supporters) -> list[Devices]:
    """For each node the devices that run it.

    Raises:
        NoDevice: there is none for some.
    """
    answers: dict[object, dict[str, Support]] = {}
    devices: list[Devices] = []
    refused: list[int] = []
    for i, op in enumerate(reading.operations):
        key = _signature(op, reading.model.nodes[i])
        if key not in answers:
            answers[key] = supporters(op)
        devices.append(frozenset(d for d, support in answers[key].items() if support))
        if not devices[-1]:
            refused.append(i)
    if refused:
        keys = (_signature(reading.operations[i], reading.model.nodes[i]) for i in refused)
        raise _no_device(reading, refused, [answers[key] for key in keys])
    return devices


def _signature(op: Operation, node: NodeProto) -> object:
    """Equal for operations that a device can't tell apart but by their names."""
    attributes = b"".join(sorted(a.SerializeToString(deterministic=True) for a in node.attribute))
    described = [(bool(s.name), s.dtype, s.shape) for s in (*op.inputs, *op.outputs)]
    return op.qualified_name, op.version, tuple(described), len(op.inputs), attributes


def _no_device(
    reading: _Reading, refused: Sequence[int], answers: Sequence[dict[str, Support]]
) -> errors.NoDevice:
    said = [
        f"{reading.operations[i].qualified_name} (node {reading.model.nodes[i].name or i!r})"
        for i in refused
    ]
    more = f" and {len(said) - 3} more" if len(said) > 3 else ""
    reasons: dict[str, dict[str, None]] = {}
    for answer in answers:
        for device, support in answer.items():
            reasons.setdefault(device, {})[support.reason] = None
    refusals = {device: "; ".join(texts) for device, texts in reasons.items()}
    told = "; ".join(f"{device}: {text}" for device, text in refusals.items())
    return errors.NoDevice(
        f"no device runs {', '.join(said[:3])}{more} ({told or 'no device is present'})",
        refusals=refusals,
        remedy="install a plugin that runs it, or export the model with other operators",
    )


def _needs(nodes: Sequence[NodeProto]) -> list[list[int]]:
    """For each node the earlier nodes whose outputs it reads."""
    makers = {name: i for i, node in enumerate(nodes) for name in node.output if name}
    return [sorted({makers[n] for n in reads(node) if n in makers}) for node in nodes]


def _may_cut(reading: _Reading, groups: Sequence[Sequence[int]]) -> bool:
    nodes = reading.model.nodes
    crossing = borders([[nodes[i] for i in group] for group in groups], reading.model)
    return all(reading.values[n].can_cross for taken, made in crossing for n in (*taken, *made))


def _uncut(reading: _Reading, devices: Sequence[Devices]) -> list[int]:
    """All nodes as one group, for a cut would pass what is no tensor of known rank.

    Raises:
        NoDevice: no single device runs all of them.
    """
    if not frozenset.intersection(*devices):
        raise errors.NoDevice(
            "the model can't be cut, because a sequence or a tensor of unknown rank would pass "
            "from one stage to another, and no device runs all of it",
            refusals={},
            remedy=_NO_CROSSING,
        )
    return list(range(len(reading.operations)))


def _stages(reading: _Reading, groups: Sequence[Sequence[int]]) -> list[Stage]:
    nodes = reading.model.nodes
    parts = [[nodes[i] for i in group] for group in groups]
    used: Counter[str] = Counter()
    stages = []
    for group, part, border in zip(groups, parts, borders(parts, reading.model), strict=True):
        operations = [reading.operations[i] for i in group]
        kind = stage_kind(operations)
        used[kind] += 1
        name = kind if used[kind] == 1 else f"{kind}_{used[kind]}"
        stages.append(_stage(reading, (name, kind), operations, part, border))
    return stages


def _stage(
    reading: _Reading,
    named: tuple[str, str],
    operations: list[Operation],
    part: list[NodeProto],
    border: tuple[list[str], list[str]],
) -> Stage:
    (name, kind), (taken, made) = named, border
    inputs = [reading.values[tensor].spec for tensor in taken]
    content = submodel(part, taken, made, reading.model, reading.values)
    return Stage(
        name=name,
        kind=kind,
        operations=operations,
        inputs=inputs,
        outputs=[reading.values[tensor].spec for tensor in made],
        artifact=Artifact.from_bytes(content, format="onnx"),
        work=stage_work(operations, inputs),
        batched=any(BATCH in spec.shape for spec in inputs),
    )
