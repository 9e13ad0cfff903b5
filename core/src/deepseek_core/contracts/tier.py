"""Storage tiers: what a plugin offers to a store."""

from __future__ import annotations

from typing import Literal

import attrs

from deepseek_core.contracts.units import as_names, check_locator, check_name


@attrs.frozen(kw_only=True)
class TierSpec:
    """A place for shards, opened by `factory` from a URL of one of its schemes."""

    name: str = attrs.field(validator=check_name)
    temperature: Literal["hot", "warm", "cold"]
    schemes: tuple[str, ...] = attrs.field(converter=as_names)
    factory: str = attrs.field(validator=check_locator)
    probe: str | None = attrs.field(default=None, validator=check_locator)
    summary: str = ""
    durable: bool = True
    capabilities: frozenset[str] = attrs.field(default=frozenset(), converter=frozenset)
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0
