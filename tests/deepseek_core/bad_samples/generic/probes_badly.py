from deepseek_core import DeviceSpec, hookimpl, hooks


def probe():
    raise RuntimeError("firmware 3 is too old")


@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [
        DeviceSpec(
            name="probes_badly",
            kind="sim",
            factory="bad_samples.devices:Sound",
            probe="bad_samples.generic.probes_badly:probe",
        )
    ]
