"""ONNX Runtime's exceptions as errors of the SDK; none of them leaves this plugin."""

from __future__ import annotations

import re
from typing import Final

from deepseek_core import DeepSeekError, errors

FAULTS: Final = (RuntimeError, ValueError, TypeError, MemoryError, AttributeError)
"""What a session raises by itself; its own exceptions are looked up by their module."""

_MOST: Final = 1200
_PREFIX: Final = r"\[ONNXRuntimeError\] : \d+ : (\w+) : "
_PLACE: Final = r"/\S+\.(?:cc|h|cpp|cu):\d+ (?:[\w:<>~&*, ]+\([^()]*(?:\([^()]*\)[^()]*)*\) )?"
_MEMORY: Final = (
    r"(?i)bad.alloc|failed to allocate|out of memory|CUDA failure 2\b|STATUS_ALLOC_FAILED"
)
# cudaError of a device that is gone, whose memory failed, or whose context a kernel spoilt.
_LOST: Final = r"CUDA failure (?:46|101|214|700|702|710|714|715|716|717|718|719|720|999)\b"
_UNKNOWN: Final = (
    r"No Op registered|not a registered function|under development|Unsupported model IR version"
    r"|fallback to CPU EP has been explicitly disabled|Exception during initialization"
    r"|Could not find an implementation"
)


def is_vendors(error: BaseException) -> bool:
    """Whether ONNX Runtime raised it: its exceptions share no base class, but a module."""
    return type(error).__module__.startswith("onnxruntime") or isinstance(error, FAULTS)


def short_text(error: BaseException) -> str:
    """ONNX Runtime's own words on one line."""
    text = re.sub(_PREFIX, r"\1: ", str(error), count=1)
    text = " ".join(re.sub(_PLACE, "", text).split()) or type(error).__name__
    return text if len(text) <= _MOST else f"{text[: _MOST // 2]} ... {text[-_MOST // 2 :]}"


def load_error(error: BaseException, stage: str, device_id: str) -> DeepSeekError:
    """Why a stage did not load."""
    text = short_text(error)
    common = _common(text, f"stage {stage!r} on {device_id}", device_id)
    if common is not None:
        return common
    if re.search(_UNKNOWN, text) or type(error).__name__ == "NotImplemented":
        return errors.Unsupported(
            f"{device_id} does not run all of stage {stage!r}: {text}",
            device_id=device_id,
            remedy="use another device for it, or a newer onnxruntime-gpu",
        )
    return errors.ArtifactError(
        f"{device_id} can't load stage {stage!r}: {text}",
        remedy="check that the file is complete, or export it again",
    )


def run_error(error: BaseException, stage: str, device_id: str) -> DeepSeekError:
    """Why a run failed: memory, the device, or the operator's own words."""
    text = short_text(error)
    return _common(text, f"stage {stage!r} on {device_id}", device_id) or errors.InputRejected(
        f"stage {stage!r} failed on {device_id}: {text}",
        device_id=device_id,
        remedy="check the values of its inputs",
    )


def _common(text: str, what: str, device_id: str) -> DeepSeekError | None:
    if re.search(_MEMORY, text):
        return errors.OutOfMemory(
            f"{what} ran out of memory: {text}", device_id=device_id, remedy="use a smaller batch"
        )
    if re.search(_LOST, text):
        return errors.DeviceLost(
            f"{what}: the GPU failed: {text}",
            device_id=device_id,
            remedy="nvidia-smi (does it still show the GPU? else reboot), then a new process",
        )
    return None
