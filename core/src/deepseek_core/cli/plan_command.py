"""`ds-sdk plan`: where each stage of a model would run, and why."""

from __future__ import annotations

import argparse
import json
from typing import Final

from deepseek_core.cli.inputs import read_inputs
from deepseek_core.cli.model_options import (
    add_model_arguments,
    bind_fixed,
    deadline_verdict,
    open_session,
    plan_of,
)

NAME: Final = "plan"
SUMMARY: Final = "show where each stage would run, what each device would cost, and why"
EXAMPLES: Final = """examples:
  ds-sdk plan model.onnx
  ds-sdk plan model.onnx --latency realtime --batch 1 --deadline-ms 20
  ds-sdk plan model.onnx --input gallery.npz --pin matching=fpga --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `plan`."""
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Plan without running anything."""
    with open_session(args) as session:
        graph = session.load(args.model)
        graph, _ = bind_fixed(graph, read_inputs(args.input, graph))
        with plan_of(session, graph, args) as plan:
            if args.json:
                print(json.dumps(plan.to_json()))
                return 0
            print("\n".join([plan.explain(), *deadline_verdict(plan.to_json())]))
    return 0
