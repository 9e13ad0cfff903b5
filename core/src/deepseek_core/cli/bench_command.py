"""`ds-sdk bench`: each placement and each single device side by side."""

from __future__ import annotations

import argparse
from typing import Any, Final

import attrs

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
    positive,
    sizes_of,
)
from deepseek_core.cli.pictures.arguments import add_picture_arguments
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.cli.table import print_text
from deepseek_core.contracts.graph import Graph
from deepseek_core.runtime.session import Session

SUMMARY: Final = "measure every placement and every single device side by side"
EXAMPLES: Final = """examples:
  ds-sdk bench model.onnx --input data.npz
  ds-sdk bench model.onnx --batch 16 --batches 40 --rounds 7 --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `bench`."""
    add_model_arguments(parser)
    add_plan_arguments(parser)
    add_shape_argument(parser)
    add_picture_arguments(parser)
    parser.add_argument(
        "--batches",
        type=positive,
        default=20,
        metavar="N",
        help="batches in one round (default: %(default)s)",
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        default=5,
        metavar="N",
        help="rounds; the median counts (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Calibrate, then measure all placements in turn."""
    constants, arrays = constants_of(args, read_arrays(args.input))
    sizes = sizes_of(args)
    with open_session(args) as session:
        graph = load_model(session, args, constants, arrays)
        found = trial_batches(graph, args, arrays, sizes, most=args.batches)
        batches = _repeat(found, args.batches)
        with trial_of(args, arrays):
            report = _measure(session, graph, batches, args)
    if args.json:
        print_json(report)
    else:
        print_text(_text(report))
    return 0


def _repeat(batches: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [batches[index % len(batches)] for index in range(count)]


def _measure(
    session: Session, graph: Graph, batches: list[dict[str, Any]], args: argparse.Namespace
) -> dict[str, Any]:
    args.batch = max(graph.check_inputs(batches[0]), 1)
    plan_of(session, graph, args).close()  # what can't be planned is told before the work
    with ProgressReporter("calibrating", quiet=args.json) as progress:
        session.calibrate(graph, inputs=batches[0], latency=args.latency, progress=progress)
    chosen = plan_of(session, graph, args)
    with ProgressReporter("measuring", quiet=args.json) as progress:
        found = session.compare(chosen, batches, rounds=args.rounds, progress=progress)
    return {
        "rows": [attrs.asdict(row) for row in found.rows],
        "single_device_refusals": dict(found.refusals),
        "failures": dict(found.failures),
        "best_over_chosen": max(r.items_per_s for r in found.rows) / found.chosen.items_per_s,
        "plan": chosen.to_json(),
    }


def _text(report: dict[str, Any]) -> str:
    rows = report["rows"]
    lines = [f"{'items/s':>10}  {'x chosen':>8}  placement"]
    for row in sorted(rows, key=lambda r: -float(r["items_per_s"])):
        where = " + ".join(f"{s} on {d}" for s, d in row["placement"].items())
        mark = "  <- chosen" if row["label"] == "chosen" else ""
        ratio = row["items_per_s"] / rows[0]["items_per_s"]
        lines.append(f"{row['items_per_s']:>10.1f}  {ratio:>8.2f}  {where}{mark}")
    for device, reason in report["single_device_refusals"].items():
        lines.append(f"{'-':>10}  {'-':>8}  {device} alone: refused, {reason}")
    for label, reason in report["failures"].items():
        lines.append(f"{'-':>10}  {'-':>8}  {label}: failed, {reason}")
    plan = report["plan"]
    lines += [plan["summary"], *deadline_verdict(plan["deadline_s"], plan["meets_deadline"])]
    return "\n".join(lines)
