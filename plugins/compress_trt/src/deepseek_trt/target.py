"""Compute capabilities: the GPUs that an engine is for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from deepseek_core import errors

TARGETS: Final = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""Those that TensorRT-RTX builds for; full TensorRT builds for the GPU of this machine."""
_FORM: Final = re.compile(r"\d{1,2}\.\d")
_LIKE: Final = "write it as 8.6; nvidia-smi --query-gpu=compute_cap --format=csv shows yours"


def as_targets(values: str | Iterable[str]) -> tuple[str, ...]:
    """Compute capabilities, each once, in ascending order: `"8.9,8.6"` or `["8.9", "8.6"]`.

    Raises:
        ConfigError: one is not a compute capability, or there is none.
    """
    given = values.split(",") if isinstance(values, str) else list(values)
    for each in given:
        if not isinstance(each, str) or not _FORM.fullmatch(each):
            raise errors.ConfigError(f"{each!r} is not a compute capability", remedy=_LIKE)
    if not given:
        raise errors.ConfigError("an engine needs a compute capability", remedy=_LIKE)
    return tuple(sorted(set(given), key=number))


def number(target: str) -> tuple[int, int]:
    """`"8.6"` -> (8, 6), which sorts as they came out."""
    major, _, minor = target.partition(".")
    return int(major), int(minor)
