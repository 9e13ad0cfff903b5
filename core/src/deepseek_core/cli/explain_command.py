"""`ds-sdk explain`: the plan with its reasons, after a trial run: estimates beside measurements."""

from __future__ import annotations

import argparse
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from deepseek_core.cli.answer import print_json
from deepseek_core.cli.batches import trial_batches, trial_of
from deepseek_core.cli.inputs import constants_of, read_arrays
from deepseek_core.cli.model_options import (
    add_model_arguments,
    add_plan_arguments,
    add_shape_argument,
    deadline_verdict,
    load_model,
    open_session,
    plan_of,
    sizes_of,
)
from deepseek_core.cli.outputs import check_writable
from deepseek_core.cli.pictures.arguments import add_picture_arguments
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.cli.run_page import write_run_page
from deepseek_core.cli.table import print_text

SUMMARY: Final = "measure, plan and run a model once, then say why it runs where it runs"
EXAMPLES: Final = """examples:
  ds-sdk explain model.onnx --batch 16
  ds-sdk explain model.onnx --input data.npz --html plan.html
  ds-sdk explain model.onnx --input data.npz --latency realtime --json"""

_BATCHES: Final = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `explain`."""
    add_model_arguments(parser)
    add_plan_arguments(parser)
    add_shape_argument(parser)
    add_picture_arguments(parser)
    parser.add_argument("--html", metavar="FILE", help="write a page: reasons, Gantt, queues")


def run(args: argparse.Namespace) -> int:
    """Calibrate, plan, run a few batches, explain."""
    check_writable(args.html, read=[args.model, *args.input])
    constants, arrays = constants_of(args, read_arrays(args.input))
    sizes = sizes_of(args)
    with open_session(args) as session:
        graph = load_model(session, args, constants, arrays)
        batches = trial_batches(graph, args, arrays, sizes, most=_BATCHES)
        args.batch = max(graph.check_inputs(batches[0]), 1)
        plan_of(session, graph, args).close()  # what can't be planned is told before the work
        with (
            trial_of(args, arrays),
            ProgressReporter("calibrating", quiet=args.json) as progress,
        ):
            session.calibrate(graph, inputs=batches[0], latency=args.latency, progress=progress)
        with plan_of(session, graph, args) as plan:
            plan.warmup()
            for _ in plan.stream(islice(cycle(batches), _BATCHES)):
                pass
            facts = plan.to_json()
            verdict = deadline_verdict(facts["deadline_s"], facts["meets_deadline"])
            if args.json:
                print_json(facts)
            else:
                print_text("\n".join([plan.explain(), *verdict]))
            if args.html:
                write_run_page(Path(args.html), plan)
    return 0
