"""`ds-sdk schedule`: place a task graph on its devices and say how good that is.

By the end of one graph here, by the rate of a stream of them in `schedule_stream`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from random import Random
from typing import Final

from deepseek_core.cli.answer import print_json, print_lines, print_note
from deepseek_core.cli.gantt import gantt_body
from deepseek_core.cli.html import write_html
from deepseek_core.cli.outputs import check_writable
from deepseek_core.cli.schedule_rules import beside_rules
from deepseek_core.cli.table import print_text
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.runtime.instances import has_limits, read_instance, write_schedule
from deepseek_core.runtime.model_graphs import graph_of_problem
from deepseek_core.runtime.session import Session
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.rules import RULES, schedule_by
from deepseek_core.schedule.dag.schedule import Schedule
from deepseek_core.schedule.dag.solver import solve

SUMMARY: Final = "place a task graph on devices: makespan or rate, bound, gap, Gantt chart"
EXAMPLES: Final = """examples:
  ds-sdk schedule instance.json
  ds-sdk schedule instance.json --budget-ms 3000 --json plan.json --html plan.html
  ds-sdk schedule workflow.json --algorithm all
  ds-sdk schedule model.onnx --batch 16
  ds-sdk schedule instance.json --objective throughput --replicate
  ds-sdk schedule instance.json --check plan.json
  ds-sdk schedule instance.json --noise 0.3

INSTANCE is a task graph, a WfCommons workflow, or a model whose stages were calibrated."""

_BEST: Final = "best"
_ALL: Final = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `schedule`."""
    parser.add_argument("instance", metavar="INSTANCE", type=Path, help="a .json or model file")
    parser.add_argument(
        "--objective",
        choices=["makespan", "throughput"],
        default="makespan",
        help="the end of one graph, or the rate of a stream of them (default: %(default)s)",
    )
    parser.add_argument(
        "--replicate",
        action="store_true",
        help="for throughput: share tasks out, so that batches may take different routes",
    )
    parser.add_argument(
        "--budget-ms",
        type=_amount,
        metavar="N",
        help="time to search; the result depends on the machine's speed",
    )
    parser.add_argument(
        "--passes",
        type=_amount,
        metavar="N",
        help="search as long as so many list passes take; the same result each time (default: a "
        "quarter of a second or 24 of them, whichever is longer, but 15 s at most)",
    )
    parser.add_argument(
        "--algorithm",
        choices=[_BEST, *RULES, _ALL],
        default=_BEST,
        help="a published list rule, the search that goes on from them, or all side by side "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the search (default: 0)"
    )
    parser.add_argument(
        "--limits",
        choices=["respect", "ignore"],
        help="whether memory and colocation restrict the schedule (default: as the file says)",
    )
    parser.add_argument(
        "--batch", type=_amount, default=1, metavar="N", help="items in a batch, for a model"
    )
    parser.add_argument(
        "--check",
        type=Path,
        metavar="SCHEDULE",
        help="place nothing; say what is wrong with this schedule, or that it is valid",
    )
    parser.add_argument(
        "--noise",
        type=_amount,
        metavar="S",
        help="also say what it takes when run times scatter: standard deviation of log(time)",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the schedule; - prints it")
    parser.add_argument("--html", type=Path, metavar="OUT", help="write a page with a Gantt chart")


def run(args: argparse.Namespace) -> int:
    """Read, place, report."""
    check_writable(*(str(path) for path in (args.json, args.html) if path not in (None, Path("-"))))
    if args.objective == "throughput":
        from deepseek_core.cli.schedule_stream import run_stream

        return run_stream(args, _read)
    if args.replicate:
        raise ConfigError(
            "--replicate shares out a stream", remedy="add --objective throughput, or leave it out"
        )
    graph = _read(args)
    if args.check is not None:
        from deepseek_core.cli.schedule_check import check_schedule

        return check_schedule(graph, args.check, as_json=args.json == Path("-"))
    began_s = time.perf_counter()
    schedule = _schedule(graph, args)
    took_s = time.perf_counter() - began_s
    _report(graph, schedule, args, took_s)
    if args.html is not None:
        title, body = f"Schedule of {schedule.graph}", gantt_body(graph, schedule)
        write_html(args.html, title, body)
    return 0


def _report(graph: TaskGraph, schedule: Schedule, args: argparse.Namespace, took_s: float) -> None:
    content = schedule.to_json()
    if args.noise is not None:
        from deepseek_core.cli.schedule_noise import noise_text, under_noise

        content["noise"] = under_noise(graph, schedule, args.noise, args.seed)
    if args.json == Path("-"):
        print_json(content)
        return
    print_text(_text(graph, schedule, took_s))
    if args.noise is not None:
        print_lines(noise_text(content["noise"], schedule.makespan))
    if args.algorithm == _ALL:
        print_lines(f"\n{beside_rules(graph, schedule)}")
    if args.json is not None:
        write_schedule(args.json, content)


def _read(args: argparse.Namespace) -> TaskGraph:
    if args.instance.suffix.lower() != ".json":
        return _read_model(args.instance, int(args.batch))
    graph = read_instance(args.instance, limits=args.limits)
    if args.limits is None and not has_limits(graph):
        _note_ignored(args.instance)
    return graph


def _note_ignored(path: Path) -> None:
    """No silent relaxation: say so where a file holds limits that it does not enforce."""
    if has_limits(read_instance(path, limits="respect")):
        print_note(
            "note: memory and colocation of this file are not enforced; --limits respect does"
        )


def _read_model(path: Path, batch: int) -> TaskGraph:
    with Session() as session:
        graph = session.load(path)
        with session.plan(graph, latency="realtime", batch=max(1, batch)) as plan:
            return graph_of_problem(plan.problem, name=path.name)


def _schedule(graph: TaskGraph, args: argparse.Namespace) -> Schedule:
    if args.algorithm in RULES:
        return schedule_by(args.algorithm, graph)
    seconds = None if args.budget_ms is None else args.budget_ms / 1e3
    rng = Random(args.seed)  # noqa: S311 - a search, not a secret
    return solve(graph, passes=args.passes, seconds=seconds, clock=time.perf_counter, rng=rng)


def _text(graph: TaskGraph, schedule: Schedule, took_s: float) -> str:
    size = f"{len(graph.tasks)} tasks on {len(graph.devices)} devices"
    bound = f"{schedule.lower_bound:.9g} {schedule.unit}"
    return "\n".join(
        [
            f"graph:     {schedule.graph}, {size}",
            f"makespan:  {schedule.makespan:.9g} {schedule.unit}",
            f"bound:     {bound} (gap at most {schedule.gap:.2%})",
            f"algorithm: {schedule.algorithm}, {schedule.passes:.0f} list passes",
            f"time:      {took_s * 1e3:.1f} ms",
        ]
    )


def _amount(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of 0 or more, got {text!r}")
    return value
