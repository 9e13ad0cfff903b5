"""What this plugin offers: `ds-sdk profile` and `ds-sdk advise`."""

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
            name="advise",
            main="deepseek_observe.cli.advise_command:main",
            summary="settings of NCCL and Gloo, binding, fabric and hardware, with reasons",
            requires=("numpy",),
        ),
    ]
