"""CP-SAT on task graphs, for optima and beside the solver; needs `pip install ortools`."""

from __future__ import annotations

import math

from deepseek_core.schedule.dag.compiled import compile_graph
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.rules import heft


def cp_sat(graph: TaskGraph, seconds: float) -> tuple[float, bool]:
    """Makespan and whether it is proven, in steps of a millionth of HEFT's."""
    from ortools.sat.python import cp_model  # type: ignore[import-not-found]

    horizon = sum(max(c for c in t.cost.values() if c is not None) for t in graph.tasks)
    horizon += sum(_slowest(graph, e.nbytes) for e in graph.edges)
    step = heft(compile_graph(graph)).makespan / 1e6
    model = cp_model.CpModel()
    limit = int(horizon / step) + len(graph.tasks) + 1
    start = {t.id: model.new_int_var(0, limit, "") for t in graph.tasks}
    end = {t.id: model.new_int_var(0, limit, "") for t in graph.tasks}
    on = {}
    for device in graph.devices:
        lane = []
        for t in graph.tasks:
            cost = t.cost.get(device.type)
            if cost is None:
                continue
            here = on[t.id, device.id] = model.new_bool_var("")
            length = round(cost / step)
            lane.append(model.new_optional_fixed_size_interval_var(start[t.id], length, here, ""))
            model.add(end[t.id] == start[t.id] + length).only_enforce_if(here)
        model.add_no_overlap(lane)
    for t in graph.tasks:
        model.add_exactly_one(on[t.id, d.id] for d in graph.devices if (t.id, d.id) in on)
    for source, target, nbytes in graph.edges:
        model.add(start[target] >= end[source])
        for a in graph.devices:
            for b in graph.devices:
                delay = round(graph.transfer(nbytes, a.mem, b.mem) / step)
                if delay and (source, a.id) in on and (target, b.id) in on:
                    both = [on[source, a.id], on[target, b.id]]
                    model.add(start[target] >= end[source] + delay).only_enforce_if(both)
    makespan = model.new_int_var(0, limit, "")
    model.add_max_equality(makespan, list(end.values()))
    model.minimize(makespan)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = 1
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return math.inf, False
    return solver.objective_value * step, status == cp_model.OPTIMAL


def _slowest(graph: TaskGraph, nbytes: float) -> float:
    nodes = range(len(graph.bandwidth))
    return max(graph.transfer(nbytes, a, b) for a in nodes for b in nodes)
