"""`ds-sdk compress verify`: whether the files of a run are whole."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from deepseek_compress.cli.common import add_json, read_report
from deepseek_core import compression, console

EXAMPLES: Final = """examples:
  ds-sdk compress verify out
  ds-sdk compress verify out --json            for a script; exit code 1 if a file is damaged"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="what `compress run` left")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare every file with the manifest; 1 if one is missing or was changed."""
    manifest = compression.Manifest.read(args.folder)
    faults = manifest.faults(args.folder)
    if not faults:
        read_report(args.folder)
    if args.json:
        facts = {"whole": not faults, "files": dict(manifest.files), "faults": list(faults)}
        console.print_json(facts, indent=2)
    elif faults:
        console.print_lines("\n".join(faults))
    else:
        console.print_text(f"{len(manifest.files)} files are whole")
    return 1 if faults else 0
