"""`ds-sdk plan`: where each stage of a model would run, and why."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from deepseek_core.cli.answer import print_json, print_lines
from deepseek_core.cli.batches import batches_of, picture_folder
from deepseek_core.cli.first_screen import first_screen
from deepseek_core.cli.inputs import constants_of, read_arrays
from deepseek_core.cli.model_options import (
    add_model_arguments,
    add_plan_arguments,
    deadline_verdict,
    load_model,
    open_session,
    plan_of,
)
from deepseek_core.cli.outputs import check_writable
from deepseek_core.cli.pictures.arguments import add_picture_arguments
from deepseek_core.cli.table import print_text, terminal_width
from deepseek_core.contracts.graph import Graph

SUMMARY: Final = "show where each stage would run, how fast, how sure that is, and why"
EXAMPLES: Final = """examples:
  ds-sdk plan model.onnx
  ds-sdk plan model.onnx --verbose --html plan.html
  ds-sdk plan model.onnx --latency realtime --batch 1 --deadline-ms 20
  ds-sdk plan model.onnx --input gallery.npz --constant gallery --pin matching=fpga --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `plan`."""
    add_model_arguments(parser)
    add_plan_arguments(parser)
    add_picture_arguments(parser)
    parser.add_argument("--html", metavar="FILE", help="write a page: candidates, reasons")
    parser.add_argument(
        "--verbose", action="store_true", help="every candidate of every stage, with its range"
    )


def _are_all(graph: Graph, arrays: Mapping[str, Any]) -> bool:
    """Whether a batch could be run on these; a plan needs none."""
    return bool(arrays) and all(s.optional or s.name in arrays for s in graph.inputs)


def run(args: argparse.Namespace) -> int:
    """Plan without running anything."""
    check_writable(args.html, read=[args.model, *args.input])
    args.batch_given = args.batch
    constants, arrays = constants_of(args, read_arrays(args.input))
    with open_session(args) as session:
        graph = load_model(session, args, constants, arrays)
        args.given_all = picture_folder(args) is not None or _are_all(graph, arrays)
        if args.given_all:
            first = batches_of(graph, args, arrays).first()
            args.batch = max(graph.check_inputs(first), 1)
        with plan_of(session, graph, args) as plan:
            if args.html:
                from deepseek_core.cli.run_page import write_run_page

                write_run_page(Path(args.html), plan)
            if args.json:
                print_json(plan.to_json())
                return 0
            if args.verbose:
                verdict = deadline_verdict(plan.request.deadline_s, plan.meets_deadline)
                print_text("\n".join([plan.explain(), *verdict]))
            else:
                print_lines("\n".join(first_screen(plan, args, terminal_width())))
    return 0
