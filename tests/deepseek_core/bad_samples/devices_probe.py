"""The probe of all bad devices, without numpy: it runs in forty processes."""

from bad_samples.table import SAMPLES
from deepseek_core import DeviceInfo


def told(name):
    return DeviceInfo(
        id=f"bad:{name}",
        kind="sim",
        name=name,
        evidence="model",
        fingerprint="" if name == "has_no_fingerprint" else name,
    )


def probe():
    return [told(name) for name in SAMPLES["device"]]
