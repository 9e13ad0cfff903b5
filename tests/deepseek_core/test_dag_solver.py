"""The solver: valid, never worse than HEFT, near the optimum, the same each time."""

import itertools
import random

import attrs
import pytest
from dag_graphs import device, graphs, layered, optimum, task
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from deepseek_core.contracts.errors import ConfigError, GraphError, InputError, NoDevice
from deepseek_core.schedule.dag.bound import lower_bound
from deepseek_core.schedule.dag.compiled import compile_graph
from deepseek_core.schedule.dag.effort import LEAST_S, Prices, default_s
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.packing import fill, pack
from deepseek_core.schedule.dag.rules import schedule_by
from deepseek_core.schedule.dag.solver import solve
from deepseek_core.schedule.dag.validity import faults


@settings(max_examples=80)
@given(graphs(most=14), st.integers(0, 3))
def test_it_is_valid_and_never_worse_than_heft(graph, seed):
    found = solve(graph, passes=60, rng=random.Random(seed))
    assert faults(graph, found) == []
    assert found.makespan <= schedule_by("heft", graph).makespan * (1 + 1e-12)
    assert found.lower_bound <= found.makespan
    assert found.passes <= 60 + 1e-9


@settings(max_examples=80)
@given(graphs(most=12, limits=True))
def test_it_keeps_groups_together(graph):
    assert faults(graph, solve(graph, passes=60)) == []


@settings(max_examples=30)
@given(graphs(most=4))
def test_bound_optimum_and_result_are_in_order(graph):
    best = optimum(graph)
    assert lower_bound(compile_graph(graph)) <= best * (1 + 1e-9)
    found = solve(graph)
    assert found.makespan == pytest.approx(best, rel=1e-9)
    assert found.gap == pytest.approx(0.0, abs=1e-9), "small graphs are proven"


@settings(max_examples=60)
@given(graphs(most=4, limits=True), st.sampled_from([None, 3.0, 6.0]), st.booleans())
def test_proofs_hold_under_limits(graph, room, is_shared):
    """Groups, capacities, and capacities that alike devices share."""
    made = [
        attrs.evolve(d, mem_bytes=room, pool=f"{d.type}{d.mem}" if is_shared else None)
        for d in graph.devices
    ]
    try:
        graph = attrs.evolve(graph, devices=made)
        found = solve(graph)
    except (GraphError, NoDevice):
        assert room is not None
        return
    assert faults(graph, found) == []
    assert found.makespan == pytest.approx(optimum(graph), rel=1e-9)
    assert found.gap == pytest.approx(0.0, abs=1e-9)


@given(graphs(most=10))
def test_the_area_bound_is_near_its_linear_program_and_not_above(graph):
    """Tasks without edges: minimize T over shares x[task, type], loads at most T."""
    loose = TaskGraph(devices=graph.devices, bandwidth=graph.bandwidth, latency=graph.latency,
                      tasks=graph.tasks)  # fmt: skip
    kinds = sorted({d.type for d in loose.devices})
    pairs = [
        (t, k) for t, k in itertools.product(range(len(loose.tasks)), kinds)
        if loose.tasks[t].cost.get(k) is not None
    ]  # fmt: skip
    loads = [
        [loose.tasks[t].cost[k] * (k == kind) for t, k in pairs]
        + [-sum(d.type == kind for d in loose.devices)]
        for kind in kinds
    ]
    whole = [[float(t == one) for t, _ in pairs] + [0.0] for one in range(len(loose.tasks))]
    solved = linprog(
        [0.0] * len(pairs) + [1.0], A_ub=loads, b_ub=[0.0] * len(kinds),
        A_eq=whole, b_eq=[1.0] * len(whole),
    )  # fmt: skip
    longest = max(min(c for k, c in t.cost.items() if c is not None and k in kinds)
                  for t in loose.tasks)  # fmt: skip
    exact = max(solved.fun, longest)
    assert exact * 0.9 - 1e-9 <= lower_bound(compile_graph(loose)) <= exact * (1 + 1e-9) + 1e-9


def test_slow_links_keep_a_chain_on_one_device():
    names = [str(n) for n in range(10)]
    made = TaskGraph(
        devices=[device("x", "a", mem=0), device("y", "b", mem=1)],
        bandwidth=[[None, 0.01], [0.01, None]],
        latency=[[0.0, 0.0], [0.0, 0.0]],
        tasks=[task(n, a=1.0 + int(n) % 2, b=2.0 - int(n) % 2) for n in names],
        edges=[(a, b, 1.0) for a, b in itertools.pairwise(names)],
    )
    found = solve(made)
    assert found.makespan == 15.0
    assert len({p.device for p in found.placements}) == 1


def test_the_search_beats_heft_where_heft_is_known_to_be_poor():
    made = layered(60, devices=4)
    assert solve(made, passes=400).makespan < schedule_by("heft", made).makespan * 0.97


def test_equal_seed_and_passes_give_an_equal_schedule():
    made = layered(80, devices=4)
    first = solve(made, passes=150, rng=random.Random(5))
    assert first == solve(made, passes=150, rng=random.Random(5))
    assert first.makespan <= solve(made, passes=24, rng=random.Random(5)).makespan


def test_a_budget_of_time_is_looked_at_before_each_pass():
    """A clock that ticks 10 ms at each look: the search must end soon after a second's worth."""
    looks = itertools.count()
    found = solve(layered(60, devices=4), seconds=1.0, clock=lambda: next(looks) * 0.01)
    assert found.passes >= 10
    assert next(looks) <= 110


def test_one_pass_always_runs():
    found = solve(layered(50), seconds=0.0, clock=lambda: 0.0)
    assert faults(layered(50), found) == []
    assert solve(layered(50), passes=0).passes == 1


def test_effort_is_a_time_and_the_same_on_every_machine():
    made = compile_graph(layered(60, devices=4))
    prices = Prices.of(made)
    assert default_s(prices) == LEAST_S
    large = Prices.of(compile_graph(layered(20_000)))
    assert default_s(large) == pytest.approx(24 * large.pass_s)
    assert default_s(attrs.evolve(large, pass_s=1e3)) == 15.0
    short, long = (solve(layered(60, devices=4), effort_s=s) for s in (0.01, 0.3))
    assert short == solve(layered(60, devices=4), effort_s=0.01)
    assert short.passes * prices.pass_s == pytest.approx(0.01, rel=0.2)
    assert long.passes * prices.pass_s == pytest.approx(0.3, rel=0.2)
    assert long.makespan < short.makespan


def test_a_clock_may_end_it_earlier():
    looks = itertools.count()
    made = layered(60, devices=4)
    found = solve(made, effort_s=60.0, seconds=1.0, clock=lambda: next(looks) * 0.01)
    assert next(looks) <= 110
    assert found.makespan <= schedule_by("heft", made).makespan


@pytest.mark.parametrize("huge", [1e308, 1e300])
def test_times_that_sum_up_to_no_number_are_named(huge):
    with pytest.raises(InputError, match="so large that their sum is not a number"):
        TaskGraph(
            devices=[device("x", "a")], tasks=[task("p", a=huge), task("q", a=huge)],
            edges=[("p", "q", 0.0)],
        )  # fmt: skip


def test_tasks_without_length_are_placed():
    made = layered(40, devices=4)
    nothing = attrs.evolve(
        made, tasks=[attrs.evolve(t, cost=dict.fromkeys(t.cost, 0.0)) for t in made.tasks],
        bandwidth=[[None] * 4] * 4, latency=[[0.0] * 4] * 4,
    )  # fmt: skip
    found = solve(nothing)
    assert (found.makespan, found.gap) == (0.0, 0.0)
    assert faults(nothing, found) == []


@pytest.mark.parametrize(
    "budget", [{"passes": -1}, {"seconds": 1.0}, {"passes": float("nan")}, {"effort_s": -0.1}]
)
def test_a_wrong_budget_is_named(budget):
    with pytest.raises(ConfigError, match="budget"):
        solve(layered(5), **budget)


def test_a_proven_optimum_ends_the_search():
    made = TaskGraph(devices=[device("x", "a")], tasks=[task(str(n), a=1.0) for n in range(9)])
    found = solve(made, passes=1e9)
    assert found.gap == pytest.approx(0.0, abs=1e-9)
    assert found.passes <= 30


def test_memory_is_respected_although_it_costs_time():
    """The fast device takes two of the four; HEFT alone would put all there."""
    made = TaskGraph(
        devices=[device("fast", "a", mem_bytes=2.0), device("slow", "b", mem_bytes=2.0)],
        tasks=[task(str(n), a=1.0, b=9.0, mem_bytes=1.0) for n in range(4)],
    )
    found = solve(made)
    assert faults(made, found) == []
    assert found.makespan == 18.0
    assert solve(made.without_limits()).makespan == 4.0


def test_a_packing_is_found_where_greedy_rules_fail():
    made = TaskGraph(
        devices=[device("x", "a", mem_bytes=4.0), device("y", "a", mem_bytes=4.0)],
        tasks=[*(task(n, a=5.0, mem_bytes=2.0) for n in "pq"), task("big", a=1.0, mem_bytes=4.0)],
    )
    found = solve(made)
    assert faults(made, found) == []
    assert found.makespan == 10.0


def test_sums_that_fit_without_a_packing_are_an_error():
    made = TaskGraph(
        devices=[device("x", "a", mem_bytes=3.0), device("y", "a", mem_bytes=3.0)],
        tasks=[task(n, a=1.0, mem_bytes=2.0) for n in "pqr"],
    )
    with pytest.raises(GraphError, match="although the sums would fit"):
        solve(made)


@given(graphs(most=10, limits=True))
def test_packings_assign_every_task_to_a_device_that_runs_it(graph):
    compiled = compile_graph(graph)
    for device_of in (pack(compiled), fill(compiled, compiled.order)):
        assert device_of is not None
        for one, d in zip(graph.tasks, device_of, strict=True):
            assert one.cost[graph.devices[d].type] is not None


def test_the_schedule_says_what_was_rejected():
    found = solve(layered(60, devices=4), passes=40)
    assert "HEFT" in {found.algorithm, *found.rejected}
    assert min(found.rejected.values()) >= found.makespan * (1 - 1e-9)
    assert found.algorithm not in found.rejected


def test_ten_thousand_tasks_take_the_same_call():
    made = layered(10_000)
    found = solve(made, passes=2)
    assert faults(made, found) == []
    assert found.gap < 0.25
