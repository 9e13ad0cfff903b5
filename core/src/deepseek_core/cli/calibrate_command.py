"""`ds-sdk calibrate`: measure each stage on each device, for plans to come."""

from __future__ import annotations

import argparse
from typing import Final

import attrs

from deepseek_core.cli.answer import print_json
from deepseek_core.cli.batches import trial_batches, trial_of
from deepseek_core.cli.inputs import constants_of, read_arrays
from deepseek_core.cli.model_options import (
    add_model_arguments,
    add_shape_argument,
    load_model,
    open_session,
    positive,
    sizes_of,
)
from deepseek_core.cli.pictures.arguments import add_picture_arguments
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.cli.table import print_table
from deepseek_core.contracts.units import format_seconds
from deepseek_core.runtime.calibration import Measurement

SUMMARY: Final = "measure each stage on each device; later plans know the costs"
EXAMPLES: Final = """examples:
  ds-sdk calibrate model.onnx --batch 16
  ds-sdk calibrate model.onnx --input data.npz --latency realtime --rounds 30"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `calibrate`."""
    add_model_arguments(parser)
    add_shape_argument(parser)
    add_picture_arguments(parser)
    parser.add_argument(
        "--rounds",
        type=positive,
        default=9,
        metavar="N",
        help="measurements of each (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print the medians."""
    constants, arrays = constants_of(args, read_arrays(args.input))
    sizes = sizes_of(args)
    with open_session(args) as session:
        graph = load_model(session, args, constants, arrays)
        (inputs,) = trial_batches(graph, args, arrays, sizes, most=1)
        with (
            trial_of(args, arrays),
            ProgressReporter("calibrating", quiet=args.json) as progress,
        ):
            found = session.calibrate(
                graph,
                inputs=inputs,
                latency=args.latency,
                batch=args.batch,
                rounds=args.rounds,
                progress=progress,
            )
    if args.json:
        print_json({"measurements": [attrs.asdict(row) for row in found]})
        return 0
    print_table(("stage", "device", "batch", "time"), [_cells(row) for row in found])
    return 0


def _cells(row: Measurement) -> tuple[str, ...]:
    cost = format_seconds(row.seconds) if row.seconds is not None else f"failed: {row.error}"
    return row.stage, row.device_id, str(row.batch), cost
