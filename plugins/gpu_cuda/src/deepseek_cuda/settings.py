"""What a user may set of this plugin: `[plugin.gpu_cuda]`, DEEPSEEK_GPU_CUDA_..., Session(...)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from deepseek_core import errors


def _positive(_settings: object, field: attrs.Attribute[Any], value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < float(value) < math.inf:  # type: ignore[arg-type]
        raise errors.ConfigError(
            f"{field.name} is {value!r}", remedy="give a number of seconds above 0"
        )


@attrs.frozen(kw_only=True)
class Settings:
    """Limits of a GPU's work."""

    run_limit_s: float = attrs.field(
        default=120.0,
        validator=_positive,
        metadata={"help": "seconds after which a batch on a GPU counts as hanging"},
    )

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Settings:
        """The settings that a device was opened with; what is left out has its default.

        Raises:
            ConfigError: one that does not exist, or a value that does not fit.
        """
        known = {field.name for field in attrs.fields(cls)}
        for name in values:
            if name not in known:
                raise errors.ConfigError(
                    f"deepseek-cuda has no setting {name!r}",
                    remedy=f"its settings: {', '.join(sorted(known))}",
                )
        return cls(**dict[str, Any](values))
