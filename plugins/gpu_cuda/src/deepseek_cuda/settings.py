"""What a user may set of this plugin: `[plugin.gpu_cuda]`, DEEPSEEK_GPU_CUDA_..., Session(...)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import attrs

from deepseek_core import errors

PROVIDERS: Final = ("tensorrt", "cuda")
_LIST: Final = (
    "list tensorrt and cuda in the order in which they are asked: "
    "gpu_cuda.onnx_providers=tensorrt,cuda"
)


def _positive(_settings: object, field: attrs.Attribute[Any], value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < float(value) < math.inf:  # type: ignore[arg-type]
        raise errors.ConfigError(
            f"{field.name} is {value!r}", remedy="give a number of seconds above 0"
        )


def _words(values: object) -> tuple[str, ...]:
    if isinstance(values, str):
        values = values.split(",")
    if not isinstance(values, list | tuple) or not all(isinstance(word, str) for word in values):
        raise errors.ConfigError(f"onnx_providers is {values!r}", remedy=_LIST)
    return tuple(word.strip() for word in values if word.strip())


def _listed(_settings: object, _field: object, words: tuple[str, ...]) -> None:
    if not words or len(set(words)) < len(words) or not set(words) <= set(PROVIDERS):
        raise errors.ConfigError(f"onnx_providers is {','.join(words)!r}", remedy=_LIST)


@attrs.frozen(kw_only=True)
class Settings:
    """What runs on a GPU, and for how long."""

    run_limit_s: float = attrs.field(
        default=120.0,
        validator=_positive,
        metadata={"help": "seconds after which a batch on a GPU counts as hanging"},
    )
    onnx_providers: tuple[str, ...] = attrs.field(
        default=("cuda",),
        converter=_words,
        validator=_listed,
        metadata={
            "help": "ONNX Runtime's providers, in order: cuda, tensorrt, or tensorrt,cuda, where "
            "the second takes what the first does not"
        },
    )

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Settings:
        """Make settings from what the host gives (names checked); the rest has its default.

        Raises:
            ConfigError: a value that does not fit.
        """
        return cls(**dict[str, Any](values))
