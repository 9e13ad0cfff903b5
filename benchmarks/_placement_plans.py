"""Rows of `placement.py` about what `Session.plan` decides for one batch (realtime)."""

from __future__ import annotations

import itertools
import json
import math
import time
from pathlib import Path
from random import Random

from _placement_graphs import stage_problem, stage_problems
from _report import Report
from deepseek_core.schedule.of_problem import task_graph
from deepseek_core.schedule.placement import place
from deepseek_core.schedule.problem import Placement, Problem
from deepseek_core.schedule.value import Assignment, cost_s, makespan_s

BEST = Path(__file__).parent / "data" / "stage_graphs.json"
SMALL_GRAPHS = 2000


def plans(report: Report) -> None:
    """200 random graphs of 8 to 100 stages on 2 to 8 devices with links; 200 stages on 8."""
    stored = json.loads(BEST.read_text(encoding="utf-8"))["makespans"]
    ratios, proven, held = [], 0, 0
    for problem, best in zip(stage_problems(len(stored)), stored, strict=True):
        placement = place(problem)
        check_run(problem, placement)
        proven += placement.optimal
        held += bool(placement.holds)
        ratios.append(placement.value_s / min(best, placement.value_s))
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"\nplans of {len(stored)} stage graphs: geomean {mean:.5f} over the best known, worst "
          f"{max(ratios):.4f}; {proven} proven, {held} hold a stage back")  # fmt: skip
    report.at_most("plan / best known, 200 stage graphs with links, geomean", mean, 1.01)
    large = stage_problem(Random(0), 200, 8)
    task_graph(large)  # imports
    taken = []
    for _ in range(3):
        start = time.process_time()
        placement = place(large)
        taken.append(time.process_time() - start)
    report.at_most("plan of 200 stages on 8 devices, CPU time", min(taken), 0.3, "s")
    check_run(large, placement)


def check_run(problem: Problem, placement: Placement) -> None:
    """The plan's own promise: a run that keeps to it takes no longer, and its bound holds."""
    at = placement.devices
    chosen = tuple(
        next(c for c in stage.candidates if c.device_id == at[stage.name])
        for stage in problem.stages
    )
    taken_s = makespan_s(problem, chosen, placement.order, placement.holds)
    if abs(taken_s - placement.value_s) > 1e-9 * taken_s:
        raise SystemExit(f"a plan says {placement.value_s} s, a run of it takes {taken_s} s")
    assert placement.lower_bound_s is not None
    if placement.lower_bound_s > placement.value_s * (1 + 1e-9):
        raise SystemExit(f"the bound {placement.lower_bound_s} is above {placement.value_s} s")


def proofs(report: Report) -> None:
    """Small graphs against brute force over every assignment and every order."""
    wrong, proven, worst = 0, 0, 1.0
    for seed in range(SMALL_GRAPHS):
        rng = Random(seed)
        stages = rng.randint(2, 6)
        problem = stage_problem(rng, stages, 2 if stages == 6 else rng.randint(2, 3))
        placement, least_s = place(problem), least_makespan_s(problem)
        check_run(problem, placement)
        assert placement.lower_bound_s is not None
        wrong += placement.lower_bound_s > least_s * (1 + 1e-9)
        wrong += placement.optimal and placement.value_s > least_s * (1 + 1e-9)
        wrong += placement.value_s < least_s * (1 - 1e-9)
        proven += placement.optimal
        worst = max(worst, placement.value_s / least_s)
    print(f"{SMALL_GRAPHS} small graphs against brute force: {proven} proven, worst {worst:.4f}")
    report.at_most("claims about small graphs that brute force contradicts", wrong, 0)
    report.at_least("small graphs proven", proven / SMALL_GRAPHS, 0.999)


def least_makespan_s(problem: Problem) -> float:
    """Of all assignments and all orders, each stage behind what its slot has."""
    names = [stage.name for stage in problem.stages]
    orders = [
        order
        for order in itertools.permutations(range(len(names)))
        if all(
            order.index(names.index(p)) < order.index(n)
            for n, stage in enumerate(problem.stages)
            for p in stage.predecessors
        )
    ]
    return min(
        listed_s(problem, assignment, order)
        for assignment in itertools.product(*(stage.allowed() for stage in problem.stages))
        for order in orders
    )


def listed_s(problem: Problem, assignment: Assignment, order: tuple[int, ...]) -> float:
    ends: dict[str, float] = {}
    home = {s.name: c.device_id for s, c in zip(problem.stages, assignment, strict=True)}
    slots = {d: [0.0] * problem.concurrency[d].slots for d in home.values()}
    for number in order:
        stage, candidate = problem.stages[number], assignment[number]
        here, free = candidate.device_id, slots[candidate.device_id]
        arrivals = (
            ends[p] + problem.transfer_s(stage.read_bytes[p], home[p], here)
            for p in stage.predecessors
        )
        start = max([min(free), *arrivals])
        ends[stage.name] = start + cost_s(candidate, problem.objective)
        free[free.index(min(free))] = ends[stage.name]
    return max(ends.values())
