"""A plugin with the seven mistakes that authors make, each on a marked line."""

from collections.abc import Iterable

from deepseek_core import DeviceSpec, HostContext, TierSpec, hookimpl, hooks


@hookimpl(hooks.ds_register_devices)  # mistake: wrong argument type
def wrong_argument(ctx: str) -> Iterable[DeviceSpec]:
    return []


@hookimpl(hooks.ds_register_devices)  # mistake: wrong return type
def wrong_return(ctx: HostContext) -> DeviceSpec:
    return DeviceSpec(name="npu", kind="npu", factory="a.b:c", probe="a.b:d")


@hookimpl(hooks.ds_register_devices)  # mistake: missing argument
def missing_argument() -> Iterable[DeviceSpec]:
    return []


@hookimpl(hooks.ds_register_devices)  # mistake: extra argument
def extra_argument(ctx: HostContext, color: str) -> Iterable[DeviceSpec]:
    return []


@hookimpl(hooks.ds_register_devices)  # mistake: record of another hook
def wrong_record(ctx: HostContext) -> Iterable[TierSpec]:
    return []


@hookimpl(hooks.ds_register_device)  # mistake: no such hook
def misspelt(ctx: HostContext) -> Iterable[DeviceSpec]:
    return []


@hookimpl("ds_register_devices")  # mistake: a name where the hook itself is wanted
def by_name(ctx: HostContext) -> Iterable[DeviceSpec]:
    return []
