"""Executors: other places where a plan can run (a cluster)."""

from __future__ import annotations

import attrs

from deepseek_core.contracts.units import as_names, check_locator, check_name


@attrs.frozen(kw_only=True)
class ExecutorSpec:
    """Runs a plan; `factory` names a callable `(plan, **settings)`."""

    name: str = attrs.field(validator=check_name)
    factory: str = attrs.field(validator=check_locator)
    probe: str | None = attrs.field(default=None, validator=check_locator)
    summary: str = ""
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0
