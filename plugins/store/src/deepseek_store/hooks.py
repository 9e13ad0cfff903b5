"""What this plugin offers: a tier in memory, and the command `ds-sdk store`."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CommandSpec, HostContext, TierSpec, hookimpl, hooks

conformance = "deepseek_store.conformance"


@hookimpl(hooks.ds_register_storage_tiers)
def ds_register_storage_tiers(ctx: HostContext) -> Iterable[TierSpec]:
    """Offer a tier in the memory of the process."""
    return [
        TierSpec(
            name="memory",
            temperature="hot",
            schemes=("memory",),
            factory="deepseek_store.memory_tier:open_memory",
            summary="a named place in the memory of this process; gone when it ends",
            durable=False,
            capabilities=("ranged-get", "failure-domains"),
        )
    ]


@hookimpl(hooks.ds_register_commands)
def ds_register_commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer `ds-sdk store`."""
    return [
        CommandSpec(
            name="store",
            main="deepseek_store.cli.main:main",
            summary="put, get, move, check and explain what a store holds",
        )
    ]
