"""`ds-sdk trt check`: does TensorRT take a model?"""

from __future__ import annotations

import argparse
from typing import Any, Final

from deepseek_trt.backends.find import NAMES
from deepseek_trt.building.ask import ask_parser
from deepseek_trt.checking import check
from deepseek_trt.cli.common import (
    add_compute,
    add_json,
    add_model,
    problem_lines,
    profiles_of,
    targets_of,
    tell,
)
from deepseek_trt.problem import Problem, errors_of, printable

EXAMPLES: Final = """examples:
  ds-sdk trt check model.onnx
  ds-sdk trt check model.onnx --compute 7.5,8.6 --profile x=1x3x224x224:8x..:32x..
  ds-sdk trt check model.onnx --backend tensorrt_rtx --json

Our rules need no TensorRT. They also refuse what the parser takes and computes otherwise, such as
UINT8 quantization. exit codes: 0 it is taken, 1 it is refused, 2 it can't be read"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model(parser)
    add_compute(parser, required=False)
    parser.add_argument("--backend", choices=NAMES, help="ask this one's parser as well")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check the model; 1 when it is refused."""
    profiles, targets = profiles_of(args), targets_of(args)
    flavor = args.backend or "tensorrt_rtx"
    problems = check(args.model, targets=targets, profiles=profiles, flavor=flavor).problems
    said: dict[str, Any] = {}
    if args.backend:
        asked = ask_parser(args.model, args.backend)
        said = {"backend": asked.library, "accepted": asked.accepted, "log": asked.log}
        problems += asked.problems
    accepted = not errors_of(problems) and said.get("accepted", True)
    facts = {"accepted": accepted, "problems": [p.to_json() for p in problems], "parser": said}
    tell(facts, _text(args.model, problems, said, accepted), as_json=args.json)
    return 0 if accepted else 1


def _text(model: str, problems: tuple[Problem, ...], said: dict[str, Any], accepted: bool) -> str:
    lines = [problem_lines(problems)] if problems else []
    if said:
        answer = "takes" if said["accepted"] else "does not take"
        lines.append(f"the parser of {said['backend']} {answer} the model")
    wrong = len(errors_of(problems))
    found = "" if accepted else f": {wrong} error{'' if wrong == 1 else 's'}"
    lines.append(f"{printable(model)} is {'taken' if accepted else 'refused'}{found}")
    return "\n".join(lines)
