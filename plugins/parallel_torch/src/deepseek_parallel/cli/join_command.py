"""`ds-sdk train join`: workers of this machine train with a run that another one has begun."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Final

from deepseek_core import console, errors

EXAMPLES: Final = """examples, as ds-sdk train run --listen prints them:
  DEEPSEEK_RUN=4f1d... ds-sdk train join recipe.toml 10.0.0.5:4300
  DEEPSEEK_RUN=4f1d... ds-sdk train join recipe.toml 10.0.0.5:4300 --nproc 4

The recipe and the Python files beside it must be those of the machine that has begun the run, as
must the versions; options of the run are told. Ctrl-C takes the workers of this machine out of it.

exit codes: 0 the training has ended, 1 no worker of this machine came to its end, 2 wrong input or
another run, 130 Ctrl-C"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml", help="what the run trains")
    parser.add_argument("address", metavar="HOST:PORT", help="where the run listens")
    parser.add_argument(
        "--nproc", type=int, default=1, metavar="N", help="processes of this machine (default: 1)"
    )


def run(args: argparse.Namespace) -> int:
    """Train with the others; 130 if the training was stopped.

    Raises:
        ConfigError: no token, no such recipe, or nobody answers.
        JoinRefused, CodeMismatch: the run does not take this machine.
        RankFailed: no worker of this machine came to the end.
    """
    from deepseek_parallel.elastic import wire
    from deepseek_parallel.trainer.launch.elastic import train_as_guest

    if args.nproc < 1:
        raise errors.ConfigError(f"--nproc must be 1 or more, got {args.nproc}", remedy="--nproc 1")
    token = os.environ.get(wire.RUN)
    if not token:
        raise errors.ConfigError(
            f"{wire.RUN} is not set: it is the token of the run, without which nobody joins",
            remedy="copy the whole line that ds-sdk train run --listen has printed",
        )
    with console.ProgressReporter("train", quiet=not sys.stderr.isatty()) as show:
        report = train_as_guest(args.recipe, args.address, token, nproc=args.nproc, show=show)
    console.print_text(
        f"the training has ended after {report['steps']} steps, by: {report['stopped']}"
    )
    return 130 if report["stopped"] in ("Ctrl-C", "SIGTERM") else 0
