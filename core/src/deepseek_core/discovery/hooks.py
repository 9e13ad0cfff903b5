"""The hook specs: everything that a plugin can answer, on one page.

Each registration hook takes one `HostContext` and returns records; none opens, compiles
or connects anything. Implement a hook by passing the spec itself, so that a type checker
knows both signatures:

    @hookimpl(hooks.ds_register_devices)
    def devices(ctx: HostContext) -> Iterable[DeviceSpec]:
        return [DeviceSpec(name="npu", kind="npu", factory="acme.npu:open", probe="acme.npu:probe")]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

import pluggy

from deepseek_core.contracts.command import CommandSpec
from deepseek_core.contracts.compressor import CompressorSpec
from deepseek_core.contracts.context import HostContext
from deepseek_core.contracts.device import DeviceSpec
from deepseek_core.contracts.event import Event
from deepseek_core.contracts.executor import ExecutorSpec
from deepseek_core.contracts.frontend import FrontendSpec
from deepseek_core.contracts.strategy import StrategySpec
from deepseek_core.contracts.tier import TierSpec

P = ParamSpec("P")
R = TypeVar("R")

PROJECT = "deepseek_sdk"
_spec = pluggy.HookspecMarker(PROJECT)
_impl = pluggy.HookimplMarker(PROJECT)


def hookimpl(
    spec: Callable[P, R], *, tryfirst: bool = False, trylast: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function as the implementation of a hook spec of this module."""

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        return _impl(function, specname=spec.__name__, tryfirst=tryfirst, trylast=trylast)

    return mark


@_spec
def ds_register_devices(ctx: HostContext) -> Iterable[DeviceSpec]:
    """Offer devices that run tasks.

    Example: `return [DeviceSpec(name="npu", kind="npu", factory="acme.npu:open", probe=...)]`
    """
    raise NotImplementedError


@_spec
def ds_register_storage_tiers(ctx: HostContext) -> Iterable[TierSpec]:
    """Offer tiers that keep shards.

    Example: `return [TierSpec(name="tape", temperature="cold", schemes=["tape"], factory=...)]`
    """
    raise NotImplementedError


@_spec
def ds_register_parallel_strategies(ctx: HostContext) -> Iterable[StrategySpec]:
    """Offer ways to split a model over ranks.

    Example: `return [StrategySpec(name="zero", axes=["dp"], factory="acme.zero:Zero")]`
    """
    raise NotImplementedError


@_spec
def ds_register_compressors(ctx: HostContext) -> Iterable[CompressorSpec]:
    """Offer steps of compression recipes.

    Example: `return [CompressorSpec(name="topk", target="gradient", factory="acme.topk:TopK")]`
    """
    raise NotImplementedError


@_spec
def ds_register_frontends(ctx: HostContext) -> Iterable[FrontendSpec]:
    """Offer readers of model files.

    Example: `return [FrontendSpec(name="tflite", formats=["tflite"], factory="acme.tfl:Reader")]`
    """
    raise NotImplementedError


@_spec
def ds_register_commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer commands of `ds-sdk`.

    Example: `return [CommandSpec(name="flash", main="acme.flash:main", summary="Flash a board")]`
    """
    raise NotImplementedError


@_spec
def ds_register_executors(ctx: HostContext) -> Iterable[ExecutorSpec]:
    """Offer other places where a plan can run.

    Example: `return [ExecutorSpec(name="slurm", factory="acme.slurm:Executor")]`
    """
    raise NotImplementedError


@_spec
def ds_on_event(event: Event) -> None:
    """Listen to what happens: placements, measurements, lost devices.

    Example: `if isinstance(event, events.DeviceQuarantined): page_someone(event.device_id)`
    """
    raise NotImplementedError
