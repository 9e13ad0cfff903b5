"""ONNX Runtime's exceptions as errors of the SDK; none of them leaves this plugin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from deepseek_core import DeepSeekError, Stage, TensorSpec, as_array, errors
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

# EPFail: a vendor's provider claimed the model, and did not build it.
_REFUSALS: Final = (_state.NotImplemented, _state.EPFail, NotImplementedError)

_MOST_CHARACTERS: Final = 1200
# Where in its own sources it was raised: file, line, signature.
_PLACE: Final = r"/\S+\.(?:cc|h|cpp):\d+ (?:[\w:<>~&*, ]+\([^()]*(?:\([^()]*\)[^()]*)*\) )?"
_PREFIX: Final = r"\[ONNXRuntimeError\] : \d+ : (\w+) : "
_MEMORY: Final = r"(?i)bad.alloc|bad allocation|failed to allocate|out of memory"
_UNKNOWN: Final = (
    r"No Op registered|not a registered function|under development|Unsupported model IR version"
    r"|Exception during initialization"
)


def short_text(error: BaseException) -> str:
    """`NOT_IMPLEMENTED: Could not find ...`: ONNX Runtime's own words on one line."""
    text = re.sub(_PREFIX, r"\1: ", str(error), count=1)
    text = " ".join(re.sub(_PLACE, "", text).split()) or type(error).__name__
    if len(text) <= _MOST_CHARACTERS:
        return text
    half = _MOST_CHARACTERS // 2  # what a limit is stands at the end, what it is of at the start
    return f"{text[:half]} ... {text[-half:]}"


def load_error(error: BaseException, stage: str, device_id: str) -> DeepSeekError:
    """Why a stage did not load."""
    text = short_text(error)
    if _is_memory(error, text):
        return errors.OutOfMemory(
            f"stage {stage!r} does not fit into memory on {device_id}: {text}",
            device_id=device_id,
            remedy="use a smaller model or gallery, or free memory",
        )
    is_unknown = re.search(_UNKNOWN, text) is not None
    if is_unknown or isinstance(error, _REFUSALS):
        return errors.Unsupported(
            f"{device_id} does not run stage {stage!r}: {text}",
            device_id=device_id,
            remedy="use another device, another opset, or a newer onnxruntime",
        )
    return errors.ArtifactError(
        f"{device_id} can't load stage {stage!r}: {text}",
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
    return mismatch(stage, inputs) or errors.InputRejected(
        f"stage {stage.name!r} failed on {device_id}: {text}",
        device_id=device_id,
        remedy="check the values of its inputs",
    )


def provider_error(
    error: BaseException, stage: Stage, inputs: Mapping[str, Any], device_id: str
) -> DeepSeekError:
    """Why a run on a vendor's provider failed: as others, but its words blame no input."""
    found = run_error(error, stage, inputs, device_id)
    if not isinstance(found, errors.InputRejected):
        return found
    return errors.Unsupported(found.message, device_id=device_id, remedy="use another device")


def mismatch(stage: Stage, inputs: Mapping[str, Any]) -> errors.TensorMismatch | None:
    """The first input that does not fit its spec, None if all do."""
    if not isinstance(inputs, Mapping):
        return errors.TensorMismatch(
            f"inputs are a mapping of arrays by name; given a {type(inputs).__name__}",
            remedy=f"its inputs are {', '.join(map(str, stage.inputs)) or 'none'}",
        )
    for spec in stage.inputs:
        try:
            _check(spec, inputs)
        except errors.TensorMismatch as found:
            return found
    unknown = sorted(map(str, set(inputs) - {spec.name for spec in stage.inputs}))
    if not unknown:
        return None
    return errors.TensorMismatch(
        f"stage {stage.name!r} has no input {unknown[0]!r}",
        remedy=f"its inputs are {', '.join(map(str, stage.inputs)) or 'none'}",
    )


def _check(spec: TensorSpec, inputs: Mapping[str, Any]) -> None:
    if spec.name in inputs:
        as_array(spec, inputs[spec.name])
    elif not spec.optional:
        raise errors.TensorMismatch(
            f"tensor {spec.name!r} is missing; given: {', '.join(map(str, inputs)) or 'nothing'}",
            remedy=f"pass {spec}",
        )


def _is_memory(error: BaseException, text: str) -> bool:
    return isinstance(error, MemoryError) or re.search(_MEMORY, text) is not None
