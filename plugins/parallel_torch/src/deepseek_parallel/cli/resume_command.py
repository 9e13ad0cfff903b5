"""`ds-sdk train resume`: a run that was stopped goes on from its latest checkpoint."""

from __future__ import annotations

import argparse
from typing import Final

from deepseek_core import errors
from deepseek_parallel.cli import run_command

EXAMPLES: Final = """examples:
  ds-sdk train resume recipe.toml              from the latest checkpoint of its [checkpoint]
  ds-sdk train resume recipe.toml --nproc 2    on another number of processes than saved it

exit codes: 0 done, 1 a worker or a step failed, 2 wrong input or no checkpoint, 130 Ctrl-C"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    run_command.add_shared(parser)


def run(args: argparse.Namespace) -> int:
    """Train on; 130 if Ctrl-C ended it.

    Raises:
        ConfigError: the recipe has no checkpoint.
        CheckpointMissing: none was saved.
    """
    from deepseek_parallel.checkpoint.checkpoints import Checkpoints
    from deepseek_parallel.errors import CheckpointMissing
    from deepseek_parallel.trainer.recipe.read import read_recipe

    url = read_recipe(args.recipe, run_command.changes_of(args)).get("checkpoint").get("url")
    if not url:
        raise errors.ConfigError(
            f"{args.recipe} has no checkpoint to go on from",
            remedy='add [checkpoint] with url = "runs/one", and train run it',
        )
    if Checkpoints(url).latest() is None:
        raise CheckpointMissing(
            f"{url} has no checkpoint", remedy=f"begin by: ds-sdk train run {args.recipe}"
        )
    args.resume, args.dry_run, args.link = True, False, None
    return run_command.run(args)
