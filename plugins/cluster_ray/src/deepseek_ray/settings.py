"""What a user may set of this plugin: `[plugin.cluster_ray]`, DEEPSEEK_CLUSTER_RAY_..."""

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


def _seconds(default_s: float, told: str) -> Any:
    return attrs.field(default=default_s, validator=_positive, metadata={"help": told})


@attrs.frozen(kw_only=True)
class Settings:
    """Where the cluster is, and how long its parts may be silent."""

    address: str = attrs.field(
        default="",
        metadata={
            "help": "HOST:PORT of the head; without it RAY_ADDRESS counts, else a cluster of this "
            "machine alone is started"
        },
    )
    connect_s: float = _seconds(10.0, "seconds in which the head must answer")
    open_s: float = _seconds(60.0, "seconds in which a node must list or open its devices")
    silent_s: float = _seconds(20.0, "seconds after which a device that does not answer is lost")

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Settings:
        """The settings of a session, checked where they came in."""
        return cls(**dict[str, Any](values))
