"""`ds-sdk ckpt reshard`: a checkpoint for another number of ranks."""

from __future__ import annotations

import argparse
from typing import Final

from deepseek_core import console
from deepseek_parallel.checkpoint.place import Place
from deepseek_parallel.ckpt_cli.common import (
    add_json,
    add_step,
    add_url,
    bytes_told,
    check_count,
    opened,
)

EXAMPLES: Final = """examples:
  ds-sdk ckpt reshard runs/first --ranks 4 --to runs/four
  ds-sdk ckpt reshard ds://runs/first --step 2000 --ranks 1 --to ds://runs/alone

Every checkpoint loads on any number of ranks; this prepares one, so that each rank then reads
its own file alone. Only what differs by rank changes: what CompressedSGD keeps back.

exit codes: 0 done, 1 a file is damaged or can't be written, 2 wrong arguments or no checkpoint"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_url(parser)
    add_step(parser, "the latest")
    parser.add_argument("--ranks", required=True, type=int, metavar="N", help="ranks to load it on")
    parser.add_argument("--to", required=True, metavar="URL", help="where the new one goes")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write it.

    Raises:
        CheckpointMissing: there is none.
        CheckpointDamaged: a file is missing or has other bytes.
        WriteError: it can't be written.
    """
    check_count("--ranks", args.ranks)
    place, found = opened(args.url)
    chosen = found.chosen(args.step, place.url)
    target = Place(args.to)
    from deepseek_parallel.checkpoint.resharding import reshard

    with bytes_told("copying", chosen.manifest.nbytes, quiet=args.json) as tell:
        made = reshard(place, chosen, target, args.ranks, tell)
    if args.json:
        facts = {
            "schema": 1,
            "url": target.url_of(made.name),
            "step": made.step,
            "ranks": made.ranks,
            "differs_by_rank": made.by_rank,
            "nbytes": made.nbytes,
        }
        console.print_json(facts, indent=1)
    elif made.by_rank:
        console.print_text(
            f"{target.url_of(made.name)}: step {made.step} for {made.ranks} ranks, "
            f"{console.format_bytes(made.nbytes)}"
        )
    else:
        console.print_text(
            f"{target.url_of(made.name)}: a copy of step {made.step}. Nothing in it differs by "
            "rank, so it loads on any number"
        )
    return 0
