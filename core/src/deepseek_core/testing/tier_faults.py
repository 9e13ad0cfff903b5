"""A writer that is killed halfway through an object.

The kernel does it, at a fixed byte: beyond the limit of a file's size a process gets SIGXFSZ.
Tiers that write no files end their write; the object must then be whole.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

from deepseek_core.discovery.distributions import import_path
from deepseek_core.discovery.telemetry import without_telemetry

_LIMIT_BYTES: Final = 1 << 20
_CODE: Final = """
import resource, signal, sys
from importlib import import_module
module, _, name = sys.argv[1].partition(":")
factory = getattr(import_module(module), name)
data = sys.stdin.buffer.read()
tier = factory(sys.argv[2])
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and the write would raise
tier.put_if_absent(sys.argv[3], data)
"""


def write_and_die(factory: str, url: str, key: str, data: bytes) -> None:
    """Write an object from another process, which dies at the first MiB of a file."""
    subprocess.run(
        [sys.executable, "-P", "-c", _CODE, factory, url, key, str(_LIMIT_BYTES)],
        input=data,
        capture_output=True,
        env={**without_telemetry(os.environ), "PYTHONPATH": os.pathsep.join(import_path())},
        timeout=120,
        check=False,
    )
