"""`ds-sdk compress run`: a recipe from its model to files, a report and a verdict."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from deepseek_compress.cli import plan_command
from deepseek_compress.cli.common import add_json, add_recipe, print_report
from deepseek_core import console

EXAMPLES: Final = """examples:
  ds-sdk compress run recipe.toml -o out       all of it; out must be new or empty
  ds-sdk compress run recipe.toml -o out --resume   go on after Ctrl-C, a kill or a full disk
  ds-sdk compress run recipe.toml --dry-run    what it would do, as `compress plan`

It leaves model.fp32.onnx, one file for each target, report.html, report.json, plan.json,
recipe.lock.toml and MANIFEST.json. Exit code 1 says that a line of the budget does not hold."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_recipe(parser)
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", type=Path, default=Path("out"),
        help="where the files go (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with a run that did not end")
    parser.add_argument("--dry-run", action="store_true", help="plan, and train nothing")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Run it; 1 when the budget does not hold."""
    if args.dry_run:
        return plan_command.run(args)
    from deepseek_compress.recipe.job import Job
    from deepseek_compress.recipe.run import run as run_recipe

    with (
        Job.read(args.recipe) as job,
        console.ProgressReporter("compress", quiet=args.json) as progress,
    ):
        report = run_recipe(job, args.output, resume=args.resume, progress=progress)
    if args.json:
        console.print_json(report.to_json(), indent=2)
    else:
        print_report(report)
        console.print_lines(f"\n{args.output / 'report.html'}")
    return 0 if report.holds else 1
