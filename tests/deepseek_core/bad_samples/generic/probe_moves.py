import os

from deepseek_core import DeviceSpec, hookimpl, hooks


def probe():
    os.chdir("/")
    from bad_samples.devices_probe import told  # of no use to a listing

    return [told("sound")]


@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [
        DeviceSpec(
            name="probe_moves",
            kind="sim",
            factory="bad_samples.devices:Sound",
            probe="bad_samples.generic.probe_moves:probe",
        )
    ]
