"""`ds-sdk app NAME evaluate`: ours beside the baselines, with intervals and what follows."""

from __future__ import annotations

import argparse
from typing import Final

from deepseek_apps.cli import common
from deepseek_apps.work.folder import WorkFolder
from deepseek_core import applications, console, errors

EXAMPLES: Final = """examples:
  ds-sdk app NAME evaluate work               all seeds that were trained
  ds-sdk app NAME evaluate work --seeds 0-2 --json

It leaves FOLDER/evaluation.json."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    common.add_folder(parser)
    parser.add_argument(
        "--seeds", "--seed", metavar="N", dest="seeds",
        help="0, 0,1,2 or 0-4 (default: all that were trained)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Evaluate, and print a row for each score and a sentence for each difference.

    Raises:
        ConfigError: a seed that was not trained, or was with other data or options.
    """
    given = common.seeds_of(args.seeds) if args.seeds else None
    work, opened = common.opened_in(args)
    seeds = given or _trained(work, args)
    with common.at_work(args, "evaluate") as context:
        found = work.evaluate(opened, seeds, context)
    if args.json:
        outcomes = [each.outcome for each in found.differences]
        console.print_json({"schema": 1, "seeds": seeds, **found.to_json(), "outcomes": outcomes})
    else:
        print_evaluation(found)
        console.print_text(f"next: ds-sdk app {args.application} report {args.folder}")
    return 0


def print_evaluation(found: applications.Evaluation) -> None:
    """A table of the scores, and the sentences that follow from the differences."""
    header = ("MODEL", "KIND", "METRIC", "SCORE (95 %)", "PARAMETERS", "CPU", "INTERVAL BY")
    console.print_table(header, [_row(score) for score in found.scores])
    for each in found.differences:
        console.print_text(each.sentence)
    for note in found.notes:
        console.print_text(note)


def _row(score: applications.Score) -> tuple[str, ...]:
    cpu = "-" if score.cpu_s is None else console.format_seconds(score.cpu_s)
    count = "-" if score.parameters is None else f"{score.parameters:,}"
    return (
        score.model, score.kind, score.measure.name, score.text, count, cpu, score.basis
    )  # fmt: skip


def _trained(work: WorkFolder, args: argparse.Namespace) -> list[int]:
    seeds = work.seeds()
    if not seeds:
        raise errors.ConfigError(
            f"nothing was trained to its end in {args.folder}",
            remedy=f"ds-sdk app {args.application} train {args.folder} --seeds 0-4",
        )
    return seeds
