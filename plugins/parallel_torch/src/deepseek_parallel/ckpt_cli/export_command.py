"""`ds-sdk ckpt export`: the model of a checkpoint as a file of safetensors."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from deepseek_core import console
from deepseek_parallel.ckpt_cli.common import add_json, add_step, add_url, opened

EXAMPLES: Final = """examples:
  ds-sdk ckpt export runs/first model.safetensors
  ds-sdk ckpt export ds://runs/first model.safetensors --step 2000

Names, shapes and dtypes are those of the model's state_dict(); the optimizer is left out. Needs
torch and safetensors.

exit codes: 0 done, 1 a file is damaged or can't be written, 2 wrong arguments or no checkpoint"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_url(parser)
    parser.add_argument("file", metavar="FILE", help="the file to write")
    add_step(parser, "the latest")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Write it.

    Raises:
        ConfigError: safetensors is not installed, or the file can't be one.
        CheckpointMissing: there is none.
        CheckpointDamaged: a file is missing or has other bytes.
    """
    console.check_writable(args.file)
    place, found = opened(args.url)
    chosen = found.chosen(args.step, place.url)
    from deepseek_parallel.checkpoint.exporting import export_safetensors

    tensors, left = export_safetensors(place, chosen, Path(args.file))
    nbytes = Path(args.file).stat().st_size
    if args.json:
        facts = {
            "schema": 1, "file": args.file, "step": chosen.manifest.step, "tensors": tensors,
            "nbytes": nbytes, "left_out": left,
        }  # fmt: skip
        console.print_json(facts, indent=1)
        return 0
    console.print_text(
        f"{args.file}: {tensors} tensors of step {chosen.manifest.step}, "
        f"{console.format_bytes(nbytes)}"
    )
    if left:
        console.print_text(f"left out, since they are no tensors: {', '.join(left)}")
    return 0
