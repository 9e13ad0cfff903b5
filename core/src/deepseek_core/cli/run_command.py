"""`ds-sdk run`: a model on data, every stage where it costs least."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from deepseek_core.cli.batches import Batches, batches_of
from deepseek_core.cli.inputs import constants_of, read_arrays
from deepseek_core.cli.model_options import (
    add_model_arguments,
    deadline_verdict,
    load_model,
    needs_calibration,
    open_session,
    plan_of,
)
from deepseek_core.cli.outputs import check_writable, described, joined, names_of, write_npz
from deepseek_core.cli.pictures.arguments import add_picture_arguments
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.units import counted
from deepseek_core.runtime.plan import Plan
from deepseek_core.runtime.result import Result

NAME: Final = "run"
SUMMARY: Final = "run a model on data and say what ran where"
EXAMPLES: Final = """examples:
  ds-sdk run model.onnx --input pictures/
  ds-sdk run model.onnx --input data.npz --output results.npz --explain
  ds-sdk run model.onnx --input data.npz --pin matching=fpga --trace trace.json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `run`."""
    add_model_arguments(parser)
    add_picture_arguments(parser)
    parser.add_argument("--output", metavar="FILE.npz", help="write the outputs there")
    parser.add_argument("--explain", action="store_true", help="print candidates and reasons")
    parser.add_argument("--html", metavar="FILE", help="write a page: reasons, Gantt, queues")
    parser.add_argument("--trace", metavar="FILE.json", help="write a trace for Perfetto")
    parser.add_argument(
        "--strict", action="store_true", help="fail instead of moving a stage when its device fails"
    )
    parser.add_argument(
        "--no-calibrate",
        action="store_true",
        help="do not measure devices that were never measured",
    )


def run(args: argparse.Namespace) -> int:
    """Run the model and print a report."""
    if not args.input:
        raise ConfigError("nothing to run on", remedy="pass --input FILE.npz or --input FOLDER")
    check_writable(args.output, args.trace, args.html)
    constants, arrays = constants_of(args, read_arrays(args.input))
    with open_session(args) as session:
        graph = load_model(session, args, constants, arrays)
        batches = batches_of(graph, args, arrays)
        args.batch = max(graph.check_inputs(batches.first()), 1)
        plan = plan_of(session, graph, args, strict=args.strict)
        if not args.no_calibrate and needs_calibration(plan):
            plan.close()
            with ProgressReporter("calibrating", quiet=args.json) as progress:
                session.calibrate(
                    graph, inputs=batches.first(), latency=args.latency, rounds=5, progress=progress
                )
            plan = plan_of(session, graph, args, strict=args.strict)
        with plan:
            report = _execute(plan, batches, args)
    print(json.dumps(report) if args.json else _text(report))
    return 0


def _execute(plan: Plan, batches: Batches, args: argparse.Namespace) -> dict[str, Any]:
    plan.warmup()
    results: list[Result] = []
    start_s = time.perf_counter()
    with ProgressReporter("running", quiet=args.json) as progress:
        for result in plan.stream(batches):
            results.append(result)
            progress(len(results), batches.calls, "batches")
    seconds = time.perf_counter() - start_s
    outputs = joined(plan.graph, results)
    # The results first: whatever else can't be written, they are kept.
    if args.output:
        write_npz(Path(args.output), outputs | names_of(batches.files, outputs))
    if args.trace:
        plan.write_trace(args.trace)
    if args.html:
        from deepseek_core.cli.run_page import write_run_page

        write_run_page(Path(args.html), plan)
    if args.explain and not args.json:
        print(plan.explain())
    report = _report(plan, results, outputs, seconds) | _pictures(batches)
    if args.json:
        return report | {"plan": plan.to_json()}
    return report | {
        "why": plan.reasons(),
        "deadline": deadline_verdict(plan),
        "notices": plan.notices,
    }


def _pictures(batches: Batches) -> dict[str, Any]:
    """What was done to pictures, which were given to the model in which order, which were not."""
    if batches.pictures is None:
        return {}
    return {
        "pictures": {**batches.pictures.facts, "lines": list(batches.pictures.lines)},
        "files": batches.files,
        "failed": batches.failed,
    }


def _report(
    plan: Plan, results: list[Result], outputs: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    items = sum(r.batch for r in results)
    return {
        "items": items,
        "batches": len(results),
        "seconds": seconds,
        "items_per_s": items / seconds,
        "ran_on": {
            stage: sorted({r.ran_on[stage] for r in results}) for stage in results[0].ran_on
        },
        "occupancy": plan.occupancy(),
        "outputs": {name: described(value) for name, value in outputs.items()},
    }


def _batches(count: int) -> str:
    return "1 batch" if count == 1 else f"{count:,} batches"


def _text(report: dict[str, Any]) -> str:
    lines = [
        f"{counted(report['items'], 'item')} in {report['seconds']:.3f} s: "
        f"{report['items_per_s']:.1f} items/s in {_batches(report['batches'])}"
    ]
    lines += [f"  {stage} ran on {', '.join(d)}" for stage, d in report["ran_on"].items()]
    lines += [f"  why: {why}" for why in report["why"]]
    lines += [f"  input: {line}" for line in report.get("pictures", {}).get("lines", ())]
    lines += [f"  not run: {file}: {why}" for file, why in report.get("failed", {}).items()]
    lines += [
        f"  output {name}: {o['dtype']} {o['shape']}" for name, o in report["outputs"].items()
    ]
    lines += [f"  {verdict}" for verdict in report["deadline"]]
    lines += [f"  note: {notice}" for notice in report["notices"]]
    return "\n".join(lines)
