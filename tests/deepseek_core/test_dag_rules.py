"""Every list rule gives valid schedules; HEFT and PEFT give the published ones."""

import pytest
from dag_graphs import device, graphs, layered, task
from hypothesis import given, settings

from deepseek_core.contracts.errors import ConfigError, GraphError
from deepseek_core.schedule.dag.bound import lower_bound
from deepseek_core.schedule.dag.compiled import compile_graph
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.listpass import list_pass
from deepseek_core.schedule.dag.ranks import upward
from deepseek_core.schedule.dag.rules import RULES, schedule_by
from deepseek_core.schedule.dag.timeline import Timeline
from deepseek_core.schedule.dag.validity import faults

# Topcuoglu, Hariri, Wu 2002, figure 2: costs on three processors, and edges
COSTS = [
    (14, 16, 9), (13, 19, 18), (11, 13, 19), (13, 8, 17), (12, 13, 10),
    (13, 16, 9), (7, 15, 11), (5, 11, 14), (18, 12, 20), (21, 7, 16),
]  # fmt: skip
EDGES = [
    (1, 2, 18), (1, 3, 12), (1, 4, 9), (1, 5, 11), (1, 6, 14), (2, 8, 19), (2, 9, 16), (3, 7, 23),
    (4, 8, 27), (4, 9, 23), (5, 9, 13), (6, 8, 15), (7, 10, 17), (8, 10, 11), (9, 10, 13),
]  # fmt: skip


def published():
    kinds = ["p1", "p2", "p3"]
    return TaskGraph(
        name="published",
        devices=[device(k, mem=n) for n, k in enumerate(kinds)],
        bandwidth=[[None if a == b else 1.0 for b in range(3)] for a in range(3)],
        latency=[[0.0] * 3] * 3,
        tasks=[
            task(str(n + 1), **dict(zip(kinds, row, strict=True))) for n, row in enumerate(COSTS)
        ],
        edges=[(str(a), str(b), w) for a, b, w in EDGES],
    )


def test_heft_gives_the_makespan_and_ranks_of_its_paper():
    assert schedule_by("heft", published()).makespan == 80
    ranks = upward(compile_graph(published()))
    assert ranks[0] == pytest.approx(108.0)
    assert ranks[9] == pytest.approx(44 / 3)


def test_cpop_gives_the_makespan_of_its_paper():
    assert schedule_by("cpop", published()).makespan == 86


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=60)
@given(graph=graphs())
def test_every_rule_gives_valid_schedules_above_the_bound(rule, graph):
    found = schedule_by(rule, graph)
    assert faults(graph, found) == []
    assert found.makespan >= lower_bound(compile_graph(graph)) * (1 - 1e-9)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=40)
@given(graph=graphs(limits=True))
def test_every_rule_keeps_groups_together(rule, graph):
    assert faults(graph, schedule_by(rule, graph)) == []


def test_insertion_uses_a_gap_and_dmda_does_not():
    """The gap before `late`, which waits for a transfer, is there for `filler`."""
    made = TaskGraph(
        devices=[device("x", "a", mem=0), device("y", "b", mem=1)],
        bandwidth=[[None, 1.0], [1.0, None]],
        latency=[[0.0, 0.0], [0.0, 0.0]],
        tasks=[
            task("first", a=1.0),
            task("late", b=9.0),
            task("filler", b=2.0),
        ],
        edges=[("first", "late", 4.0)],
    )
    heft = {p.task: p for p in schedule_by("heft", made).placements}
    assert heft["late"].start == 5.0 and heft["filler"].end == 2.0


def test_an_unknown_rule_names_the_known_ones():
    with pytest.raises(ConfigError, match="heft, peft"):
        schedule_by("best", published())


def test_a_rule_that_runs_out_of_memory_says_so():
    """Greedy rules put the two small ones apart, and then the large one has no room."""
    made = TaskGraph(
        devices=[device("x", "a", mem_bytes=4.0), device("y", "a", mem_bytes=4.0)],
        tasks=[*(task(n, a=5.0, mem_bytes=2.0) for n in "pq"), task("big", a=1.0, mem_bytes=4.0)],
    )
    with pytest.raises(GraphError, match="no device with memory for task 'big'"):
        schedule_by("heft", made)


def test_equal_input_gives_equal_output():
    made = layered(300)
    for rule in RULES:
        assert schedule_by(rule, made) == schedule_by(rule, made)


def test_a_pass_stops_at_its_limit_and_says_how_far_it_came():
    compiled = compile_graph(layered(200))
    whole = list_pass(compiled, compiled.order)
    short = list_pass(
        compiled, compiled.order, tail=[0.0] * compiled.size, limit=whole.makespan / 2
    )
    assert whole.whole and not short.whole
    assert 0 < short.share < 1


def test_a_timeline_finds_the_first_room():
    line = Timeline()
    line.take(2.0, 3.0)
    line.take(7.0, 1.0)
    assert line.earliest(0.0, 2.0) == 0.0
    assert line.earliest(0.0, 2.5) == 8.0
    assert line.earliest(3.0, 2.0) == 5.0
    assert line.earliest(7.5, 0.0) == 8.0
