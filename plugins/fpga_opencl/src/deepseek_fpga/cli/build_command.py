"""`ds-sdk fpga build`: compile a kernel for an emulator or a board."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any, Final

from deepseek_core import console
from deepseek_fpga.building.build import SCRIPT, Built, build, write_recipe
from deepseek_fpga.building.recipe import TARGETS, Recipe, recipe
from deepseek_fpga.device import BINARY_VARIABLE
from deepseek_fpga.variants import METRICS

EXAMPLES: Final = """examples:
  ds-sdk fpga build --target emulator --kernel hamming --output emulated
  ds-sdk fpga build --target aoc --kernel hamming --board pac_a10 --output board --report-only
  ds-sdk fpga build --target vpp --kernel hamming --board PLATFORM --output board --dry-run

The commands are written to build.sh in any case and run where the tool is present. A build for a
board takes hours. exit codes: 0 built (or only written, as asked), 1 a tool is missing or fails"""
_LIMIT_S: Final = 48 * 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--target", required=True, choices=TARGETS, help="what it is built for")
    parser.add_argument("--kernel", required=True, choices=METRICS, help="which metric")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FOLDER", help="where all of it goes"
    )
    parser.add_argument(
        "--board", default="", metavar="NAME", help="of aoc: the board; of vpp: the platform"
    )
    parser.add_argument(
        "--report-only", action="store_true", help="stop at the compiler's report: minutes"
    )
    parser.add_argument("--dry-run", action="store_true", help="write the commands, run nothing")
    parser.add_argument(
        "--limit",
        type=console.seconds_of,
        default=_LIMIT_S,
        metavar="SECONDS",
        help=f"the most that one step may take (default: {_LIMIT_S:g})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the commands and run them.

    Raises:
        ConfigError: no board where one is needed.
        ToolFailed: a step fails.
        WriteError: the folder can't be written.
    """
    made = recipe(
        args.target, args.kernel, args.board, report_only=args.report_only, python=sys.executable
    )
    write_recipe(made, args.output)
    if args.dry_run:
        _tell(args, made, None)
        return 0
    with console.ProgressReporter("fpga build", quiet=args.json) as progress:
        built = build(
            made, args.output, limit_s=args.limit, progress=lambda text: progress(0, None, text)
        )
    _tell(args, made, built)
    return 0 if built.binary is not None or not built.missing else 1


def _tell(args: argparse.Namespace, made: Recipe, built: Built | None) -> None:
    if args.json:
        console.print_json(_facts(args, made, built), indent=1)
        return
    console.print_lines(f"written: {args.output / SCRIPT}")
    for step in made.steps:
        console.print_lines(f"  {shlex.join(step)}")
    if built is None:
        console.print_lines("not run: --dry-run")
    elif built.missing:
        console.print_lines(f"not run: {built.missing} -> {built.remedy}")
    elif built.binary is None:
        console.print_lines(
            f"built: reports in {args.output} -> ds-sdk fpga report --kernel {args.kernel} "
            f"--rung E5 --reports {args.output}"
        )
    else:
        console.print_lines(
            f"built: {built.binary} -> export {BINARY_VARIABLE}={built.binary.resolve()}"
        )


def _facts(args: argparse.Namespace, made: Recipe, built: Built | None) -> dict[str, Any]:
    return {
        "schema": 1,
        "target": made.target,
        "kernel": made.variant.metric,
        "board": made.board,
        "folder": str(args.output),
        "commands": [list(step) for step in made.steps],
        "ran": built is not None and not built.missing,
        "binary": str(built.binary) if built and built.binary else None,
        "missing": built.missing if built else "",
        "remedy": built.remedy if built else "",
    }
