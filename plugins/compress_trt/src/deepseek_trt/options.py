"""What an engine is built for, and within which limits."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import attrs

from deepseek_core import errors
from deepseek_trt.profile import Profile
from deepseek_trt.target import as_targets


def _profiles(values: Iterable[Profile]) -> tuple[Profile, ...]:
    return tuple(sorted(values, key=lambda p: (p.input, p.of)))


@attrs.frozen(kw_only=True)
class BuildOptions:
    """Targets, profiles and flags, which the engine depends on, and limits, which it does not.

    Networks are strongly typed: an engine computes in the types that the model has, so there is no
    flag for FP16, BF16 or INT8. `tf32` lets FP32 products drop mantissa bits on Ampere and newer;
    `workspace_nbytes` bounds scratch memory on the GPU, 0 leaves it to the library;
    `time_limit_s` ends a build that takes longer.
    """

    targets: tuple[str, ...] = attrs.field(converter=as_targets)
    profiles: tuple[Profile, ...] = attrs.field(default=(), converter=_profiles)
    tf32: bool = True
    sparse_weights: bool = False
    workspace_nbytes: int = 0
    time_limit_s: float = 1800.0

    def __attrs_post_init__(self) -> None:
        for name in ("tf32", "sparse_weights"):
            if type(getattr(self, name)) is not bool:
                raise errors.ConfigError(f"{name} must be True or False", remedy=f"{name}=True")
        nbytes = self.workspace_nbytes
        if type(nbytes) is not int or nbytes < 0:
            raise errors.ConfigError(
                f"workspace_nbytes must be a whole number of 0 or more, got {nbytes!r}",
                remedy="--workspace 1G",
            )
        limit = self.time_limit_s
        if not isinstance(limit, int | float) or not 0 < limit < math.inf:
            raise errors.ConfigError(
                f"time_limit_s must be a finite number above 0, got {limit!r}",
                remedy="--time-limit 1800",
            )

    def identity(self) -> dict[str, Any]:
        """What another engine would come of, as plain values: all but the limit of time."""
        return {
            "targets": list(self.targets),
            "profiles": [profile.to_json() for profile in self.profiles],
            "tf32": self.tf32,
            "sparse_weights": self.sparse_weights,
            "workspace_nbytes": self.workspace_nbytes,
        }

    def to_json(self) -> dict[str, Any]:
        """All of it, for a child process."""
        return {**self.identity(), "time_limit_s": self.time_limit_s}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> BuildOptions:
        """The options that `to_json` wrote."""
        profiles = [Profile.from_json(each) for each in given["profiles"]]
        return cls(**{**given, "profiles": profiles})
