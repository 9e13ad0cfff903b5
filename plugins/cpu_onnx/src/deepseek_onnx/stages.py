"""Nodes of a model as operations, and groups of nodes as stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

from deepseek_core import Operation, Stage, TensorSpec
from deepseek_onnx.attributes import FUNCTIONS, read_attributes
from deepseek_onnx.model import Model, plain_domain, reads
from deepseek_onnx.parts import OnnxArtifact, Part, filled, needed_functions
from deepseek_onnx.protos import NodeProto
from deepseek_onnx.work import graph_kind, stage_kind, stage_work

# An optional input that is not given keeps its place.
OMITTED: Final = TensorSpec(name="", dtype="float32", shape=())


class Operations(Sequence[Operation]):
    """The operations of nodes, each made when it is first asked for: a model has thousands."""

    def __init__(self, nodes: Sequence[NodeProto], model: Model) -> None:
        self._nodes, self._model = nodes, model
        self._made: dict[int, Operation] = {}

    @property
    def names(self) -> frozenset[str]:
        """Their names, without making them."""
        if isinstance(self._nodes, LazyNodes):
            return operator_names(self._model)
        return frozenset(_name(plain_domain(n.domain), n.op_type) for n in self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    @overload
    def __getitem__(self, index: int) -> Operation: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Operation]: ...
    def __getitem__(self, index: int | slice) -> Operation | Sequence[Operation]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        if position not in self._made:
            self._made[position] = operation(self._nodes[position], self._model)
        return self._made[position]

    def __iter__(self) -> Iterator[Operation]:
        return (self[i] for i in range(len(self)))


def operator_names(model: Model) -> frozenset[str]:
    """Names of all operators of a model, as devices have them."""
    return frozenset(_name(domain, op_type) for domain, op_type in model.survey.operators)


def _name(domain: str, op_type: str) -> str:
    return f"{domain}::{op_type}" if domain else op_type


def operation(node: NodeProto, model: Model) -> Operation:
    """A node as devices are asked about it.

    Inputs are the node's own, `OMITTED` where one is left out, then what its subgraphs read.
    """
    inner = [name for name in reads(node) if name not in node.input]
    attributes = read_attributes(filled(node, model))
    functions = [f.SerializeToString(deterministic=True) for f in needed_functions([node], model)]
    if functions:
        attributes[FUNCTIONS] = tuple(functions)
    domain = plain_domain(node.domain)
    return Operation(
        name=node.op_type,
        domain=domain,
        version=model.opsets.get(domain, 1),
        inputs=[_spec(name, model) for name in (*node.input, *inner)],
        outputs=[_spec(name, model) for name in node.output],
        attributes=attributes,
    )


def _spec(name: str, model: Model) -> TensorSpec:
    return model.value(name).spec() if name else OMITTED


def input_specs(model: Model) -> list[TensorSpec]:
    """What a caller passes, in the file's order."""
    return _specs(model.given, model)


def _specs(names: Iterable[str], model: Model) -> list[TensorSpec]:
    return [model.value(n).spec(optional=model.may_lack(n)) for n in names]


def whole_stage(model: Model, outputs: Sequence[str]) -> Stage:
    """All of a model as one stage; a device that reads such files gets the file as it is.

    No device was asked about its operators.
    """
    kind = graph_kind(model.graph)
    nodes = LazyNodes(model)
    made = tuple(outputs)
    taken = model.given if not model.wanted else _needed_inputs(model)
    part = Part(model, nodes, taken, made)
    return Stage(
        name=kind,
        kind=kind,
        operations=Operations(nodes, model),
        inputs=_specs(taken, model),
        outputs=[model.value(name).spec() for name in made],
        artifact=OnnxArtifact.of_whole(part),
        work=lambda: model.work,
        shapes_hold=False,
    )


def _needed_inputs(model: Model) -> tuple[str, ...]:
    read = {name for node in model.nodes for name in reads(node)}
    return tuple(name for name in model.given if name in read or name in model.outputs)


class LazyNodes(Sequence[NodeProto]):
    """The nodes of a model, put in order when they are first needed."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def __len__(self) -> int:
        return len(self._model.nodes)

    @overload
    def __getitem__(self, index: int) -> NodeProto: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[NodeProto]: ...
    def __getitem__(self, index: int | slice) -> NodeProto | Sequence[NodeProto]:
        return self._model.nodes[index]


def part_stage(model: Model, part: Part) -> Stage:
    """A group of nodes as a stage of its own, called after its kind."""
    operations = Operations(part.nodes, model)
    inputs = _specs(part.taken, model)
    kind = stage_kind(operations)
    return Stage(
        name=kind,
        kind=kind,
        operations=operations,
        inputs=inputs,
        outputs=[model.value(n).spec() for n in part.made],
        artifact=OnnxArtifact.of(part),
        work=stage_work(operations, inputs),
        shapes_hold=False,
    )


def borders(
    groups: Sequence[Sequence[NodeProto]], model: Model, outputs: Sequence[str]
) -> list[Part]:
    """For each group of nodes what it takes from outside and what it hands on.

    Initializers are no inputs: each group has its own copy. Defaults that a caller may replace
    are inputs.
    """
    wanted = [{name for node in group for name in reads(node)} for group in groups]
    parts = []
    for i, group in enumerate(groups):
        made = dict.fromkeys(name for node in group for name in node.output if name)
        taken = dict.fromkeys(name for node in group for name in reads(node))
        elsewhere = set(outputs).union(*(names for j, names in enumerate(wanted) if j != i))
        inputs = [name for name in taken if name not in made and not _is_constant(name, model)]
        handed = [name for name in made if name in elsewhere]
        parts.append(Part(model, group, tuple(inputs), tuple(handed)))
    return parts


def _is_constant(name: str, model: Model) -> bool:
    if name in model.defaults:
        return False
    sparse = (tensor.values.name for tensor in model.graph.sparse_initializer)
    return name in model.initializers or name in sparse
