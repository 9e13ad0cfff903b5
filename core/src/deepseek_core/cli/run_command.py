"""`ds-sdk run`: a model on data, every stage where it costs least."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from deepseek_core.cli.answer import print_json
from deepseek_core.cli.batches import Batches, batches_of
from deepseek_core.cli.inputs import constants_of, read_arrays
from deepseek_core.cli.model_options import (
    add_model_arguments,
    add_plan_arguments,
    deadline_verdict,
    load_model,
    needs_calibration,
    open_session,
    plan_of,
)
from deepseek_core.cli.outputs import (
    check_writable,
    described,
    joined,
    names_of,
    write_npz,
)
from deepseek_core.cli.pictures.arguments import add_picture_arguments
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.cli.table import print_text
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.units import counted, format_seconds
from deepseek_core.discovery.strangers import text_of
from deepseek_core.runtime.plan import Plan
from deepseek_core.runtime.result import Result

SUMMARY: Final = "run a model on data and say what ran where"
EXAMPLES: Final = """examples:
  ds-sdk run model.onnx --input pictures/
  ds-sdk run model.onnx --input data.npz --output results.npz --explain
  ds-sdk run model.onnx --input data.npz --pin matching=fpga --trace trace.json"""

_MOST_OUTPUTS: Final = 20  # in the text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `run`."""
    add_model_arguments(parser)
    add_plan_arguments(parser)
    add_picture_arguments(parser)
    parser.add_argument("-o", "--output", metavar="FILE.npz", help="write the outputs there")
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
    check_writable(args.output, args.trace, args.html, read=[args.model, *args.input])
    constants, arrays = constants_of(args, read_arrays(args.input))
    with open_session(args) as session:
        graph = load_model(session, args, constants, arrays)
        batches = batches_of(graph, args, arrays)
        items = graph.check_inputs(batches.first())
        args.batch = max(items, 1)
        plan = plan_of(session, graph, args, strict=args.strict)
        if items and not args.no_calibrate and needs_calibration(plan):
            plan.close()
            with ProgressReporter("calibrating", quiet=args.json) as progress:
                session.calibrate(
                    graph, inputs=batches.first(), latency=args.latency, rounds=5, progress=progress
                )
            plan = plan_of(session, graph, args, strict=args.strict)
        with plan:
            report = _execute(plan, batches, args)
            if args.explain and not args.json:
                print_text(plan.explain())
            if args.json:
                print_json(report | {"plan": plan.to_json()})
            else:
                print_text(_text(report, plan))
            _write_pages(plan, args)
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
    if args.output:
        write_npz(Path(args.output), outputs | names_of(batches.files, outputs))
    return _report(plan, results, outputs, seconds) | _pictures(batches, seconds)


def _write_pages(plan: Plan, args: argparse.Namespace) -> None:
    """Trace and page, when results and report are safe already."""
    if args.trace:
        plan.write_trace(args.trace)
    if args.html:
        from deepseek_core.cli.run_page import write_run_page

        write_run_page(Path(args.html), plan)


def _pictures(batches: Batches, seconds: float) -> dict[str, Any]:
    """What was done to pictures, which were given to the model in which order, which were not."""
    if batches.pictures is None:
        return {}
    return {
        "items": len(batches.files),
        "items_per_s": len(batches.files) / seconds,
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


def _first_line(report: dict[str, Any], *, is_batched: bool) -> str:
    """How much was run, and how fast: pictures, items of a batch axis, or calls."""
    noun = "picture" if "pictures" in report else "item" if is_batched else "call"
    calls = "batch" if report["batches"] == 1 else "batches"
    where = f" in {report['batches']:,} {calls}" if is_batched else ""
    return (
        f"{counted(report['items'], noun)} in {format_seconds(report['seconds'])}: "
        f"{report['items_per_s']:,.1f} {noun}s/s{where}"
    )


def _outputs(outputs: Mapping[str, Any]) -> list[str]:
    rows = [f"  output {text_of(n)}: {o['dtype']} {o['shape']}" for n, o in outputs.items()]
    more = len(rows) - _MOST_OUTPUTS
    return rows if more <= 0 else [*rows[:_MOST_OUTPUTS], f"  and {more:,} more (--json has all)"]


def _text(report: dict[str, Any], plan: Plan) -> str:
    lines = [_first_line(report, is_batched=plan.graph.is_batched)]
    if not plan.graph.is_batched:
        lines.append(f"  {plan.graph.batch_text}")
    lines += [f"  {stage} ran on {', '.join(d)}" for stage, d in report["ran_on"].items()]
    lines += [f"  why: {why}" for why in plan.reasons()]
    lines += [f"  input: {line}" for line in report.get("pictures", {}).get("lines", ())]
    lines += [f"  not run: {file}: {why}" for file, why in report.get("failed", {}).items()]
    lines += _outputs(report["outputs"])
    verdict = deadline_verdict(plan.request.deadline_s, plan.meets_deadline)
    lines += [f"  {line}" for line in verdict]
    lines += [f"  note: {notice}" for notice in plan.notices]
    return "\n".join(lines)
