"""`ds-sdk calibrate`: measure each stage on each device, for plans to come."""

from __future__ import annotations

import argparse
import json
from typing import Final

import attrs

from deepseek_core.cli.inputs import read_inputs
from deepseek_core.cli.model_options import (
    add_model_arguments,
    bind_fixed,
    open_session,
    positive,
    split,
)
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.contracts.units import format_seconds

NAME: Final = "calibrate"
SUMMARY: Final = "measure each stage on each device; later plans know the costs"
EXAMPLES: Final = """examples:
  ds-sdk calibrate model.onnx --batch 16
  ds-sdk calibrate model.onnx --input data.npz --latency realtime --rounds 30"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `calibrate`."""
    add_model_arguments(parser)
    parser.add_argument(
        "--rounds",
        type=positive,
        default=9,
        metavar="N",
        help="measurements of each (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print the medians."""
    with open_session(args) as session:
        graph = session.load(args.model)
        graph, arrays = bind_fixed(graph, read_inputs(args.input, graph))
        inputs = next(split(graph, arrays, args.batch)) if arrays else None
        with ProgressReporter("calibrating", quiet=args.json) as progress:
            found = session.calibrate(
                graph,
                inputs=inputs,
                latency=args.latency,
                batch=args.batch,
                rounds=args.rounds,
                progress=progress,
            )
    if args.json:
        print(json.dumps({"measurements": [attrs.asdict(row) for row in found]}))
        return 0
    for row in found:
        cost = format_seconds(row.seconds) if row.seconds is not None else f"failed: {row.error}"
        print(f"{row.stage:<16} {row.device_id:<20} batch {row.batch:<5} {cost}")
    return 0
