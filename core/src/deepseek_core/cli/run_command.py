"""`ds-sdk run`: a model on data, every stage where it costs least."""

from __future__ import annotations

import argparse
import json
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from deepseek_core.cli.inputs import read_inputs
from deepseek_core.cli.model_options import (
    add_model_arguments,
    bind_fixed,
    deadline_verdict,
    needs_calibration,
    open_session,
    plan_of,
    split,
)
from deepseek_core.cli.outputs import check_writable
from deepseek_core.cli.progress import ProgressReporter
from deepseek_core.cli.run_page import write_run_page
from deepseek_core.contracts.errors import ConfigError, TensorMismatch
from deepseek_core.contracts.files import whole_file
from deepseek_core.contracts.graph import Array, Graph
from deepseek_core.contracts.tensor import BATCH
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
    with open_session(args) as session:
        graph = session.load(args.model)
        graph, arrays = bind_fixed(graph, read_inputs(args.input, graph))
        batches = list(split(graph, arrays, args.batch))
        if not batches:
            raise TensorMismatch("the inputs hold no items", remedy="pass at least one")
        args.batch = graph.check_inputs(batches[0])
        plan = plan_of(session, graph, args, strict=args.strict)
        if not args.no_calibrate and needs_calibration(plan):
            with ProgressReporter("calibrating", quiet=args.json) as progress:
                session.calibrate(
                    graph, inputs=batches[0], latency=args.latency, rounds=5, progress=progress
                )
            plan = plan_of(session, graph, args, strict=args.strict)
        with plan:
            report = _execute(plan, batches, args)
    print(json.dumps(report) if args.json else _text(report))
    return 0


def _execute(
    plan: Plan, batches: list[dict[str, Array]], args: argparse.Namespace
) -> dict[str, Any]:
    plan.warmup()
    results: list[Result] = []
    start_s = time.perf_counter()
    with ProgressReporter("running", quiet=args.json) as progress:
        for result in plan.stream(batches):
            results.append(result)
            progress(len(results), len(batches), "batches")
    seconds = time.perf_counter() - start_s
    outputs = _joined(plan.graph, results)
    if args.output:
        _write_npz(Path(args.output), outputs)
    if args.trace:
        plan.write_trace(args.trace)
    if args.html:
        write_run_page(Path(args.html), plan)
    if args.explain and not args.json:
        print(plan.explain())
    return _report(plan, results, outputs, seconds)


def _report(
    plan: Plan, results: list[Result], outputs: Mapping[str, Array], seconds: float
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
        "outputs": {n: {"dtype": str(a.dtype), "shape": list(a.shape)} for n, a in outputs.items()},
        "plan": plan.to_json(),
    }


def _text(report: dict[str, Any]) -> str:
    lines = [
        f"{report['items']} items in {report['seconds']:.3f} s: "
        f"{report['items_per_s']:.1f} items/s in {report['batches']} batches"
    ]
    lines += [f"  {stage} ran on {', '.join(d)}" for stage, d in report["ran_on"].items()]
    lines += [f"  why: {why}" for why in report["plan"]["why"]]
    lines += [
        f"  output {name}: {o['dtype']} {o['shape']}" for name, o in report["outputs"].items()
    ]
    lines += [f"  {verdict}" for verdict in deadline_verdict(report["plan"])]
    lines += [f"  note: {notice}" for notice in report["plan"]["notices"]]
    return "\n".join(lines)


def _joined(graph: Graph, results: list[Result]) -> dict[str, Array]:
    """Outputs of all batches as one; what has no batch dimension is taken from the first."""
    import numpy as np

    return {
        spec.name: np.concatenate([r[spec.name] for r in results])
        if spec.shape[:1] == (BATCH,)
        else results[0][spec.name]
        for spec in graph.output_specs
    }


def _write_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write all or nothing."""
    import numpy as np

    # By hand: np.savez has parameters of its own, whose names an output may have.
    with whole_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, array in arrays.items():
            plain = array.astype(str) if array.dtype.hasobject else array
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, plain, allow_pickle=False)
