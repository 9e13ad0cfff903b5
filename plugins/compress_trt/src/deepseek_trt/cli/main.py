"""`ds-sdk trt COMMAND ...`: its commands, of which one alone is imported and run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepseek_core import console

# name -> (module of this package, one line for --help, which imports none of them)
COMMANDS: Final = {
    "check": ("check_command", "does TensorRT take a model? needs no TensorRT"),
    "build": ("build_command", "build an engine for the GPUs that you name"),
    "cache": ("cache_command", "list the engines that are kept, or remove them"),
}
_EXAMPLES: Final = """examples:
  ds-sdk trt check model.onnx                                    rules alone, nothing is built
  ds-sdk trt check model.onnx --backend tensorrt_rtx             NVIDIA's parser is asked, too
  ds-sdk trt build model.onnx -o engines --compute 8.6,8.9       one engine for two kinds of GPU
  ds-sdk trt build model.onnx -o engines --compute 8.6 --profile x=1x3x224x224:8x..:32x..
  ds-sdk trt cache list

exit codes: 0 done, 1 the model is refused or the build failed, 2 wrong arguments or input,
130 Ctrl-C"""


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk trt` with these words and return the exit code."""
    group = console.CommandGroup(
        name="trt",
        package="deepseek_trt.cli",
        commands=COMMANDS,
        summary="TensorRT engines out of ONNX models: checked, built, kept.",
        examples=_EXAMPLES,
    )
    return group.run(argv)
