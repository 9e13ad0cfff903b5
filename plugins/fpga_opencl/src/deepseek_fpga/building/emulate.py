"""Compiles `matcher.cl` for the FPGA emulator; a process of its own, as its driver may crash.

`python -m deepseek_fpga.building.emulate REQUEST`, where REQUEST is JSON: options, output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from deepseek_core import errors
from deepseek_fpga.files import write_atomically
from deepseek_fpga.opening import open_device
from deepseek_fpga.platforms import DeviceRecord, list_devices
from deepseek_fpga.program_cache import ProgramCache
from deepseek_fpga.variants import kernel_source


def emulators() -> list[DeviceRecord]:
    """The emulators that compile the form with channels."""
    return [
        record
        for record in list_devices().devices
        if record.evidence == "emulator" and "cl_intel_channels" in record.extensions
    ]


def main() -> int:
    """Write the binary; 1 and a sentence if that fails."""
    request = json.loads(sys.argv[1])
    output = Path(request["output"])
    try:
        device = open_device(emulators()[0].id)
        program = ProgramCache(device, output.parent / ".cache").compile(
            kernel_source(), request["options"]
        )
        write_atomically(output, program.binaries[0])
    except IndexError:
        print("no FPGA emulator with channels is visible")  # noqa: T201 - the answer
        return 1
    except (errors.DeepSeekError, OSError) as error:
        print(error)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
