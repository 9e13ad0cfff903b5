import os

from deepseek_core import DeviceSpec, hookimpl, hooks


def probe():
    if os.fork() == 0:
        os._exit(0)
    from bad_samples.devices_probe import told  # of no use to a listing

    return [told("sound")]


@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [
        DeviceSpec(
            name="probe_forks",
            kind="sim",
            factory="bad_samples.devices:Sound",
            probe="bad_samples.generic.probe_forks:probe",
        )
    ]
