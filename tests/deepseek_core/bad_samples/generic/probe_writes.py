from pathlib import Path

from deepseek_core import DeviceSpec, hookimpl, hooks


def probe():
    Path("probe.log").write_text("asked")
    from bad_samples.devices_probe import told  # of no use to a listing

    return [told("sound")]


@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [
        DeviceSpec(
            name="probe_writes",
            kind="sim",
            factory="bad_samples.devices:Sound",
            probe="bad_samples.generic.probe_writes:probe",
        )
    ]
