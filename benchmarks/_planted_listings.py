"""A plugin's hooks, and 25 things that go wrong while it is imported, listed or probed."""

from __future__ import annotations

from typing import Final

HOOKS: Final = """
# top
from deepseek_core import DeviceSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    # hook
    return [DeviceSpec(name="PLUGIN", kind="sim", factory="PLUGIN_device:Nothing",
                       probe="PLUGIN_device:probe")]
"""

DEVICE: Final = """
# code
from deepseek_core import DeviceInfo

class Nothing:
    pass

def probe():
    # probe
    return [DeviceInfo(id="PLUGIN:0", kind="sim", name="nothing", evidence="model")]
"""

REQUIRES: Final = "deepseek-core>=0.1,<9"

FAULTS: Final[dict[str, dict[str, str]]] = {
    "import: a module is missing": {"# top": "import a_module_that_nobody_has"},
    "import: leaves the process": {"# top": "raise SystemExit(3)"},
    "import: prints": {"# top": "print('welcome to acme')"},
    "import: loads numpy": {"# top": "import numpy"},
    "import: changes the folder": {"# top": "import os; os.chdir('/')"},
    "import: opens the umask": {"# top": "import os; os.umask(0)"},
    "import: handles Ctrl-C": {
        "# top": "import signal; signal.signal(signal.SIGINT, lambda *_: None)"
    },
    "import: puts itself on sys.path": {"# top": "import sys; sys.path.insert(0, '/opt/acme')"},
    "import: hooks the import system": {
        "# top": "import sys\nclass Finder:\n    def find_spec(self, *a): return None\n"
        "sys.meta_path.insert(0, Finder())"
    },
    "import: sets the time-out of sockets": {"# top": "import socket; socket.setdefaulttimeout(1)"},
    "import: sets the locale": {
        "# top": "import locale; locale.setlocale(locale.LC_ALL, 'C.UTF-8')"
    },
    "import: silences warnings": {"# top": "import warnings; warnings.simplefilter('ignore')"},
    "import: configures logging": {"# top": "import logging; logging.basicConfig(level=10)"},
    "import: seeds the random state": {"# top": "import random; random.seed(0)"},
    "import: raises the recursion limit": {"# top": "import sys; sys.setrecursionlimit(99_999)"},
    "import: turns the collector off": {"# top": "import gc; gc.disable()"},
    "import: replaces stdout": {"# top": "import io, sys; sys.stdout = io.StringIO()"},
    "import: prints when the process ends": {
        "# top": "import atexit; atexit.register(print, 'bye')"
    },
    "import: starts a thread": {
        "# top": "import threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    },
    "hook: writes a file": {"# hook": "open('acme.log', 'w').close()"},
    "hook: asks the network": {
        "# hook": "import socket; s = socket.socket(); s.settimeout(0.2)\n"
        "    s.connect_ex(('127.0.0.1', 9)); s.close()"
    },
    "hook: another answer each time": {
        "# hook": "import time\n    ctx = time.monotonic_ns()",
        'name="PLUGIN", kind="sim"': 'name="PLUGIN", kind="sim", summary=str(ctx)',
    },
    "metadata: any core will do": {REQUIRES: "deepseek-core"},
    "probe: raises": {"# probe": "raise RuntimeError('no firmware')"},
    "probe: leaves a process behind": {
        "# probe": "import subprocess; subprocess.Popen(['sleep', '20'])"
    },
}
