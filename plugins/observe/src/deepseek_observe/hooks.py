"""What this plugin offers: `ds-sdk profile`, `tune`."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_core import CommandSpec, HostContext, hookimpl, hooks

conformance = "deepseek_observe.conformance"


@hookimpl(hooks.ds_register_commands)
def ds_register_commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer the commands."""
    return [
        CommandSpec(
            name="profile",
            main="deepseek_observe.cli.profile_command:main",
            summary="where the time of a run went, from traces of PyTorch or Nsight Systems",
            requires=("numpy", "msgspec"),
        ),
        CommandSpec(
            name="tune",
            main="deepseek_observe.cli.tune_command:main",
            summary="find the batch, rate and accumulation of a training",
            requires=("numpy", "torch"),
        ),
    ]
