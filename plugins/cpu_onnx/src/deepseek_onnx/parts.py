"""A part of a model as a model of its own: its nodes and only what they need."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import attrs

from deepseek_core import Artifact
from deepseek_onnx.attributes import nodes_within
from deepseek_onnx.data_files import Watch, is_outside, tensors_of_node
from deepseek_onnx.dtypes import ELEMENT
from deepseek_onnx.model import FunctionKey, Model, function_key, reads
from deepseek_onnx.model_file import MIN_IR_VERSION, model_bytes
from deepseek_onnx.protos import (
    FunctionProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    ValueInfoProto,
)
from deepseek_onnx.shapes import Value, type_of


@attrs.frozen(eq=False)
class Mapped:
    """A model for a session: its bytes, from where its data files are named, which are mapped."""

    content: bytes
    folder: Path | None
    watch: Watch | None


@attrs.frozen(eq=False)
class Part:
    """Nodes of a model in order, the values that they take from outside, and those they hand on."""

    model: Model
    nodes: Sequence[NodeProto]
    taken: tuple[str, ...]
    made: tuple[str, ...]

    def digest(self) -> str:
        """sha256 (hex) of the structure; large data counts by its place and length."""
        from hashlib import sha256  # where nothing is chosen nobody asks

        return sha256(model_bytes(self._proto)).hexdigest()

    def inlined(self) -> bytes:
        """The part as one model with all of its data.

        Raises:
            ArtifactError: data is missing, or it passes protobuf's limit of 2 GiB.
        """
        made = ModelProto()
        made.CopyFrom(self._proto)
        for tensor in made.graph.initializer:
            self.model.file.fill(tensor)
        return model_bytes(made)

    def mapped(self) -> Mapped:
        """The part with its large initializers as references into the files of the model.

        Raises:
            ArtifactError: data is missing, or it passes protobuf's limit of 2 GiB.
        """
        made = ModelProto()
        made.CopyFrom(self._proto)
        folder = self.model.file.put_below_one_folder(made.graph.initializer)
        watch = self.model.file.watch(self._proto.graph.initializer, itself=True)
        return Mapped(model_bytes(made), folder, None if folder is None else watch)

    @cached_property
    def _proto(self) -> ModelProto:
        model = self.model
        used = {name for node in self.nodes for name in reads(node)}.union(self.taken)
        used -= {name for node in self.nodes for name in node.output}
        inner = [n for node in self.nodes for n in node.output if n and n not in self.made]
        from onnx import helper

        graph = helper.make_graph(
            [filled(node, model) for node in self.nodes],
            "stage",
            [declare(model.value(name)) for name in self.taken],
            [declare(model.value(name)) for name in self.made],
            [tensor for name, tensor in model.initializers.items() if name in used],
            value_info=[declare(v) for v in map(model.value, inner) if v.can_cross],
            sparse_initializer=[
                _filled_sparse(tensor, model)
                for tensor in model.graph.sparse_initializer
                if tensor.values.name in used
            ],
        )
        # Without the file's own names of producer and graph: equal parts are equal bytes.
        return helper.make_model(
            graph,
            producer_name="deepseek-onnx",
            opset_imports=model.proto.opset_import,
            functions=needed_functions(self.nodes, model),
            ir_version=max(model.proto.ir_version, MIN_IR_VERSION),
        )


@attrs.frozen(kw_only=True)
class OnnxArtifact(Artifact):
    """The artifact of a stage, which knows where the data of its model lies.

    Of a stage that `is_whole`, devices were not asked operator by operator.
    """

    part: Part = attrs.field(repr=False, eq=False)
    is_whole: bool = False

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for the same part of the same model in memory, as long as that is there."""
        nodes = () if self.is_whole else tuple(map(id, self.part.nodes))
        return id(self.part.model), nodes, self.part.made

    @classmethod
    def of(cls, part: Part) -> OnnxArtifact:
        """A group of nodes."""
        return cls(format="onnx", fingerprint=part.digest, make=part.inlined, part=part)

    @classmethod
    def of_whole(cls, part: Part) -> OnnxArtifact:
        """All nodes that the outputs need; with the outputs of the file it stands for the file."""
        return cls(
            format="onnx",
            fingerprint=lambda: _digest_of_whole(part),
            make=part.inlined,
            original=None if part.model.wanted else part.model.file.artifact,
            part=part,
            is_whole=True,
        )


def _digest_of_whole(part: Part) -> str:
    """sha256 of the file's structure, and of how large its data files are."""
    from hashlib import sha256

    file = part.model.file
    digest = sha256(model_bytes(part.model.proto))
    for path, stamp in file.stamps.items():
        if path != file.artifact.path:
            digest.update(f"{path.name}:{stamp and stamp[0]}".encode())
    digest.update("|".join(part.made).encode())
    return digest.hexdigest()


def declare(value: Value) -> ValueInfoProto:
    """A value as a graph declares it; only its name where nothing else is known."""
    from onnx import helper

    if value.dtype is not None:
        return helper.make_tensor_value_info(value.name, ELEMENT[value.dtype], value.shape)
    held = type_of(value.container)
    return ValueInfoProto(name=value.name, type=held)


def needed_functions(nodes: Iterable[NodeProto], model: Model) -> list[FunctionProto]:
    """The model-local functions that nodes call, those that these call after them."""
    found: dict[FunctionKey, FunctionProto] = {}
    waiting = list(nodes_within(nodes)) if model.functions else []
    while waiting:
        node = waiting.pop(0)
        function, key = model.function(node), function_key(node)
        if function is not None and key not in found:
            found[key] = _filled_body(function, model)
            waiting.extend(nodes_within(function.node))
    return list(found.values())


def filled(node: NodeProto, model: Model) -> NodeProto:
    """A node whose own tensors, and those of its subgraphs, have their data inside."""
    if not any(map(is_outside, tensors_of_node(node))):
        return node
    made = NodeProto()
    made.CopyFrom(node)
    for tensor in tensors_of_node(made):
        model.file.fill(tensor)
    return made


def _filled_body(function: FunctionProto, model: Model) -> FunctionProto:
    nodes = [filled(node, model) for node in function.node]
    if all(map(operator.is_, nodes, function.node)):
        return function
    made = FunctionProto()
    made.CopyFrom(function)
    del made.node[:]
    made.node.extend(nodes)
    return made


def _filled_sparse(tensor: SparseTensorProto, model: Model) -> SparseTensorProto:
    made = SparseTensorProto()
    made.CopyFrom(tensor)
    model.file.fill(made.values)
    model.file.fill(made.indices)
    return made
