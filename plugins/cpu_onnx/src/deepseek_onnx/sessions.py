"""ONNX Runtime sessions: one quiet provider, a thread budget, constants from memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import Stage, errors
from deepseek_onnx.attributes import subgraphs
from deepseek_onnx.data_files import Watch, tensors
from deepseek_onnx.domain import DOMAIN
from deepseek_onnx.host import saturates_u8s8
from deepseek_onnx.model_file import MIN_IR_VERSION, model_bytes, parse_model
from deepseek_onnx.ort import MAPS_DATA, ort, state
from deepseek_onnx.parts import Mapped, OnnxArtifact, Part
from deepseek_onnx.protos import ModelProto, TensorProto
from deepseek_onnx.settings import Settings
from deepseek_onnx.values import exotic
from deepseek_onnx.vendor_errors import FAULTS, short_text

Array = NDArray[Any]
# Smaller constants go into the model itself: shape inference reads their values (a `k`).
_INLINE_BYTES: Final = 64 * 1024
_EXACT: Final = frozenset({f"{DOMAIN}::MatchL2", f"{DOMAIN}::MatchHamming"})
_LEVELS: Final = {
    "disabled": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED", "layout": "ORT_ENABLE_LAYOUT", "all": "ORT_ENABLE_ALL",
}  # fmt: skip


@attrs.frozen
class Threads:
    """Intra-op threads of one run, and whether idle ones spin (only worth it in realtime)."""

    count: int
    spinning: bool = False


class Engine(Protocol):
    """Makes sessions that run on one provider of ONNX Runtime and on no other."""

    def session(
        self, model: str | bytes, options: ort.SessionOptions, threads: Threads
    ) -> ort.InferenceSession:
        """Load a model, a path or its bytes.

        Raises:
            Exception: one of `vendor_errors.FAULTS`; NotImplementedError if the provider would
                leave a part of the model to another one.
        """


class Cpu:
    """ONNX Runtime's own provider, which every build has."""

    def session(
        self, model: str | bytes, options: ort.SessionOptions, threads: Threads
    ) -> ort.InferenceSession:
        """Load a model; the threads stand in the options."""
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


CPU: Final = Cpu()


@attrs.frozen
class Opened:
    """A session and what it was made of.

    It may still read the memory that is in `keep` and the files that `watch` looks after; `fed`
    is passed with each run.
    """

    session: ort.InferenceSession
    source: object
    keep: tuple[ort.OrtValue, ...] = ()
    fed: Mapping[str, Array] = attrs.field(factory=dict)
    watch: Watch | None = None


def open_stage(stage: Stage, threads: Threads, settings: Settings, engine: Engine = CPU) -> Opened:
    """A session for a stage, its constants as initializers, so that what depends on them folds.

    Constants of a model with subgraphs are fed with each run instead: folding what an If reads
    ends the process in some versions of ONNX Runtime.

    Raises:
        ArtifactError: the file is gone or changed, or a constant has no input to fix.
        Exception: one of `vendor_errors.FAULTS` for what ONNX Runtime refuses.
    """
    options = _options(threads, settings, dynamic=_is_dynamic(stage))
    if saturates_u8s8() and _EXACT & stage.operators:
        # Matching must be exact on every device; other models compute what they compute elsewhere.
        options.add_session_config_entry("session.x64quantprecision", "1")
    file = stage.artifact.part.model.file if isinstance(stage.artifact, OnnxArtifact) else None
    if file is not None:
        file.check_unchanged()
    model, folder, watch = _model_of(stage, folds=bool(stage.constants))
    injected, fed = dict[str, ort.OrtValue](), dict[str, Array]()
    if stage.constants:
        assert isinstance(model, bytes)
        proto = parse_model(model, "the stage")
        if _has_subgraph(proto):
            fed = dict(stage.constants)
        else:
            model, injected = with_constants(proto, stage.constants)
    if injected:
        options.add_external_initializers(list(injected), list(injected.values()))
    if folder is not None:
        _look_into(folder, options)
    session = engine.session(model, options, threads)
    if file is not None:
        file.check_unchanged()
    _check_ends(session)
    made_of = (stage.artifact, stage.constants)
    return Opened(session, made_of, tuple(injected.values()), fed, watch)


def _model_of(stage: Stage, *, folds: bool) -> tuple[str | bytes, Path | None, Watch | None]:
    """A path or bytes, the folder of their data files if the session can't tell, what it maps."""
    artifact = stage.artifact
    original = artifact.original
    if original is not None and not folds:
        if original.path is None:
            return original.read(), None, None
        return str(original.path), None, _watch_of(stage)
    if isinstance(artifact, OnnxArtifact):
        mapped = as_bytes(artifact.part)
        return mapped.content, mapped.folder, mapped.watch
    folder = None if artifact.path is None else artifact.path.absolute().parent
    return artifact.read(), folder, None


def as_bytes(part: Part) -> Mapped:
    """A part for a session, its large data left in files where the runtime finds it there.

    Raises:
        ArtifactError: data is missing, or protobuf's limit of 2 GiB is passed.
    """
    return part.mapped() if MAPS_DATA else Mapped(part.inlined(), None, None)


def _watch_of(stage: Stage) -> Watch | None:
    """Over the data files of a model that is opened by its path."""
    if not isinstance(stage.artifact, OnnxArtifact):
        return None
    model = stage.artifact.part.model
    return model.file.watch(tensors(model.proto), itself=False)


def _check_ends(session: ort.InferenceSession) -> None:
    """See that all can be passed in one call: tensors that numpy lacks go another way."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    types = {value.name: value.type for value in (*inputs, *outputs)}
    if not any(map(exotic, types.values())):
        return
    strings = {value.name for value in inputs if value.type == "tensor(string)"}
    for name, text in types.items():
        if name in strings or not text.startswith("tensor("):
            raise NotImplementedError(
                f"ONNX Runtime can't pass {name}: {text} beside tensors of a dtype that numpy lacks"
                " (cast them inside of the model)"
            )


def trial(content: bytes, settings: Settings, engine: Engine = CPU) -> None:
    """Raise whatever ONNX Runtime says when it loads this model.

    Raises:
        Exception: one of `vendor_errors.FAULTS`.
    """
    threads = Threads(1)
    options = _options(threads, settings, dynamic=True)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    engine.session(content, options, threads)


def output_types(
    content: bytes, folder: Path | None
) -> dict[str, tuple[str, list[int | str | None]]]:
    """Output name -> ONNX Runtime's type text and shape, by its own inference.

    Raises:
        Exception: one of `vendor_errors.FAULTS`.
    """
    options = _options(Threads(1), Settings(graph_optimization="disabled"), dynamic=True)
    if folder is not None:
        _look_into(folder, options)
    session = CPU.session(content, options, Threads(1))
    return {out.name: (out.type, list(out.shape or ())) for out in session.get_outputs()}


def _look_into(folder: Path, options: ort.SessionOptions) -> None:
    """Tell where the data files lie of a model that is given as bytes."""
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder)
    )


def check_libraries(settings: Settings) -> None:
    """See that the libraries of custom operators load.

    Raises:
        ConfigError: one does not.
    """
    for library in settings.custom_operators:
        try:
            ort.SessionOptions().register_custom_ops_library(library)
        except FAULTS as error:
            raise errors.ConfigError(
                f"custom_operators: {short_text(error)}",
                remedy="give paths of shared libraries with operators for ONNX Runtime",
            ) from error


@cache
def operator_names() -> frozenset[tuple[str, str]]:
    """Domain and name of every operator that ONNX Runtime knows."""
    found = ((s.domain, s.name) for s in state.get_all_operator_schema())
    return frozenset(("" if domain == "ai.onnx" else domain, name) for domain, name in found)


def _options(threads: Threads, settings: Settings, *, dynamic: bool) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads.count
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # A memory pattern is planned for one shape; with changing shapes it only costs.
    options.enable_mem_pattern = not dynamic
    level = _LEVELS[settings.graph_optimization]
    options.graph_optimization_level = getattr(
        ort.GraphOptimizationLevel, level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    )
    spinning = "1" if threads.spinning else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    for library in settings.custom_operators:
        options.register_custom_ops_library(library)
    return options


def _is_dynamic(stage: Stage) -> bool:
    return any(
        spec.shape is None or any(isinstance(dim, str) for dim in spec.shape)
        for spec in stage.inputs
    )


def _has_subgraph(model: ModelProto) -> bool:
    bodies = [model.graph, *model.functions]
    return any(subgraphs(node) for body in bodies for node in body.node)


def with_constants(
    model: ModelProto, constants: Mapping[str, Array]
) -> tuple[bytes, dict[str, ort.OrtValue]]:
    """The model with inputs turned into initializers: small ones inside, large ones beside it.

    Large arrays are handed to the session from memory, so that a gallery of any size neither is
    copied into a protobuf nor meets its limit of 2 GiB. They must not change afterward.

    Raises:
        ArtifactError: no model, or one without an input of that name.
    """
    inputs = {value.name: value for value in model.graph.input}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    injected: dict[str, ort.OrtValue] = {}
    for name, array in constants.items():
        if name not in inputs:
            raise errors.ArtifactError(f"the model has no input {name!r} to hold a constant")
        if name in stored:  # a default that the constant replaces
            model.graph.initializer.remove(stored[name])
        if array.nbytes <= _INLINE_BYTES or not _is_of_numbers(array.dtype):
            model.graph.initializer.append(_inline(array, name))
        else:
            element = inputs[name].type.tensor_type.elem_type
            model.graph.initializer.append(_reference(array, name, element))
            injected[name] = ort.OrtValue.ortvalue_from_numpy(array)
        model.graph.input.remove(inputs[name])
    model.ir_version = max(model.ir_version, MIN_IR_VERSION)
    return model_bytes(model), injected


def _is_of_numbers(dtype: np.dtype[Any]) -> bool:
    """Whether a session reads such arrays where they are: no strings, none that numpy lacks."""
    return dtype.isbuiltin == 1 and dtype.kind in "biufc"


def _inline(array: Array, name: str) -> TensorProto:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(array, order="C"), name)


def _reference(array: Array, name: str, element: int) -> TensorProto:
    tensor = TensorProto(name=name, data_type=element, data_location=TensorProto.EXTERNAL)
    tensor.dims.extend(array.shape)
    tensor.external_data.add(key="location", value="from memory")
    return tensor
