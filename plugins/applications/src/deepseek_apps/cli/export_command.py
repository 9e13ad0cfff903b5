"""`ds-sdk app NAME export`: files that `ds-sdk run` and other tools load."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from deepseek_apps.cli import common
from deepseek_apps.work import manifest
from deepseek_core import console

EXAMPLES: Final = """examples:
  ds-sdk app NAME export work                 seed 0, to work/export
  ds-sdk app NAME export work --seed 3 -o files
  ds-sdk app NAME export work --again         in the place of what was exported

Beside the files lies application.json with a hash of each: ds-sdk app NAME run checks them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    common.add_folder(parser)
    parser.add_argument(
        "--seed", type=int, metavar="N", help="of the training (default: the first one)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER",
        help="where the files go: a new or empty folder (default: FOLDER/export)",
    )  # fmt: skip
    common.add_again(parser, "replace what was exported to that folder before")


def run(args: argparse.Namespace) -> int:
    """Export, and print the files.

    Raises:
        ConfigError: a seed that was not trained, or a folder that is not empty.
    """
    work, opened = common.opened_in(args)
    seed = args.seed if args.seed is not None else next(iter(work.seeds()), 0)
    target = args.output or args.folder / "export"
    with common.at_work(args, "export") as context, work.exporting(seed, context) as inside:
        artifacts = manifest.export(opened, seed, target, inside, again=args.again)
    rows = [(str(a.path), a.format, a.path.stat().st_size) for a in artifacts if a.path]
    if args.json:
        files = [{"path": path, "format": kind, "nbytes": size} for path, kind, size in rows]
        console.print_json({"schema": 1, "seed": seed, "folder": str(target), "files": files})
        return 0
    shown = [(path, kind, console.format_bytes(size)) for path, kind, size in rows]
    console.print_table(("FILE", "FORMAT", "SIZE"), shown)
    console.print_text(f"next: ds-sdk app {args.application} run {target} INPUT ...")
    return 0
