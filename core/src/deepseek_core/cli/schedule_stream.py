"""`ds-sdk schedule --objective throughput`: where a stream of batches runs for the highest rate."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from deepseek_core.cli.answer import print_json
from deepseek_core.cli.table import print_text
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.files import whole_file
from deepseek_core.runtime.session import Session
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.throughput.convert import stream_of
from deepseek_core.schedule.throughput.of_graph import stream_of_graph
from deepseek_core.schedule.throughput.placement import place_stream
from deepseek_core.schedule.throughput.problem import StreamPlan, StreamProblem

_MOST_ROUTES: Final = 5  # in the text
# They belong to a schedule of one graph in time: option -> what it is when not given.
_OF_ONE_GRAPH: Final = {
    "algorithm": "best",
    "budget_ms": None,
    "passes": None,
    "html": None,
    "check": None,
    "noise": None,
}


def run_stream(args: argparse.Namespace, read: Callable[[argparse.Namespace], TaskGraph]) -> int:
    """Read with `read` unless it is a model, place, report.

    Raises:
        ConfigError: an option that has no meaning for a stream.
    """
    for name, usual in _OF_ONE_GRAPH.items():
        if getattr(args, name) != usual:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"{option} does not go with --objective throughput", remedy="leave it out"
            )
    name, unit, problem = _problem(args, read)
    began_s = time.perf_counter()
    plan = place_stream(problem, replicate=args.replicate, seed=args.seed)
    took_s = time.perf_counter() - began_s
    content = _content(name, unit, plan)
    if args.json == Path("-"):
        print_json(content)
        return 0
    print_text(_text(content, problem, plan, took_s))
    if args.json is not None:
        with whole_file(args.json) as partial:
            partial.write_text(json.dumps(content) + "\n", encoding="utf-8")
    return 0


def _problem(
    args: argparse.Namespace, read: Callable[[argparse.Namespace], TaskGraph]
) -> tuple[str, str, StreamProblem]:
    """Name, unit of time, and the problem."""
    batch = max(1, int(args.batch))
    if args.instance.suffix.lower() == ".json":
        graph = read(args)
        return graph.name, graph.unit, stream_of_graph(graph, batch=batch)
    with Session() as session:
        model = session.load(args.instance)
        with session.plan(model, latency="offline", batch=batch) as plan:
            return args.instance.name, "s", stream_of(plan.problem, batch=batch)


def _content(name: str, unit: str, plan: StreamPlan) -> dict[str, Any]:
    """What `--json` writes."""
    return {
        "graph": name,
        "unit": unit,
        "objective": "throughput",
        "algorithm": plan.rule,
        "period": plan.period_s,
        "items_per_unit": plan.items_per_s,
        "batch": plan.batch,
        "lower_bound": plan.lower_bound_s,
        "gap": plan.gap if plan.lower_bound_s > 0 else None,
        "optimal": plan.optimal,
        "routes": [{"share": r.share, "devices": dict(r.devices)} for r in plan.routes],
        "loads": dict(plan.loads_s),
        "host_load": plan.host_load_s,
        "max_in_flight": plan.max_in_flight,
        "queue_bounds": dict(plan.queue_bounds),
        "rejected": dict(plan.alternatives),
    }


def _text(content: dict[str, Any], problem: StreamProblem, plan: StreamPlan, took_s: float) -> str:
    unit = content["unit"]
    size = f"{len(problem.stages)} tasks on {len(problem.devices)} devices"
    bound = f"{plan.lower_bound_s:.9g} {unit}"
    gap = f" (gap at most {plan.gap:.2%})" if plan.lower_bound_s > 0 else ""
    loads_s = [*plan.loads_s.items(), ("the host's cores", plan.host_load_s)]
    ranked = sorted(loads_s, key=lambda row: -row[1])
    loads = ", ".join(f"{device} {load / plan.period_s:.0%}" for device, load in ranked if load)
    lines = [
        f"graph:     {content['graph']}, {size}",
        f"period:    {plan.period_s:.9g} {unit} a batch, {plan.items_per_s:.6g} items per {unit}",
        f"bound:     {bound}{gap}",
        f"algorithm: {plan.rule}",
        f"busy:      {loads}",
        f"in flight: {plan.max_in_flight} batches keep the busiest device at work",
        f"time:      {took_s * 1e3:.1f} ms",
    ]
    if len(plan.routes) > 1:
        shares = [f"{route.share:.0%}" for route in plan.routes[:_MOST_ROUTES]]
        more = ", ..." if len(plan.routes) > _MOST_ROUTES else ""
        lines.insert(
            4, f"routes:    {len(plan.routes)}, with {', '.join(shares)}{more} of the batches"
        )
    return "\n".join(lines)
