"""Compressors: what a plugin makes smaller, and at what price."""

from __future__ import annotations

from typing import Literal

import attrs

from deepseek_core.contracts.units import as_names, check_locator, check_name


@attrs.frozen(kw_only=True)
class CompressorSpec:
    """A step of a compression recipe for models, gradients or data."""

    name: str = attrs.field(validator=check_name)
    target: Literal["model", "gradient", "data"]
    factory: str = attrs.field(validator=check_locator)
    probe: str | None = attrs.field(default=None, validator=check_locator)
    summary: str = ""
    lossy: bool = True
    needs_calibration: bool = False
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0
