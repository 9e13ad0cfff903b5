"""`ds-sdk train COMMAND ...`: its commands, of which one alone is imported and run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepseek_core import console

# name -> (module of this package, one line for --help, which imports none of them)
COMMANDS: Final = {
    "plan": ("plan_command", "seconds, memory and bytes of a step on a cluster, by a model"),
    "failures": (
        "failures_command",
        "what a log of failures says of the next, and how often to save",
    ),
    "run": ("run_command", "train a recipe, on one process or several of this machine"),
    "join": ("join_command", "train with a run that another machine has begun"),
    "resume": ("resume_command", "go on with a run that was stopped, from its checkpoint"),
}
_EXAMPLES: Final = """examples:
  ds-sdk train plan --model 175b --cluster a100-80g:8 --batch 64 --sequence-parallel
  ds-sdk train plan --model model.toml --cluster cluster.toml --batch 1024 --json
  ds-sdk train failures failures.csv --cost 60
  ds-sdk train run recipe.toml --nproc 4
  ds-sdk train resume recipe.toml

exit codes: 0 done, 1 no mesh fits or a step failed, 2 wrong arguments or input, 130 Ctrl-C"""


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk train` with these words and return the exit code."""
    group = console.CommandGroup(
        name="train",
        package="deepseek_parallel.cli",
        commands=COMMANDS,
        summary="Training on several processes: which mesh, and what it would take.",
        examples=_EXAMPLES,
    )
    return group.run(argv)
