"""`ds-sdk app NAME train`: a training for each seed, which goes on where it was stopped."""

from __future__ import annotations

import argparse
from typing import Final

from deepseek_apps.cli import common
from deepseek_core import console

EXAMPLES: Final = """examples:
  ds-sdk app NAME train work                  seed 0
  ds-sdk app NAME train work --seeds 0-4      five seeds, for an interval
  ds-sdk app NAME train work --again          from the beginning, after data or options were changed

Ctrl-C ends it where it saved last; the same command goes on from there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    common.add_folder(parser, all_cores=True)
    parser.add_argument(
        "--seeds", "--seed", default="0", metavar="N", dest="seeds",
        help="0, 0,1,2 or 0-4 (default: 0)",
    )  # fmt: skip
    common.add_again(parser, "begin again where a seed was trained or begun")


def run(args: argparse.Namespace) -> int:
    """Train each seed; one that was trained before is left as it is.

    Raises:
        ConfigError: data or options were changed since a seed was trained.
        Interrupted: Ctrl-C.
    """
    seeds = common.seeds_of(args.seeds)
    work, opened = common.opened_in(args)
    trained: list[int] = []
    left: list[int] = []
    for seed in seeds:
        with common.at_work(args, f"seed {seed}") as context:
            is_new = work.train(opened, seed, context, again=args.again)
        (trained if is_new else left).append(seed)
    if args.json:
        console.print_json({"schema": 1, "trained": trained, "before": left})
        return 0
    if left:
        console.print_text(f"trained before, left as they are: {_listed(left)}")
    if trained:
        console.print_text(f"trained: {_listed(trained)}")
    console.print_text(f"next: ds-sdk app {args.application} evaluate {args.folder}")
    return 0


def _listed(seeds: list[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
