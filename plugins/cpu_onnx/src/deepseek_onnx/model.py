"""An ONNX model as it was read: its inputs and outputs, its nodes in order, what is constant."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import Artifact, Work, errors
from deepseek_onnx.attributes import captured_names, nodes_within, subgraphs
from deepseek_onnx.data_files import ModelFile, is_outside, location
from deepseek_onnx.model_file import EXPORT_AGAIN, inferred, read_model
from deepseek_onnx.protos import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto
from deepseek_onnx.shapes import Value, value_of, values_of
from deepseek_onnx.work import model_work

_SCALARS: Final = {
    "value_float": ("float32", "f"),
    "value_floats": ("float32", "floats"),
    "value_int": ("int64", "i"),
    "value_ints": ("int64", "ints"),
    "value_string": ("object", "s"),
    "value_strings": ("object", "strings"),
}
# From this version on an initializer that is an input, too, is a default that a caller may replace.
_DEFAULTS_IR: Final = 4

FunctionKey = tuple[str, str, str]
"""Domain, name and overload of a model-local function."""


@attrs.frozen(eq=False)
class Survey:
    """Whether nodes stand in order, what is given or made, and by two of them if anything is."""

    is_sorted: bool
    twice: str
    known: set[str]
    operators: frozenset[tuple[str, str]]
    """Domain and name of each."""


@attrs.frozen(eq=False)
class Model:
    """A model with its structure in memory; the data of large tensors lies in its file.

    `proto` is what the file says; what can be inferred is inferred when it is first needed.

    `wanted` are the outputs that a caller chose, empty for those of the file; `asked` are types
    that only a runtime could tell. What takes a walk over all nodes is found out when it is first
    asked for.
    """

    file: ModelFile
    proto: ModelProto
    wanted: tuple[str, ...] = ()
    asked: Mapping[str, Value] = attrs.field(factory=dict)

    @property
    def graph(self) -> GraphProto:
        """The main graph, as the file has it."""
        return self.proto.graph

    @cached_property
    def opsets(self) -> dict[str, int]:
        """Domain -> version, the standard domain being empty."""
        return {plain_domain(o.domain): o.version for o in self.proto.opset_import}

    @cached_property
    def functions(self) -> dict[FunctionKey, FunctionProto]:
        """The model-local functions."""
        return {
            (plain_domain(f.domain), f.name, getattr(f, "overload", "")): f
            for f in self.proto.functions
        }

    def function(self, node: NodeProto) -> FunctionProto | None:
        """The body of a node's model-local function, None for an ordinary operator."""
        return self.functions.get(function_key(node)) if self.functions else None

    @cached_property
    def inferred(self) -> ModelProto:
        """The same model with the types that onnx can infer."""
        return inferred(self.file, self.proto)

    @cached_property
    def values(self) -> dict[str, Value]:
        """Every value of the main graph whose type is known, by name."""
        return values_of(self.inferred, self.initializers)

    @cached_property
    def work(self) -> Work:
        """What a run of all of it must do."""
        return model_work(self.inferred.graph)

    @cached_property
    def _ends(self) -> dict[str, Value]:
        return {v.name: value_of(v) for v in (*self.graph.output, *self.graph.input)}

    def value(self, name: str) -> Value:
        """What is known of a value, if anything is."""
        declared = self._ends.get(name)
        if declared is not None and declared.is_told:
            return declared
        return self.asked.get(name) or self.values.get(name) or Value(name, None, None)

    @cached_property
    def defaults(self) -> frozenset[str]:
        """Inputs that may be left out, since an initializer has their name."""
        if self.proto.ir_version < _DEFAULTS_IR:
            return frozenset()
        return frozenset(v.name for v in self.graph.input if v.name in self._stored)

    def may_lack(self, name: str) -> bool:
        """Whether an input may be left out: it has a default, or its type says so."""
        return name in self.defaults or self.value(name).container.startswith("optional(")

    @cached_property
    def given(self) -> tuple[str, ...]:
        """Names of the inputs that a caller passes or may pass, in the file's order."""
        return tuple(
            v.name
            for v in self.graph.input
            if v.name not in self._stored or v.name in self.defaults
        )

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in the file's order or the caller's."""
        return self.wanted or tuple(dict.fromkeys(v.name for v in self.graph.output))

    @cached_property
    def _stored(self) -> dict[str, TensorProto]:
        return {tensor.name: tensor for tensor in self.graph.initializer} | {
            tensor.values.name: tensor.values for tensor in self.graph.sparse_initializer
        }

    @cached_property
    def initializers(self) -> dict[str, TensorProto]:
        """Constants by name: initializers, and the values of Constant nodes."""
        found = self._constants
        copies = {copy: _renamed(found[name], copy) for name, copy in self._copies.items()}
        return {**found, **copies}

    @cached_property
    def _constants(self) -> dict[str, TensorProto]:
        found = {tensor.name: tensor for tensor in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant" and not node.domain:
                tensor = _constant(node)
                if tensor is not None:
                    found[tensor.name] = tensor
        return found

    @cached_property
    def _copies(self) -> dict[str, str]:
        """Outputs that are constants, and the name of what the node reads that makes them."""
        outputs = set(self.outputs).intersection(self._constants) - self.defaults
        return {name: _unused(f"{name}/constant", self.survey.known) for name in sorted(outputs)}

    @cached_property
    def survey(self) -> Survey:
        """What one walk over the nodes tells."""
        known = {"", *self.given, *self._stored}
        operators: set[tuple[str, str]] = set()
        is_sorted, twice = True, ""
        for node in self.graph.node:
            for name in node.input:
                if name not in known:
                    is_sorted = False
            for name in node.output:
                if name and name in known and node.op_type != "Constant":
                    twice = name
            known.update(node.output)
            operators.add((node.domain, node.op_type))
        plain = frozenset((plain_domain(domain), op) for domain, op in operators)
        return Survey(is_sorted, twice, known, plain)

    @cached_property
    def nodes(self) -> tuple[NodeProto, ...]:
        """The nodes that an output depends on, in order; Constants are left out.

        An output that is a constant gets a node that makes it.

        Raises:
            ArtifactError: one reads what nothing makes, or itself.
        """
        kept = [
            NodeProto(op_type="Identity", input=[copy], output=[name], name=copy)
            for name, copy in self._copies.items()
        ]
        kept += [n for n in self.graph.node if not n.output or n.output[0] not in self.initializers]
        known = {"", *self.given, *self._stored, *self.initializers}
        ordered = in_order(kept, known, self.file.named)
        return tuple(_needed(ordered, self.outputs))


def load(artifact: Artifact) -> Model:
    """Read a model's structure.

    Raises:
        ArtifactError: missing, truncated, no ONNX model, or one that contradicts itself.
    """
    model = Model(*read_model(artifact))
    if model.survey.twice:
        raise errors.ArtifactError(
            f"{model.file.named}: {model.survey.twice!r} is made twice",
            remedy=EXPORT_AGAIN,
        )
    if not model.survey.is_sorted:
        model.nodes  # noqa: B018 - it finds out whether they can be sorted
    _check_outputs(model)
    _check_functions(model)
    _check_data(model)
    return model


def _check_outputs(model: Model) -> None:
    for name in model.outputs:
        if name not in model.survey.known:
            raise errors.ArtifactError(
                f"{model.file.named}: no node makes the output {name!r}", remedy=EXPORT_AGAIN
            )


def _check_functions(model: Model) -> None:
    """See that no function calls itself, which ends the process in some versions of the runtime."""
    calls = {key: map(function_key, nodes_within(f.node)) for key, f in model.functions.items()}
    try:
        TopologicalSorter(calls).prepare()
    except CycleError as error:
        (_, name, _), *_ = error.args[1]
        raise errors.ArtifactError(
            f"{model.file.named}: the function {name!r} is recursive: it calls itself",
            remedy=EXPORT_AGAIN,
        ) from error


def function_key(node: NodeProto) -> FunctionKey:
    """What a node calls, if there is a function of that name."""
    return plain_domain(node.domain), node.op_type, getattr(node, "overload", "")


def _check_data(model: Model) -> None:
    """See that the data files are there that some node needs."""
    folder = model.file.folder
    gone = {path for path, stamp in model.file.stamps.items() if stamp is None}
    if not gone or folder is None:
        return
    needed = {name for node in model.graph.node for name in reads(node)}
    for tensor in model.graph.initializer:
        if tensor.name in needed and is_outside(tensor) and folder / location(tensor) in gone:
            model.file.data(tensor)  # raises what is wrong with it


def plain_domain(domain: str) -> str:
    """The standard domain is empty."""
    return "" if domain == "ai.onnx" else domain


def _constant(node: NodeProto) -> TensorProto | None:
    """The value of a Constant node; None for one that has to stay a node, a sparse one say."""
    if len(node.attribute) != 1 or len(node.output) != 1 or not node.output[0]:
        return None
    attribute = node.attribute[0]
    if attribute.name == "value":
        tensor = TensorProto()
        tensor.CopyFrom(attribute.t)
        tensor.name = node.output[0]
        return tensor
    if attribute.name not in _SCALARS:
        return None
    dtype, field = _SCALARS[attribute.name]
    value = getattr(attribute, field)
    array: NDArray[Any] = np.array(
        list(value) if field.endswith("s") and field != "s" else value, dtype=dtype
    )
    if dtype == "float32" and np.isnan(array).any():
        return None  # Python's floats do not keep all of its bits
    from onnx import numpy_helper

    return numpy_helper.from_array(array, node.output[0])


def _unused(name: str, known: set[str]) -> str:
    return name if name not in known else _unused(f"{name}/constant", known)


def _renamed(tensor: TensorProto, name: str) -> TensorProto:
    made = TensorProto()
    made.CopyFrom(tensor)
    made.name = name
    return made


def reads(node: NodeProto) -> list[str]:
    """Every value a node needs: its inputs, then what its subgraphs take from around it."""
    named = [name for name in node.input if name]
    return list(dict.fromkeys([*named, *sorted(captured_names(subgraphs(node)))]))


def in_order(nodes: Sequence[NodeProto], known: set[str], named: str) -> list[NodeProto]:
    """Nodes such that each comes after what it reads, otherwise as they stand in the file.

    Raises:
        ArtifactError: one reads what nothing makes, or itself.
    """
    missing = [{name for name in reads(node) if name not in known} for node in nodes]
    readers: dict[str, list[int]] = defaultdict(list)
    for i, names in enumerate(missing):
        for name in names:
            readers[name].append(i)
    ready = [i for i, names in enumerate(missing) if not names]
    ordered: list[NodeProto] = []
    while ready:
        node = nodes[heapq.heappop(ready)]
        ordered.append(node)
        for name in node.output:
            for reader in readers.pop(name, ()):
                missing[reader].discard(name)
                if not missing[reader]:
                    heapq.heappush(ready, reader)
    if len(ordered) < len(nodes):
        raise errors.ArtifactError(
            f"{named}: no node makes {_first_missing(nodes, missing)}", remedy=EXPORT_AGAIN
        )
    return ordered


def _first_missing(nodes: Sequence[NodeProto], missing: list[set[str]]) -> str:
    """What to blame: a value that nothing makes, or else a cycle."""
    made = {name for node in nodes for name in node.output}
    for node, names in zip(nodes, missing, strict=True):
        for name in sorted(names - made):
            return f"{name!r}, which {node.op_type} {node.name!r} reads"
    return f"{min(set().union(*missing))!r} without a cycle"


def _needed(nodes: Sequence[NodeProto], outputs: Iterable[str]) -> list[NodeProto]:
    """The nodes that one of these outputs depends on."""
    wanted = set(outputs)
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if not wanted.isdisjoint(node.output):
            kept.append(node)
            wanted.update(reads(node))
    return kept[::-1]
