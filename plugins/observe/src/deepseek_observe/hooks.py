"""What this plugin offers: `ds-sdk profile`, `advise`, `tune`, `monitor`; it listens, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from deepseek_core import CommandSpec, HostContext, hookimpl, hooks

if TYPE_CHECKING:
    from deepseek_core import events

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
        CommandSpec(
            name="tune",
            main="deepseek_observe.cli.tune_command:main",
            summary="find the batch, rate and accumulation of a training",
            requires=("numpy", "torch"),
        ),
        CommandSpec(
            name="monitor",
            main="deepseek_observe.cli.monitor_command:main",
            summary="devices and engines as they are now: a page, metrics for Prometheus, alerts",
            requires=(
                "numpy", "msgspec", "psutil", "prometheus_client", "starlette", "uvicorn", "pynvml"
            ),
        ),
    ]  # fmt: skip


@hookimpl(hooks.ds_on_event)
def ds_on_event(event: events.Event) -> None:
    """Hand the event to the monitors of this user, if there are any."""
    from deepseek_observe.monitor.wire.sending import SENDER

    SENDER.send(event)
