"""What a report says, in the terms that both vendors share."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

import attrs

from deepseek_core import errors

_NUMBER: Final = re.compile(r"\d[\d,]*(?:\.\d+)?")


@attrs.frozen(kw_only=True)
class Facts:
    """Figures of one report; None is what it does not say.

    `used` and `available` count cells by the vendor's own names. `fitted` says that the tool had
    placed and routed the design, so that they are no estimates of a compiler.
    """

    source: str
    tool: str
    fitted: bool = False
    clock_mhz: float | None = None
    target_mhz: float | None = None
    interval: float | None = None
    """Cycles between two starts of the kernel's slowest loop, or of the kernel."""
    used: Mapping[str, float] = attrs.field(factory=dict)
    available: Mapping[str, float] = attrs.field(factory=dict)

    @property
    def says_nothing(self) -> bool:
        """Whether not one figure was found."""
        return self.clock_mhz is None and self.interval is None and not self.used


def number(text: object) -> float | None:
    """`1,299 / 1,518 ( 86 % )` -> 1299; None where there is none, as for `undef`."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text) if math.isfinite(text) and text >= 0 else None
    found = _NUMBER.search(text) if isinstance(text, str) else None
    return float(found[0].replace(",", "")) if found else None


def damaged(source: str, why: str) -> errors.ArtifactError:
    """The error for a report that can't be read."""
    return errors.ArtifactError(
        f"{source} is no report that can be read: {why}",
        remedy="name a file as the tool wrote it, or run the tool again",
    )
