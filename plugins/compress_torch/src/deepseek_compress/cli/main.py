"""`ds-sdk compress COMMAND ...`: its commands, of which one alone is imported and run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepseek_core import console

# name -> (module of this package, one line for --help, which imports none of them)
COMMANDS: Final = {
    "init": ("init_command", "write a recipe to begin with"),
    "plan": ("plan_command", "what each step of a recipe would do; nothing is trained"),
    "run": ("run_command", "run a recipe: files for each target, a report, a verdict"),
    "verify": ("verify_command", "check that the files of a run are whole"),
    "compare": ("compare_command", "two runs side by side"),
    "inspect": ("inspect_command", "a model's layers, and what could be pruned"),
}
_EXAMPLES: Final = """examples:
  ds-sdk compress init recipe.toml             a recipe to begin with, explained
  ds-sdk compress plan recipe.toml             what it would do, in seconds
  ds-sdk compress run recipe.toml -o out       train, lower, measure, judge
  ds-sdk compress verify out                   whether its files are whole
  ds-sdk compress compare out other            two runs side by side
  ds-sdk run out/model.ort_x86.onnx --input batch.npz

exit codes: 0 done and the budget holds, 1 it does not hold or a file is damaged, 2 wrong
arguments, recipe, model or data, 130 Ctrl-C (go on with --resume)"""


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk compress` with these words and return the exit code."""
    group = console.CommandGroup(
        name="compress",
        package="deepseek_compress.cli",
        commands=COMMANDS,
        summary="From a trained model and a budget to the file that a device wants.",
        examples=_EXAMPLES,
    )
    return group.run(argv)
