"""A plugin without a mistake: no type checker has anything to say about it."""

from collections.abc import Iterable, Iterator

from deepseek_core import (
    CompressorSpec,
    DeviceSpec,
    FrontendSpec,
    HostContext,
    TierSpec,
    events,
    hookimpl,
    hooks,
)


@hookimpl(hooks.ds_register_devices)
def devices(ctx: HostContext) -> Iterable[DeviceSpec]:
    """A list is an iterable."""
    summary = f"for core {ctx.core_version}"
    return [DeviceSpec(name="npu", kind="npu", factory="a.b:c", probe="a.b:d", summary=summary)]


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx: HostContext) -> Iterator[TierSpec]:
    """So is a generator."""
    yield TierSpec(name="tape", temperature="cold", schemes=["tape"], factory="a.b:c")


@hookimpl(hooks.ds_register_compressors, tryfirst=True)
def compressors(ctx: HostContext) -> tuple[CompressorSpec, ...]:
    """And a tuple."""
    return (CompressorSpec(name="topk", target="gradient", factory="a.b:c"),)


@hookimpl(hooks.ds_register_frontends)
def frontends(ctx: object) -> list[FrontendSpec]:
    """An argument may be of a wider type than what is passed."""
    return [FrontendSpec(name="tflite", formats=("tflite",), factory="a.b:c")]


@hookimpl(hooks.ds_on_event)
def listen(event: events.Event) -> None:
    """Narrow the event by its class."""
    if isinstance(event, events.StageMeasured):
        print(event.seconds)
