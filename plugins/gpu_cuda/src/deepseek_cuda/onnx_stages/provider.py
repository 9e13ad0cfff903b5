"""The provider that runs a stage, and where ONNX Runtime finds its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


@frozen(kw_only=True)
class Provider:
    """Name and options of an execution provider; `device` and `ordinal` are those of its memory."""

    name: str
    device: str
    ordinal: int = 0
    options: Mapping[str, Any] = field(factory=dict)


def cuda_provider(ordinal: int, stream: int) -> Provider:
    """ONNX Runtime's CUDA provider on our stream, so that our events order its work."""
    return Provider(
        name="CUDAExecutionProvider",
        device="cuda",
        ordinal=ordinal,
        options={
            "device_id": str(ordinal),
            "user_compute_stream": str(stream),
            # The default doubles the arena each time, which leaves nothing to other stages.
            "arena_extend_strategy": "kSameAsRequested",
        },
    )
