"""`ds-sdk store adopt`: of several copies of a home, this one has the store from now on."""

from __future__ import annotations

import argparse
from typing import Final

from deepseek_core import console
from deepseek_store.cli.common import Command, add_json, add_quiet, tell

_EXAMPLES: Final = """examples:
  ds-sdk store adopt data     data was restored from a backup, or is the copy that goes on

It takes the tiers and mirrors, and makes the index from all that is there, as rebuild does. Every
other copy of this home can be read only from then on; what lies in its own log alone is not here.
An empty disk in the place of a mirror becomes the mirror: `repair` fills it. Nobody may have it
open. Exit code 1: something is missing."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("home", metavar="HOME", help="the folder that is to have the store")
    parser.add_argument(
        "--force",
        action="store_true",
        help="even if a tier can't be reached; that tier is not taken",
    )
    add_json(parser)
    add_quiet(parser)


def _adopt(args: argparse.Namespace) -> int:
    from deepseek_store.store import Store

    with console.ProgressReporter("adopt", quiet=args.quiet) as progress:
        report = Store.adopt(args.home, force=args.force, progress=progress)
    tell(report.to_json(), "\n".join(report.sentences()), as_json=args.json)
    return 0 if report.ok else 1


COMMANDS: Final = {
    "adopt": Command(add_arguments=_add_arguments, run=_adopt, examples=_EXAMPLES),
}
