"""Loads a compiled kernel on a device and tells whether its driver took it.

`python -m deepseek_fpga.load_child REQUEST`, where REQUEST is JSON: device, path. A process of
its own, since drivers die of damaged binaries.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from deepseek_core import errors
from deepseek_fpga.opening import open_device
from deepseek_fpga.program_cache import program_of


def main() -> None:
    """Print one line of JSON: `refused`, why; empty if it was taken."""
    request = json.loads(sys.argv[1])
    device = open_device(request["device"])
    try:
        program = program_of(device, Path(request["path"]).read_bytes())
        names = [kernel.function_name for kernel in program.all_kernels()]
    except errors.DeviceError as error:
        print(json.dumps({"refused": error.message}))  # noqa: T201 - the answer
        return
    print(json.dumps({"refused": "" if names else "it has no kernel"}))  # noqa: T201


if __name__ == "__main__":
    main()
