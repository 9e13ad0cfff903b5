"""What this plugin offers: nothing that opens anything, so it stays light."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CommandSpec, HostContext, hookimpl, hooks


@hookimpl(hooks.ds_register_commands)
def ds_register_commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer no command: its jobs are applications."""
    return []
