"""What the plugin offers; light, since it is imported whenever plugins are listed."""

from collections.abc import Iterable

from deepseek_core import DeviceSpec, HostContext, hookimpl, hooks

conformance = "deepseek_null.conformance"


@hookimpl(hooks.ds_register_devices)
def devices(ctx: HostContext) -> Iterable[DeviceSpec]:
    """Offer one device that sleeps."""
    return [
        DeviceSpec(
            name="null",
            kind="sim",
            summary="sleeps for the seconds that its operation asks for",
            factory="deepseek_null.device:NullDevice",
            probe="deepseek_null.device:probe",
            requires=("numpy",),
            operators=("deepseek.null::Sleep",),
        )
    ]
