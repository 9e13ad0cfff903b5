"""`ds-sdk fpga COMMAND ...`: its commands, of which one alone is imported and run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepseek_core import console

# name -> (module of this package, one line for --help, which imports none of them)
COMMANDS: Final = {
    "report": ("report_command", "what is proven of each kernel, rung by rung, and how far"),
    "build": (
        "build_command",
        "compile a kernel for an emulator or a board, or say what is missing",
    ),
}
_EXAMPLES: Final = """examples:
  ds-sdk fpga report --kernel hamming                   every rung that can be tried here
  ds-sdk fpga report --rung E4 --board pes=64,clock_mhz=250
  ds-sdk fpga build --target aoc --kernel hamming --board pac_a10 --output board --dry-run

exit codes: 0 done, 1 a rung fails or a build does, 2 wrong arguments or input, 130 Ctrl-C"""


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk fpga` with these words and return the exit code."""
    group = console.CommandGroup(
        name="fpga",
        package="deepseek_fpga.cli",
        commands=COMMANDS,
        summary="Kernels for FPGAs: what is proven of them, and binaries for boards.",
        examples=_EXAMPLES,
    )
    return group.run(argv)
