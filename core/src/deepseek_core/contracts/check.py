"""Checks that a plugin adds to `ds-sdk doctor`."""

from __future__ import annotations

from typing import Literal

import attrs

from deepseek_core.contracts.units import as_names, check_locator, check_name


@attrs.frozen(kw_only=True)
class CheckSpec:
    """A row of `doctor`; `run` names a function `() -> Iterable[Finding]`.

    One that has a parameter `settings` gets the plugin's own settings, without secrets.
    """

    name: str = attrs.field(validator=check_name)
    run: str = attrs.field(validator=check_locator)
    summary: str = ""
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)


@attrs.frozen(kw_only=True)
class Finding:
    """What a check found; `remedy` can be pasted into a shell."""

    status: Literal["ok", "warn", "fail"]
    text: str
    remedy: str | None = None
