"""Float models as they are read: checked, upgraded, folded, so that every tensor has one name.

ONNX Runtime's own basic optimization does the folding (constants, Identity, BatchNorm, bias), so
the float graph that is calibrated is the one that it would run.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

import attrs
import onnx
from onnx import ModelProto, TensorProto

from deepseek_compress.onnx_graph.data_files import read_data_in
from deepseek_compress.onnx_graph.folding import fold_casts, fold_normalization, own_weights
from deepseek_compress.onnx_graph.graph import GraphIndex, inner_graphs, opset
from deepseek_core import Artifact, errors

MIN_OPSET: Final = 13
"""DequantizeLinear has an axis from here on: scales per channel need it."""
_QUANTIZED: Final = frozenset({
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger",
    "MatMulNBits", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QGemm",
    "QAttention", "QOrderedMatMul", "GatherBlockQuantized",
})  # fmt: skip
_READ_AGAIN: Final = "check that the file is complete, or export the model again"


@attrs.frozen(kw_only=True, eq=False)
class FloatModel:
    """A float model that is ready for quantization; `notes` say what was changed on the way."""

    proto: ModelProto = attrs.field(repr=False)
    notes: tuple[str, ...] = ()

    def copy(self) -> ModelProto:
        """A model of its own, to change."""
        copied = ModelProto()
        copied.CopyFrom(self.proto)
        return copied

    def float_tensors(self) -> tuple[str, ...]:
        """Names of all tensors of float32 that are computed or given, in the graph's order."""
        graph = self.proto.graph
        types = {
            value.name: value.type.tensor_type.elem_type
            for value in (*graph.input, *graph.value_info, *graph.output)
        }
        made = [name for node in graph.node for name in node.output]
        names = [*(value.name for value in graph.input), *made]
        return tuple(name for name in names if types.get(name) == TensorProto.FLOAT)


def read_float_model(source: Path | str | bytes | ModelProto | Artifact) -> FloatModel:
    """Read a model, refuse what is quantized already, and fold what runtimes fold.

    Raises:
        ArtifactError: the file is missing or damaged, or ONNX Runtime does not open it.
        InputError: the model is quantized already, or is too old to be upgraded.
    """
    proto = _parsed(source)
    _refuse_quantized(proto)
    notes = [*_bare_inputs(proto)]
    proto, upgraded = _upgraded(proto)
    proto = _folded_by_runtime(proto)
    if fold_casts(proto):
        notes.append("constants of other types became float32")
    fold_normalization(proto)
    own_weights(proto)
    _tidy(proto)
    return FloatModel(proto=_typed(proto), notes=(*notes, *upgraded))


def _parsed(source: Path | str | bytes | ModelProto | Artifact) -> ModelProto:
    if isinstance(source, ModelProto):
        copied = ModelProto()
        copied.CopyFrom(source)
        return copied
    file = source if isinstance(source, Artifact) else _artifact(source)
    try:
        found = onnx.load_from_string(file.read())
    except errors.DeepSeekError:
        raise
    except Exception as error:
        where = "the model" if file.path is None else str(file.path)
        raise errors.ArtifactError(
            f"{where} is not an ONNX: {error}", remedy=_READ_AGAIN
        ) from error
    read_data_in(found, file)
    if not found.graph.node:
        raise errors.ArtifactError("the model has no nodes", remedy=_READ_AGAIN)
    return found


def _artifact(source: Path | str | bytes) -> Artifact:
    if isinstance(source, bytes):
        return Artifact.from_bytes(source, format="onnx")
    return Artifact.from_path(source, format="onnx")


def _refuse_quantized(proto: ModelProto) -> None:
    for node in _all_nodes(proto.graph):
        if node.op_type in _QUANTIZED or node.op_type.startswith("QLinear"):
            raise errors.InputError(
                f"the model is quantized already: node {node.name or node.output[0]!r} is a "
                f"{node.op_type}",
                remedy="give the float model that it was made from, or use the file as it is",
            )


def _all_nodes(graph: Any) -> Any:
    for node in graph.node:
        yield node
        for inner in inner_graphs(node):
            yield from _all_nodes(inner)


def _bare_inputs(proto: ModelProto) -> list[str]:
    """Remove inputs that only repeat initializers, which then are constants."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    kept = [value for value in proto.graph.input if value.name not in constants]
    removed = len(proto.graph.input) - len(kept)
    if not removed:
        return []
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    return [f"{removed} inputs that had default values became constants"]


def _upgraded(proto: ModelProto) -> tuple[ModelProto, list[str]]:
    was = opset(proto)
    proto.ir_version = max(proto.ir_version, 8)
    if was >= MIN_OPSET or was == 0:
        return proto, []
    from onnx import version_converter

    try:
        found = version_converter.convert_version(proto, MIN_OPSET)
    except Exception as error:
        reason = (str(error).splitlines() or ["no reason given"])[-1]
        raise errors.InputError(
            f"opset {was} can't be raised to {MIN_OPSET}, which scales per channel need: {reason}",
            remedy=f"export the model again with opset {MIN_OPSET} or later",
        ) from error
    return found, [f"opset {was} was raised to {MIN_OPSET}: scales per channel need it"]


def _folded_by_runtime(proto: ModelProto) -> ModelProto:
    """What ONNX Runtime's basic level makes of it: standard operators only."""
    from deepseek_compress.onnx_graph.ort import ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory(prefix="deepseek-fold-") as folder:
        path = Path(folder, "folded.onnx")
        options.optimized_model_filepath = str(path)
        try:
            ort.InferenceSession(
                proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise errors.ArtifactError(
                f"ONNX Runtime does not open the model: {error}", remedy=_READ_AGAIN
            ) from error
        return onnx.load(path)


def _tidy(proto: ModelProto) -> None:
    """Unique names of nodes; no operator sets or constants that nothing uses."""
    used = {node.domain for node in _all_nodes(proto.graph)} | {""}
    used |= {node.domain for function in proto.functions for node in function.node}
    kept = [entry for entry in proto.opset_import if entry.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
    seen: set[str] = set()
    for number, node in enumerate(proto.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{number}_{node.output[0]}"
        seen.add(node.name)
    read = GraphIndex.of(proto).readers.keys() | {v.name for v in proto.graph.output}
    constants = [tensor for tensor in proto.graph.initializer if tensor.name in read]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(constants)


def _typed(proto: ModelProto) -> ModelProto:
    """With the types of its tensors, as far as they can be inferred."""
    try:
        return onnx.shape_inference.infer_shapes(proto)
    except Exception:  # noqa: BLE001  a foreign operator: the types that the file has must do
        return proto
