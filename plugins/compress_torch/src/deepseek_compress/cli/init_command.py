"""`ds-sdk compress init`: a recipe to begin with, in which every line is explained."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from deepseek_core import console, errors

EXAMPLES: Final = """examples:
  ds-sdk compress init recipe.toml
  ds-sdk compress init recipe.toml --model model.onnx      a file: no training, int8 for targets"""

_TORCH: Final = """\
# What to compress, for whom, and what it may cost.  ds-sdk compress plan recipe.toml

[model]
entry = "my_model.py:trained"        # a function that returns the trained torch.nn.Module
# weights = "weights.pt"             # a file that the function is given
input = [1, 3, 224, 224]             # shape of its input, the batch first

[data]
train = "my_data.py:train"           # a function that returns (x, y), a Dataset, or batches
test = "my_data.py:test"             # for the verdict alone; steps choose by a tenth of train
calibration_samples = 512            # of the training samples, for ranges of int8
# metric = "my_data.py:recall"       # (outputs, labels) to a figure; accuracy without it

[[step]]
use = "prune"                        # ds-sdk list-plugins --kind compressor
score = "cis"
round_to = 8

[[step]]
use = "distill"                      # the original teaches the pruned one
epochs = 4

[[lower]]
use = "ort_x86"                      # int8 as ONNX Runtime runs it fast on x86
# max_error = 0.1                    # outputs nearer to float: the most sensitive layers stay so

[budget]
parameters = "/3.7"                  # of the original; or an amount, as "0.7M"
accuracy_drop = "<= 1.0 pt"          # points below the original
# latency = { device = "cpu", p99_ms = 8.0, batch = 1, threads = 1 }

[run]
seed = 0
threads = 1                          # equal seeds and threads give equal files
"""

_ONNX: Final = """\
# A trained file, made small for its targets; needs no torch.

[model]
path = {path}

[data]
calibration = "my_data.py:train"     # real samples: 256 or more
test = "my_data.py:test"             # for the verdict

[[lower]]
use = "ort_x86"
# max_error = 0.1                    # outputs nearer to float: the most sensitive layers stay so

[budget]
nbytes = "/3"
accuracy_drop = "<= 1.0 pt"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help="the file to write")
    parser.add_argument("--model", metavar="FILE", help="an ONNX file to begin with")


def run(args: argparse.Namespace) -> int:
    """Write the file; one that is there stays."""
    if args.recipe.exists():
        raise errors.ConfigError(f"{args.recipe} is there already", remedy="choose another name")
    console.check_writable(args.recipe)
    from json import dumps

    text = _TORCH if args.model is None else _ONNX.format(path=dumps(args.model))
    args.recipe.write_text(text, encoding="utf-8")
    console.print_lines(f"wrote {args.recipe}; next: ds-sdk compress plan {args.recipe}")
    return 0
