"""What this plugin offers: a tier in memory, the command `ds-sdk store`, a row of `doctor`."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CheckSpec, CommandSpec, HostContext, TierSpec, hookimpl, hooks

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


@hookimpl(hooks.ds_register_checks)
def ds_register_checks(ctx: HostContext) -> Iterable[CheckSpec]:
    """Offer a look at what computes parities."""
    return [
        CheckSpec(
            name="parities",
            run="deepseek_store.codes.choose_kernel:check_kernel",
            summary="which library computes the parities of a store",
            requires=("numpy",),
        )
    ]
