"""ONNX Runtime's exceptions as errors of the SDK; none of them leaves this plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from deepseek_core import DeepSeekError, Stage, TensorSpec, errors
from deepseek_onnx.ort import state as _state

_NAMES: Final = (
    "EngineError", "EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf",
    "ModelLoadCanceled", "ModelLoaded", "ModelRequiresCompilation", "NoModel", "NoSuchFile",
    "NotFound", "NotImplemented", "RuntimeException",
)  # fmt: skip
_VENDOR = tuple(getattr(_state, name) for name in _NAMES if hasattr(_state, name))

FAULTS: Final[tuple[type[BaseException], ...]] = (
    *_VENDOR, RuntimeError, ValueError, TypeError, MemoryError, AttributeError,
)  # fmt: skip
"""All that a session raises by itself; its exceptions share no base class."""

_PREFIX: Final = re.compile(r"\[ONNXRuntimeError\] : \d+ : (\w+) : ")
_MEMORY: Final = re.compile(r"bad.alloc|bad allocation|failed to allocate|out of memory", re.I)
_UNKNOWN: Final = re.compile(
    r"No Op registered|not a registered function|under development|Unsupported model IR version"
    r"|Exception during initialization"
)


def short_text(error: BaseException) -> str:
    """`NOT_IMPLEMENTED: Could not find ...`: ONNX Runtime's own words on one line."""
    text = _PREFIX.sub(lambda match: f"{match[1]}: ", str(error), count=1)
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def load_error(error: BaseException, stage: str, device_id: str) -> DeepSeekError:
    """Why a stage did not load."""
    text = short_text(error)
    if _is_memory(error, text):
        return errors.OutOfMemory(
            f"stage {stage!r} does not fit into memory on {device_id}: {text}",
            device_id=device_id,
            remedy="use a smaller model or gallery, or free memory",
        )
    if isinstance(error, _state.NotImplemented) or _UNKNOWN.search(text):
        return errors.Unsupported(
            f"{device_id} does not run stage {stage!r}: {text}",
            device_id=device_id,
            remedy="use another device, another opset, or a newer onnxruntime",
        )
    return errors.ArtifactError(
        f"stage {stage!r} holds no ONNX model that loads: {text}",
        remedy="check that the file is complete, or export it again",
    )


def run_error(
    error: BaseException, stage: Stage, inputs: Mapping[str, Any], device_id: str
) -> DeepSeekError:
    """Why a run failed: an input that does not fit, memory, or the operator's own words."""
    text = short_text(error)
    if _is_memory(error, text):
        return errors.OutOfMemory(
            f"stage {stage.name!r} ran out of memory on {device_id}: {text}",
            device_id=device_id,
            remedy="use a smaller batch",
        )
    return mismatch(stage, inputs) or errors.DeviceError(
        f"stage {stage.name!r} failed on {device_id}: {text}",
        device_id=device_id,
        remedy="check the values of its inputs",
    )


def mismatch(stage: Stage, inputs: Mapping[str, Any]) -> errors.TensorMismatch | None:
    """The first input that does not fit its spec, None if all do."""
    symbols: dict[str, int] = {}
    for spec in stage.inputs:
        try:
            _check(spec, inputs, symbols)
        except errors.TensorMismatch as found:
            return found
    unknown = sorted(set(inputs) - {spec.name for spec in stage.inputs})
    if not unknown:
        return None
    return errors.TensorMismatch(
        f"stage {stage.name!r} has no input {unknown[0]!r}",
        remedy=f"its inputs are {', '.join(map(str, stage.inputs)) or 'none'}",
    )


def _check(spec: TensorSpec, inputs: Mapping[str, Any], symbols: dict[str, int]) -> None:
    if spec.name not in inputs:
        raise errors.TensorMismatch(
            f"tensor {spec.name!r} is missing; given: {', '.join(inputs) or 'nothing'}",
            remedy=f"pass {spec}",
        )
    value = inputs[spec.name]
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        raise errors.TensorMismatch(
            f"tensor {spec.name!r}: expected {spec.dtype} {list(spec.shape)}, "
            f"given a {type(value).__name__}"
        )
    spec.bind(value, symbols)


def _is_memory(error: BaseException, text: str) -> bool:
    return isinstance(error, MemoryError) or _MEMORY.search(text) is not None
