"""A device in 60 lines, and 14 mistakes that an author could make in it.

Each fault is a list of replacements in the sound sources.
"""

from __future__ import annotations

from typing import Final

HOOKS: Final = """
from deepseek_core import DeviceSpec, hookimpl, hooks

conformance = "PLUGIN_kit"

@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [DeviceSpec(name="PLUGIN", kind="sim", factory="PLUGIN_device:Scaler",
                       probe="PLUGIN_device:probe", operators=("acme::Scale",))]
"""

DEVICE: Final = """
import os
import numpy as np
from deepseek_core import Device, DeviceInfo, Estimate, Executable, Support, errors
# imports

INFO = DeviceInfo(id="PLUGIN:0", kind="sim", name="scaler", evidence="model", fingerprint="1")

def probe():
    # probe
    return [INFO]

class Scaler(Device):
    def __init__(self, device_id, options):
        if device_id != INFO.id:
            raise errors.DeviceUnavailable(f"no device {device_id}", device_id=device_id)
        self.info, self.closed = INFO, False
        # open

    def supports(self, operation):
        if operation.qualified_name == "acme::Scale":
            return Support.yes()
        return Support.no("runs acme::Scale only")

    def estimate(self, task):
        return Estimate(seconds=2e-6 * task.batch, sigma=0.5, source="prior")

    def load(self, stage, options):
        if self.closed:
            raise errors.DeviceClosed("closed", device_id=INFO.id)
        if not all(self.supports(operation) for operation in stage.operations):
            raise errors.Unsupported("runs acme::Scale only", device_id=INFO.id)
        return Loaded(stage, self)

    def to_host(self, value):
        return np.asarray(value)

    def close(self):
        self.closed = True

class Loaded(Executable):
    def __init__(self, stage, device):
        self.stage, self.device, self.device_id, self.closed = stage, device, INFO.id, False

    def run(self, inputs):
        if self.closed or self.device.closed:
            raise errors.DeviceClosed("closed", device_id=INFO.id)
        x = inputs["x"]
        # run
        y = x * np.float32(3)
        # after
        return {"y": y}

    def close(self):
        self.closed = True
"""

KIT: Final = """
import numpy as np
from deepseek_core import Artifact, Operation, Stage, TensorSpec
from deepseek_core.testing import DeviceCase, DeviceConformance

class TestScaler(DeviceConformance):
    plugin, name, device_id = "PLUGIN", "PLUGIN", "PLUGIN:0"

    def cases(self):
        x, y = (TensorSpec(name=n, dtype="float32", shape=("n", 3), batch_axis=0) for n in "xy")
        scale = Operation(name="Scale", domain="acme", inputs=[x], outputs=[y])
        stage = Stage(name="s", kind="scale", operations=[scale], inputs=[x], outputs=[y],
                      artifact=Artifact.from_bytes(b"scale", format="acme"))
        given = np.arange(12, dtype=np.float32).reshape(4, 3)
        return [DeviceCase(stage=stage, inputs={"x": given}, expected={"y": given * 3})]
"""

FAULTS: Final[dict[str, dict[str, str]]] = {
    "wrong beyond 2000 items": {"# after": "y[2000:] = y[0]"},
    "wrong for odd batches of more than 100": {
        "# after": "if len(y) % 2 and len(y) > 100:\n            y[-1] = 0"
    },
    "estimates at random": {
        "seconds=2e-6 * task.batch": "seconds=2e-6 * task.batch * (1 + os.urandom(1)[0] / 256)"
    },
    "the last answer shines through": {
        "# after": "y += getattr(self, 'rest', np.float32(0)) * np.float32(0.01)\n"
        "        self.rest = y.sum() if self.calls > 40 else np.float32(0)",
        "# run": "self.calls = getattr(self, 'calls', 0) + 1",
    },
    "keeps 40 KB of every run": {
        "# run": "self.device.__dict__.setdefault('kept', []).append(np.ones(10_000, np.float32))"
    },
    "its probe forks": {"# probe": "os.fork() or os._exit(0)"},
    "changes the folder when opened": {"# open": "os.chdir('/')"},
    "handles Ctrl-C itself when it runs": {
        "# imports": "import signal",
        "# open": "signal.signal(signal.SIGINT, signal.SIG_IGN)",
    },
    "writes a log to /tmp": {
        "# run": "with open('/tmp/scaler.log', 'a') as log: log.write('run ')"
    },
    "calls its maker": {
        "# imports": "import socket",
        "# open": "with socket.socket() as s: s.connect_ex(('127.0.0.1', 9))",
    },
    "leaves a helper running": {
        "# imports": "import subprocess",
        "# open": "subprocess.Popen(['sleep', '20'])",
    },
    "its probe takes 30 s": {"# probe": "import time; time.sleep(30)"},
    "overwrites what it gave before": {
        "y = x * np.float32(3)": "y = self.__dict__.setdefault(len(x), np.empty_like(x))\n"
        "        np.multiply(x, np.float32(3), out=y)"
    },
    "one answer in 64 is off": {"# after": "if os.urandom(1)[0] < 4:\n            y += 1"},
}
