"""`ds-sdk fpga report`: which rungs of the proof ladder hold for each kernel."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from deepseek_core import Session, console, errors
from deepseek_fpga.device import board_binary
from deepseek_fpga.proof.board import parse_board
from deepseek_fpga.proof.kept import Kept
from deepseek_fpga.proof.ladder import Climb
from deepseek_fpga.proof.rung import RUNGS, RungResult
from deepseek_fpga.proof.runtimes import Bench
from deepseek_fpga.settings import Settings
from deepseek_fpga.variants import METRICS

EXAMPLES: Final = """examples:
  ds-sdk fpga report                                      all kernels, all rungs; minutes at first
  ds-sdk fpga report --kernel hamming --rung E2 --rung E3
  ds-sdk fpga report --rung E4 --board pes=64,clock_mhz=250,banks=2
  ds-sdk fpga report --kernel hamming --rung E5 --reports board/matcher_hamming

What was found is kept by content, so that a second call is quick. A rung whose tool is missing is
"not run", with what to install. exit codes: 0 no rung fails, 1 one does, 2 wrong input"""
_LIMIT_S: Final = 600.0
_HEADER: Final = ("RUNG", "KERNEL", "STATE", "LABEL", "FIGURES, OR WHY AND WHAT TO DO")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--kernel",
        action="append",
        choices=METRICS,
        help="only this kernel; may be given again",
    )
    parser.add_argument(
        "--rung",
        action="append",
        choices=[rung.id for rung in RUNGS],
        help="only this rung; may be given again",
    )
    parser.add_argument(
        "--board",
        default="",
        metavar="NAME=NUMBER,...",
        help="the board that E4 assumes, as pes=48,clock_mhz=300,banks=1,bank_gb_s=19.2 (default: "
        "that of the setting what_if)",
    )
    parser.add_argument(
        "--reports", type=Path, metavar="FOLDER", help="reports of aoc or Vitis, of one kernel"
    )
    parser.add_argument(
        "--limit",
        type=console.seconds_of,
        default=_LIMIT_S,
        metavar="SECONDS",
        help=f"the most that one build or run of a tool may take (default: {_LIMIT_S:g})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the ladder; 1 if a rung fails.

    Raises:
        ConfigError: a board that can't be, or reports without a kernel.
        ArtifactError: a report that can't be read.
    """
    climb = _climb(args)
    with console.ProgressReporter("fpga report", quiet=args.json) as progress:
        results = list(climb.results(progress))
    if args.json:
        console.print_json(_facts(results), indent=1)
    else:
        console.print_table(_HEADER, [cells for found in results for cells in _cells(found)])
    return 1 if any(result.state == "fails" for result in results) else 0


def _climb(args: argparse.Namespace) -> Climb:
    kernels = tuple(dict.fromkeys(args.kernel or METRICS))
    if args.reports is not None and len(kernels) != 1:
        raise errors.ConfigError(
            "reports do not say which kernel they are of", remedy="add --kernel NAME"
        )
    board = parse_board(args.board) if args.board else None  # before devices are looked for
    settings = _settings()
    bench = Bench(
        kept=Kept(console.cache_dir() / "fpga" / "proof"),
        limit_s=args.limit,
        patch_pocl=settings.pocl_patch,
        binary=board_binary(),
    )
    return Climb(
        kernels=kernels,
        rungs=tuple(rung.id for rung in RUNGS if not args.rung or rung.id in args.rung),
        bench=bench,
        board=board or parse_board(settings.what_if),
        reports=args.reports,
    )


def _settings() -> Settings:
    """This plugin's settings, as its devices have them."""
    with Session(devices=()) as session:
        return Settings.of(session.registry.settings.get("fpga_opencl", {}))


def _facts(results: Sequence[RungResult]) -> dict[str, Any]:
    return {"schema": 1, "results": [result.to_json() for result in results]}


def _cells(result: RungResult) -> Iterator[tuple[str, ...]]:
    """A line for each figure; the first has the rung."""
    told = [figure.text for figure in result.figures]
    if result.why:
        told.insert(0, " -> ".join(filter(None, (result.why, result.remedy))))
    if result.figures:
        told.append(result.rung.limits)
    head = (result.rung.id, result.kernel, result.state, result.rung.label)
    for number, text in enumerate(told or [result.rung.title]):
        yield (*(head if number == 0 else ("",) * len(head)), text)
