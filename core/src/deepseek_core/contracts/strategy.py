"""Parallel strategies: how a plugin splits a model over ranks."""

from __future__ import annotations

import attrs

from deepseek_core.contracts.units import as_names, check_locator, check_name


@attrs.frozen(kw_only=True)
class StrategySpec:
    """A way to train over a mesh with these axes (`dp`, `tp`, `pp`)."""

    name: str = attrs.field(validator=check_name)
    axes: tuple[str, ...] = attrs.field(converter=as_names)
    factory: str = attrs.field(validator=check_locator)
    probe: str | None = attrs.field(default=None, validator=check_locator)
    summary: str = ""
    elastic: bool = False
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0
