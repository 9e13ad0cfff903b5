"""Dtype and shape of every value of a model, the batch named `batch`.

Inference by symbols loses the batch in a Reshape to [-1, ...]. So it is also run with the batch
set to two primes: a dimension that equals both is the batch, one that never moves is fixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs
import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from deepseek_core import TensorSpec, errors
from deepseek_onnx.dtypes import DTYPE, dtype_of_ort
from deepseek_onnx.faults import FAULTS
from deepseek_onnx.model import Model
from deepseek_onnx.protobuf import model_bytes
from deepseek_onnx.sessions import value_types

BATCH: Final = "batch"
_PRIMES: Final = (97, 89)
# Larger initializers can't be shapes or axes; inference gets their type only.
_SMALL_ELEMENTS: Final = 1024

Dim = int | str | None


@attrs.frozen
class Value:
    """A value inside a model; `shape` is None where its rank is not known."""

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None
    is_tensor: bool = True

    @property
    def can_cross(self) -> bool:
        """Whether it can pass from one stage to another."""
        return self.is_tensor and self.shape is not None

    @property
    def spec(self) -> TensorSpec:
        """As a TensorSpec, which can express neither an unknown rank nor a sequence."""
        return TensorSpec(name=self.name, dtype=self.dtype, shape=self.shape or ())


@attrs.frozen
class _Found:
    """What one inference says of a value."""

    dtype: str | None
    shape: tuple[Dim, ...] | None
    is_tensor: bool = True


def infer_values(model: Model) -> dict[str, Value]:
    """Every value by name: inputs, initializers, and what the nodes make.

    Raises:
        ArtifactError: a dtype can't be found, or is one that the SDK has no name for.
    """
    skeleton = _skeleton(model)
    has_batch = _name_dims(skeleton)
    found = _infer(skeleton)
    if has_batch:
        found = _merge(found, [_infer(_with_batch(skeleton, size)) for size in _PRIMES])
    wanted = [name for node in model.nodes for name in node.output if name]
    found |= _ask_runtime(skeleton, [n for n in wanted if n not in found or not found[n].dtype])
    found |= {name: _of_tensor(tensor) for name, tensor in model.initializers.items()}
    names = dict.fromkeys([*(v.name for v in skeleton.graph.input), *model.initializers, *wanted])
    for sparse in model.graph.sparse_initializer:
        found[sparse.values.name] = _Found(DTYPE.get(sparse.values.data_type), tuple(sparse.dims))
        names[sparse.values.name] = None
    return {name: _value(name, found.get(name)) for name in names}


def _value(name: str, found: _Found | None) -> Value:
    if found is None or found.dtype is None:
        raise errors.ArtifactError(
            f"the dtype of {name!r} can't be found, or the SDK has no name for it",
            remedy="run onnx.shape_inference on the model and save it, or use another dtype",
        )
    if found.shape is None:
        return Value(name, found.dtype, None, found.is_tensor)
    dims = [f"{name}_{i}" if dim is None else dim for i, dim in enumerate(found.shape)]
    return Value(name, found.dtype, tuple(dims), found.is_tensor)


def _skeleton(model: Model) -> ModelProto:
    """The model without the data of its large initializers, which become inputs."""
    small = [t for t in model.initializers.values() if _count(t) <= _SMALL_ELEMENTS]
    large = [t for t in model.initializers.values() if _count(t) > _SMALL_ELEMENTS]
    graph = helper.make_graph(
        model.nodes,
        "skeleton",
        [*model.graph.input, *(_declare(tensor) for tensor in large)],
        model.graph.output,
        small,
        value_info=model.graph.value_info,
        sparse_initializer=model.graph.sparse_initializer,
    )
    return helper.make_model(
        graph,
        opset_imports=model.proto.opset_import,
        functions=model.proto.functions,
        ir_version=max(model.proto.ir_version, 8),
    )


def _count(tensor: TensorProto) -> int:
    count = 1
    for dim in tensor.dims:
        count *= dim
    return count


def _declare(tensor: TensorProto) -> ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))


def _of_tensor(tensor: TensorProto) -> _Found:
    return _Found(DTYPE.get(tensor.data_type), tuple(tensor.dims))


def _name_dims(skeleton: ModelProto) -> bool:
    """Name every free dimension of the inputs, the batch `batch`; True if there is one."""
    for value in skeleton.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value") and not dim.dim_param:
                dim.dim_param = f"{value.name}_{axis}"
    leading = [dims[0].dim_param for dims in _dims(skeleton.graph.input) if len(dims)]
    batch = BATCH if BATCH in leading else next((name for name in leading if name), None)
    if batch is None:
        return False
    for dims in _dims(_declared(skeleton)):
        for dim in dims:
            if dim.dim_param == batch:
                dim.dim_param = BATCH
            elif dim.dim_param == BATCH:
                # Another symbol of the file has the name that the batch now gets.
                dim.dim_param = f"{BATCH}_of_file"
    return True


def _declared(model: ModelProto) -> list[ValueInfoProto]:
    return [*model.graph.input, *model.graph.output, *model.graph.value_info]


def _dims(values: Iterable[ValueInfoProto]) -> list[Sequence[Any]]:
    return [value.type.tensor_type.shape.dim for value in values]


def _with_batch(skeleton: ModelProto, size: int) -> ModelProto:
    """A copy with a number for the batch and nothing declared but the inputs."""
    fixed = ModelProto()
    fixed.CopyFrom(skeleton)
    del fixed.graph.value_info[:]
    for output in fixed.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    for dims in _dims(fixed.graph.input):
        for dim in dims:
            if dim.dim_param == BATCH:
                dim.dim_value = size
    return fixed


def _infer(model: ModelProto) -> dict[str, _Found]:
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, *FAULTS):
        # Nothing is inferred of a model that contradicts itself; what it declares still counts.
        inferred = model
    return {value.name: _of_type(value.type) for value in _declared(inferred)}


def _of_type(proto: Any) -> _Found:
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        return _Found(DTYPE.get(proto.tensor_type.elem_type), _shape(proto.tensor_type))
    if kind in ("sequence_type", "optional_type"):
        inner = _of_type(getattr(proto, kind).elem_type)
        return _Found(inner.dtype, None, is_tensor=False)
    return _Found(None, None, is_tensor=kind is None)


def _shape(tensor_type: Any) -> tuple[Dim, ...] | None:
    if not tensor_type.HasField("shape"):
        return None
    return tuple(
        dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None
        for dim in tensor_type.shape.dim
    )


def _merge(symbolic: dict[str, _Found], fixed: Sequence[dict[str, _Found]]) -> dict[str, _Found]:
    first, second = fixed
    merged: dict[str, _Found] = {}
    for name, found in symbolic.items():
        shapes = (first.get(name, found).shape, second.get(name, found).shape)
        merged[name] = attrs.evolve(found, shape=_merge_shape(found.shape, *shapes))
    return merged


def _merge_shape(
    shape: tuple[Dim, ...] | None, first: tuple[Dim, ...] | None, second: tuple[Dim, ...] | None
) -> tuple[Dim, ...] | None:
    if first is None or second is None or len(first) != len(second):
        return shape
    if shape is None or len(shape) != len(first):
        shape = (None,) * len(first)
    return tuple(_merge_dim(*dims) for dims in zip(shape, first, second, strict=True))


def _merge_dim(dim: Dim, first: Dim, second: Dim) -> Dim:
    if isinstance(dim, int):
        return dim
    if (first, second) == _PRIMES:
        return BATCH
    if isinstance(first, int) and first == second:
        return first
    # It moves with the batch but is not it: a symbol that inference gave may not say otherwise.
    return None if dim == BATCH and isinstance(first, int) else dim


def _ask_runtime(skeleton: ModelProto, names: list[str]) -> dict[str, _Found]:
    """What ONNX Runtime infers of values that onnx does not know (contrib operators)."""
    if not names:
        return {}
    asked = ModelProto()
    asked.CopyFrom(skeleton)
    del asked.graph.output[:]
    asked.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    try:
        types = value_types(model_bytes(asked))
    except FAULTS:
        return {}
    return {name: _of_ort(text, shape) for name, (text, shape) in types.items()}


def _of_ort(text: str, shape: list[int | str | None]) -> _Found:
    inner = text[text.find("tensor(") :].rstrip(")") + ")"
    is_tensor = text.startswith("tensor(")
    return _Found(dtype_of_ort(inner), tuple(shape) if is_tensor else None, is_tensor)
