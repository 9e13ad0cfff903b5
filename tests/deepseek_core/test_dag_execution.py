"""Executors under noise: exact without it, and deciding anew pays with it."""

import random
from statistics import mean

from dag_graphs import device, graphs, layered, task
from hypothesis import given, settings

from deepseek_core.schedule.dag.execution import noise, played_back, redecided
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.schedule import Schedule, TaskPlacement
from deepseek_core.schedule.dag.solver import solve


@settings(max_examples=60)
@given(graphs())
def test_a_plan_played_back_without_noise_takes_its_makespan(graph):
    plan = solve(graph, passes=10)
    exact = [1.0] * len(graph.tasks)
    assert played_back(graph, plan, exact) <= plan.makespan * (1 + 1e-9)
    assert redecided(graph, plan, exact) >= plan.lower_bound * (1 - 1e-9)


@settings(max_examples=40)
@given(graphs(limits=True))
def test_limits_keep_the_planned_devices(graph):
    plan = solve(graph, passes=10)
    assert redecided(graph, plan, [2.0] * len(graph.tasks)) > 0 or plan.makespan == 0


def test_noise_has_the_mean_of_the_costs():
    factors = noise(layered(20_000), 0.3, random.Random(1))
    assert abs(mean(factors) - 1) < 0.01


def test_deciding_anew_is_faster_under_noise():
    made = layered(120, devices=6)
    plan = solve(made, passes=24)
    rng = random.Random(2)
    ratios = []
    for _ in range(20):
        factors = noise(made, 0.3, rng)
        ratios.append(played_back(made, plan, factors) / redecided(made, plan, factors))
    assert mean(ratios) > 1.02


def test_a_slow_task_sends_its_followers_elsewhere():
    """`d` is planned behind `hog`, which takes ten times its cost: it moves to the other device."""
    made = TaskGraph(
        devices=[device("x", "a"), device("y", "a")],
        tasks=[task("hog", a=4.0), *(task(name, a=3.0) for name in "bcd")],
    )
    rows = [
        ("hog", "x", 0.0, 4.0),
        ("b", "y", 0.0, 3.0),
        ("c", "y", 3.0, 6.0),
        ("d", "x", 4.0, 7.0),
    ]
    plan = Schedule(
        graph="by hand", unit="s", algorithm="by hand", makespan=7.0, lower_bound=6.5,
        placements=tuple(TaskPlacement(task=t, device=d, start=s, end=e) for t, d, s, e in rows),
    )  # fmt: skip
    factors = [10.0, 1.0, 1.0, 1.0]
    assert played_back(made, plan, factors) == 43.0
    assert redecided(made, plan, factors) == 40.0
