"""`ds-sdk explain`: the plan with its reasons, after a trial run: estimates beside measurements."""

from __future__ import annotations

import argparse
import json
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from deepseek_core.cli.inputs import read_inputs
from deepseek_core.cli.model_options import (
    add_model_arguments,
    bind_fixed,
    open_session,
    plan_of,
    split,
)
from deepseek_core.cli.outputs import check_writable
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.cli.run_page import write_run_page
from deepseek_core.runtime.calibration import synthetic_inputs

NAME: Final = "explain"
SUMMARY: Final = "measure, plan and run a model once, then say why it runs where it runs"
EXAMPLES: Final = """examples:
  ds-sdk explain model.onnx --batch 16
  ds-sdk explain model.onnx --input data.npz --html plan.html
  ds-sdk explain model.onnx --input data.npz --latency realtime --json"""

_BATCHES: Final = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `explain`."""
    add_model_arguments(parser)
    parser.add_argument("--html", metavar="FILE", help="write a page: reasons, Gantt, queues")


def run(args: argparse.Namespace) -> int:
    """Calibrate, plan, run a few batches, explain."""
    check_writable(args.html)
    with open_session(args) as session:
        graph = session.load(args.model)
        graph, arrays = bind_fixed(graph, read_inputs(args.input, graph))
        arrays = arrays or synthetic_inputs(graph.inputs, args.batch)
        batches = list(split(graph, arrays, args.batch))
        args.batch = graph.check_inputs(batches[0])
        with ProgressReporter("calibrating", quiet=args.json) as progress:
            session.calibrate(graph, inputs=batches[0], latency=args.latency, progress=progress)
        with plan_of(session, graph, args) as plan:
            plan.warmup()
            for _ in plan.stream(islice(cycle(batches), _BATCHES)):
                pass
            print(json.dumps(plan.to_json()) if args.json else plan.explain())
            if args.html:
                write_run_page(Path(args.html), plan)
    return 0
