"""What the builders of small models share: nodes and values in few words, and a list of cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import onnx
from corpus_kit.case import Case, HandedOver, MakeInputs
from onnx import TensorProto, helper, numpy_helper

node: Final = helper.make_node
FLOAT: Final = TensorProto.FLOAT
INT64: Final = TensorProto.INT64
STRING: Final = TensorProto.STRING
BOOL: Final = TensorProto.BOOL
ML: Final = "ai.onnx.ml"
MICROSOFT: Final = "com.microsoft"

Shape = Iterable[int | str | None] | None


def tensor(name: str, shape: Shape, element: int = FLOAT) -> onnx.ValueInfoProto:
    """An input or output; without a shape its rank is unknown."""
    return helper.make_tensor_value_info(name, element, None if shape is None else list(shape))


def tensor_type(element: int = FLOAT, shape: Shape = None) -> onnx.TypeProto:
    """The type of a tensor, for sequences, maps and optionals of it."""
    return helper.make_tensor_type_proto(element, shape)


def sequence(name: str, element: int = FLOAT) -> onnx.ValueInfoProto:
    """An input or output that is a sequence of tensors."""
    return helper.make_value_info(name, helper.make_sequence_type_proto(tensor_type(element)))


def optional(name: str, of: onnx.TypeProto) -> onnx.ValueInfoProto:
    """An input or output that may be absent."""
    return helper.make_value_info(name, helper.make_optional_type_proto(of))


def weights(seed: int, *shape: int) -> np.ndarray:
    """Normal numbers that are the same each time."""
    return floats(np.random.default_rng(seed), *shape)


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Normal numbers as float32."""
    return rng.standard_normal(shape).astype(np.float32)


def as_model(
    nodes: Iterable[onnx.NodeProto],
    inputs: Iterable[onnx.ValueInfoProto],
    outputs: Iterable[onnx.ValueInfoProto],
    constants: Mapping[str, Any] | None = None,
    *,
    opset: int = 18,
    ir_version: int = 9,
    domains: Mapping[str, int] | None = None,
    **more: Any,
) -> onnx.ModelProto:
    """A model; `domains` are imported beside the standard one."""
    initializers = [as_constant(name, value) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "small", list(inputs), list(outputs), initializers)
    imported = {"": opset, **(domains or {})}
    opsets = [helper.make_opsetid(name, version) for name, version in imported.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, **more)


def as_constant(name: str, value: Any) -> onnx.TensorProto:
    """An initializer: an array, or a tensor of a dtype that numpy lacks."""
    if isinstance(value, onnx.TensorProto):
        value.name = name
        return value
    return numpy_helper.from_array(np.asarray(value), name)


def subgraph(
    name: str,
    nodes: Iterable[onnx.NodeProto],
    inputs: Iterable[onnx.ValueInfoProto] = (),
    outputs: Iterable[onnx.ValueInfoProto] = (),
    constants: Mapping[str, Any] | None = None,
) -> onnx.GraphProto:
    """The body of an If, Loop or Scan."""
    initializers = [as_constant(name, value) for name, value in (constants or {}).items()]
    return helper.make_graph(list(nodes), name, list(inputs), list(outputs), initializers)


def save(model: onnx.ModelProto, folder: Path) -> Path:
    """One file with everything in it."""
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def rows(name: str = "x", *sizes: int) -> MakeInputs:
    """Inputs of one tensor of floats: items first, then `sizes`."""
    return lambda rng, items: {name: floats(rng, items, *sizes)}


@attrs.frozen(kw_only=True)
class Built:
    """What a builder gives; the rest of a case is its name, its docstring and its kind.

    `write` puts the model into a folder where one file does not do.
    """

    model: onnx.ModelProto
    inputs: MakeInputs
    axes: Mapping[str, int] = attrs.field(factory=dict)
    random: str = ""
    handed_over: HandedOver = "path"
    write: Callable[[onnx.ModelProto, Path], Path] = save


class Cases:
    """The small models of one kind, in the order of their builders."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._builders: list[tuple[str, str, Callable[[], Built]]] = []

    def add(self, build: Callable[[], Built]) -> Callable[[], Built]:
        """Take a builder as a case: its name and its docstring say what it is."""
        self._builders.append((build.__name__, build.__doc__ or "", build))
        return build

    def put(self, name: str, note: str, built: Built) -> None:
        """Take what was built, for those that come in a row."""
        self._builders.append((name, note, lambda: built))

    def all(self) -> Iterator[Case]:
        """Build them."""
        for name, note, build in self._builders:
            yield self._case(name, note, build())

    def _case(self, name: str, note: str, built: Built) -> Case:
        return Case(
            name=name,
            kind=self.kind,
            note=note,
            place=lambda folder: built.write(built.model, folder),
            make_inputs=built.inputs,
            axes=built.axes,
            random=built.random,
            handed_over=built.handed_over,
        )
