"""The providers that run a stage, in order, and where ONNX Runtime finds its tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

TENSORRT: Final = "TensorrtExecutionProvider"
_CUDA: Final = "CUDAExecutionProvider"
NAMES: Final[Mapping[str, str]] = {"cuda": _CUDA, "tensorrt": TENSORRT}
"""What a user calls a provider, and what ONNX Runtime does."""

Listed = tuple[str, Mapping[str, Any]]


def _tuple(values: Iterable[Listed]) -> tuple[Listed, ...]:
    return tuple(values)


@frozen(kw_only=True)
class Provider:
    """Execution providers with their options: each node goes to the first that takes it.

    `device` and `ordinal` are those of their memory.
    """

    listed: tuple[Listed, ...] = field(converter=_tuple)
    device: str
    ordinal: int = 0

    @property
    def names(self) -> list[str]:
        """Their names for ONNX Runtime, in order."""
        return [name for name, _options in self.listed]

    @property
    def is_built(self) -> bool:
        """Whether the first run of a shape builds an engine, which may take minutes."""
        return TENSORRT in self.names


def gpu_provider(wanted: Sequence[str], engines: Path, ordinal: int, stream: int) -> Provider:
    """Providers on our stream, so that our events order their work; `wanted` as in `NAMES`.

    TensorRT keeps its engines in the folder `engines`.
    """
    common = {"device_id": str(ordinal), "user_compute_stream": str(stream)}
    options = {
        # The default doubles the arena each time, which leaves nothing to other stages.
        "cuda": common | {"arena_extend_strategy": "kSameAsRequested"},
        "tensorrt": common
        | {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(engines),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(engines),
        },
    }
    return Provider(
        listed=[(NAMES[name], options[name]) for name in wanted], device="cuda", ordinal=ordinal
    )
