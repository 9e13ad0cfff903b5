from bad_samples.table import SAMPLES, camel
from deepseek_core import DeviceSpec, hookimpl, hooks

conformance = "bad_samples.devices_conformance"


@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [
        DeviceSpec(
            name=name,
            kind="sim",
            factory=f"bad_samples.devices:{camel(name)}",
            probe="bad_samples.devices_probe:probe",
            operators=["Abs"] if name == "hides_an_operator" else (),
        )
        for name in SAMPLES["device"]
    ]
