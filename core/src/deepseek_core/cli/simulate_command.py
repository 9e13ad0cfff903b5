"""`ds-sdk simulate`: what the online scheduler would make of a trace of arrivals."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core.cli.answer import print_json, print_lines
from deepseek_core.cli.table import print_table
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.contracts.units import format_seconds
from deepseek_core.runtime.traces import Trace, read_trace
from deepseek_core.schedule.online.rules import POLICIES, policy
from deepseek_core.schedule.online.simulator import ClassOutcome, Outcome, simulate

SUMMARY: Final = "replay a trace of arrivals through the online scheduler"
EXAMPLES: Final = """examples:
  ds-sdk simulate trace.json
  ds-sdk simulate trace.json --policy all --seed 7
  ds-sdk simulate long.jsonl --json
  ds-sdk simulate trace.json --html simulation.html

The format of a trace: sdk_docs/reference/trace_format.md"""

_HEADER: Final = (
    "policy", "class", "arrived", "on time", "late", "refused", "dropped", "p50", "p99", "items/s",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `simulate`."""
    add = parser.add_argument
    add("trace", metavar="TRACE", help="a .json or .jsonl trace of arrivals")
    add(
        "--policy",
        default="deepseek",
        choices=(*POLICIES, "all"),
        help="who schedules (default: %(default)s)",
    )
    add("--seed", type=int, default=0, metavar="N", help="of run times and random arrivals")
    add(
        "--sigma",
        type=float,
        metavar="S",
        help="scatter of log(actual / estimated time); default: that of each cost in the trace",
    )
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add("--html", metavar="OUT", help="write a page with latencies and backlog")


def run(args: argparse.Namespace) -> int:
    """Replay, print, write."""
    trace = read_trace(args.trace)
    names = tuple(POLICIES) if args.policy == "all" else (args.policy,)
    outcomes = {name: _replay(trace, name, args) for name in names}
    report = {
        "schema": 1,
        "trace": trace.name,
        "seed": args.seed,
        "policies": {name: as_json(outcome) for name, outcome in outcomes.items()},
    }
    if args.html:
        from deepseek_core.cli.simulate_page import write_page

        write_page(Path(args.html), report, outcomes)
    if args.json:
        print_json(report)
    else:
        print_table(_HEADER, [row for name, o in outcomes.items() for row in _rows(name, o)])
        _say_unfinished(outcomes)
    return 0


def _replay(trace: Trace, name: str, args: argparse.Namespace) -> Outcome:
    return simulate(
        trace.devices,
        trace.replay(args.seed),
        rules=policy(name),
        sigma=args.sigma,
        seed=args.seed,
        slower=trace.slower,
    )


def as_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome for scripts; times in seconds, None where nothing finished."""
    busy = outcome.busy_s.items()
    return {
        "seconds": outcome.seconds,
        "items_per_s": outcome.items_per_s,
        "events": outcome.events,
        "runs": outcome.runs,
        "unfinished": outcome.unfinished,
        "occupancy": {d: s / outcome.seconds if outcome.seconds else 0.0 for d, s in busy},
        **{latency.value: _class_json(row) for latency, row in outcome.classes.items()},
    }


def _class_json(row: ClassOutcome) -> dict[str, Any]:
    plain = attrs.asdict(row, filter=lambda field, _value: field.name != "latency_s")
    p50, p90, p99 = (None if math.isnan(q) else q for q in row.quantiles_s((0.5, 0.9, 0.99)))
    return plain | {
        "finished": row.finished,
        "on_time_share": row.on_time_share,
        "broken_share": row.broken_share,
        "p50_s": p50,
        "p90_s": p90,
        "p99_s": p99,
    }


def _rows(name: str, outcome: Outcome) -> list[tuple[str, ...]]:
    return [
        (
            name,
            latency.value,
            str(row.arrived),
            f"{row.on_time_share:.2%}",
            str(row.late),
            str(row.refused),
            str(row.dropped),
            *(format_seconds(q) for q in row.quantiles_s((0.5, 0.99))),
            f"{row.items / outcome.seconds:.1f}" if outcome.seconds else "-",
        )
        for latency, row in outcome.classes.items()
        if row.arrived
    ]


def _say_unfinished(outcomes: dict[str, Outcome]) -> None:
    for name, outcome in outcomes.items():
        failed = sum(row.failed for row in outcome.classes.values())
        if outcome.unfinished or failed:
            print_lines(f"{name}: {outcome.unfinished} tasks had no device left, {failed} failed")
        if outcome.classes[LatencyClass.REALTIME].broken_share > 0.01:
            share = outcome.classes[LatencyClass.REALTIME].broken_share
            print_lines(f"{name}: {share:.1%} of the accepted realtime tasks were late or dropped")
