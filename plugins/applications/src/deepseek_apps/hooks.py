"""What this plugin offers: `ds-sdk app`."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CommandSpec, HostContext, hookimpl, hooks


@hookimpl(hooks.ds_register_commands)
def ds_register_commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer `ds-sdk app`."""
    return [
        CommandSpec(
            name="app",
            main="deepseek_apps.cli.main:main",
            summary="applications, from your data to files that run: prepare, train, evaluate, export",
        )
    ]
