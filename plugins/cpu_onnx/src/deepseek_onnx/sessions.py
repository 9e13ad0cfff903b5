"""ONNX Runtime sessions: one quiet CPU provider, a thread budget, constants from memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from deepseek_core import Artifact, Stage, errors
from deepseek_onnx.host import saturates_u8s8
from deepseek_onnx.ort import ort
from deepseek_onnx.protobuf import model_bytes, parse_model
from deepseek_onnx.values import EXOTIC, to_ort

Array = NDArray[Any]

# Smaller constants go into the model itself: shape inference reads their values (a `k`).
_INLINE_BYTES: Final = 64 * 1024
# The first version in which an initializer need not be an input, hence is a constant.
MIN_IR_VERSION: Final = 4


@attrs.frozen
class Threads:
    """Intra-op threads of one run, and whether idle ones spin (only worth it in realtime)."""

    count: int
    spinning: bool = False


@attrs.frozen
class Opened:
    """A session and the memory that it may still read."""

    session: ort.InferenceSession
    keep: tuple[ort.OrtValue, ...] = ()


def open_stage(stage: Stage, threads: Threads) -> Opened:
    """A session for a stage, its constants as initializers, so that what depends on them folds.

    Raises:
        ArtifactError: the file is gone, or a constant has no input to fix.
        Exception: one of `faults.FAULTS` for what ONNX Runtime refuses.
    """
    options = _options(threads, dynamic=_is_dynamic(stage))
    content, injected = stage.artifact.read(), dict[str, ort.OrtValue]()
    if stage.constants:
        content, injected = with_constants(content, stage.constants)
    if injected:
        options.add_external_initializers(list(injected), list(injected.values()))
    _look_beside(stage.artifact, options)
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return Opened(session, tuple(injected.values()))


def trial(content: bytes) -> None:
    """Raise whatever ONNX Runtime says when it loads this model.

    Raises:
        Exception: one of `faults.FAULTS`.
    """
    options = _options(Threads(1), dynamic=True)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def value_types(content: bytes) -> dict[str, tuple[str, list[int | str | None]]]:
    """Output name -> ONNX Runtime's type text and shape, by its own inference.

    Raises:
        Exception: one of `faults.FAULTS`.
    """
    options = _options(Threads(1), dynamic=True)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return {out.name: (out.type, list(out.shape or ())) for out in session.get_outputs()}


def _options(threads: Threads, *, dynamic: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads.count
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # A memory pattern is planned for one shape; with changing shapes it only costs.
    options.enable_mem_pattern = not dynamic
    spinning = "1" if threads.spinning else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if saturates_u8s8():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def _is_dynamic(stage: Stage) -> bool:
    return any(isinstance(dim, str) for spec in stage.inputs for dim in spec.shape)


def _look_beside(artifact: Artifact, options: ort.SessionOptions) -> None:
    # The model is read as bytes; ONNX Runtime then needs to be told where its data files lie.
    if artifact.path is not None:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path",
            str(artifact.path.resolve().parent),
        )


def with_constants(
    content: bytes, constants: Mapping[str, Array]
) -> tuple[bytes, dict[str, ort.OrtValue]]:
    """The model with inputs turned into initializers: small ones inside, large ones beside it.

    Large arrays are handed to the session from memory, so that a gallery of any size neither is
    copied into a protobuf nor meets its limit of 2 GiB. They must not change afterward.

    Raises:
        ArtifactError: no model, or one without an input of that name.
    """
    model = parse_model(content, "the stage")
    inputs = {value.name: value for value in model.graph.input}
    injected: dict[str, ort.OrtValue] = {}
    for name, array in constants.items():
        if name not in inputs:
            raise errors.ArtifactError(f"the model has no input {name!r} to hold a constant")
        element = inputs[name].type.tensor_type.elem_type
        if array.nbytes <= _INLINE_BYTES or array.dtype.hasobject:
            model.graph.initializer.append(_inline(array, name))
        else:
            model.graph.initializer.append(_reference(array, name, element))
            injected[name] = to_ort(array, _exotic_type(element))
        model.graph.input.remove(inputs[name])
    model.ir_version = max(model.ir_version, MIN_IR_VERSION)
    return model_bytes(model), injected


def _inline(array: Array, name: str) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array, order="C"), name)


def _reference(array: Array, name: str, element: int) -> TensorProto:
    tensor = TensorProto(name=name, data_type=element, data_location=TensorProto.EXTERNAL)
    tensor.dims.extend(array.shape)
    tensor.external_data.add(key="location", value="from memory")
    return tensor


def _exotic_type(element: int) -> str:
    """ONNX Runtime's text of a type that numpy lacks, empty for the others."""
    return {row.element: text for text, row in EXOTIC.items()}.get(element, "")
