"""`ds-sdk ckpt COMMAND ...`: its commands, of which one alone is imported and run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepseek_core import console

# name -> (module of this package, one line for --help, which imports none of them)
COMMANDS: Final = {
    "inspect": ("inspect_command", "the checkpoints at a URL, or what one of them holds"),
    "verify": ("verify_command", "whether all files are those that were saved"),
    "prune": ("prune_command", "take away what newer checkpoints supersede"),
    "reshard": ("reshard_command", "write a checkpoint for another number of ranks"),
    "export": ("export_command", "write the model as a file of safetensors"),
}
_EXAMPLES: Final = """examples:
  ds-sdk ckpt inspect ds://runs/first                   its checkpoints
  ds-sdk ckpt inspect ds://runs/first --step 2000       what one of them holds
  ds-sdk ckpt verify runs/first                         read every byte and compare
  ds-sdk ckpt prune runs/first --keep 2 --dry-run       what would go
  ds-sdk ckpt reshard runs/first --ranks 4 --to runs/four
  ds-sdk ckpt export runs/first model.safetensors

exit codes: 0 done, 1 a file is damaged or can't be written, 2 wrong arguments or no checkpoint,
130 Ctrl-C"""


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk ckpt` with these words and return the exit code."""
    group = console.CommandGroup(
        name="ckpt",
        package="deepseek_parallel.ckpt_cli",
        commands=COMMANDS,
        summary="Checkpoints of a training: what is there, whether it is whole, what may go.",
        examples=_EXAMPLES,
    )
    return group.run(argv)
