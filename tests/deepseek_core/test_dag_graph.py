"""A task graph is sound from birth, or an error names what is wrong and where."""

import itertools
import math

import pytest
from dag_graphs import device, layered, task

from deepseek_core.contracts.errors import GraphError, InputError, NoDevice
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.solver import solve


def graph(tasks, edges=(), devices=None, **more):
    return TaskGraph(devices=devices or [device("d0", "a")], tasks=tasks, edges=edges, **more)


def test_a_cycle_is_printed():
    tasks = [task(name, a=1.0) for name in "pqrs"]
    edges = [("p", "q", 0), ("q", "r", 0), ("r", "s", 0), ("s", "q", 0)]
    with pytest.raises(GraphError, match="cycle of 3 tasks") as caught:
        graph(tasks, edges)
    cycle = caught.value.message.split(": ")[1].split(" -> ")
    assert cycle[0] == cycle[-1]
    assert all(pair in {("q", "r"), ("r", "s"), ("s", "q")} for pair in itertools.pairwise(cycle))


def test_a_task_that_waits_for_itself_is_a_cycle():
    with pytest.raises(GraphError, match="p -> p"):
        graph([task("p", a=1.0)], [("p", "p", 0)])


def test_a_long_cycle_is_shortened():
    names = [str(n) for n in range(1000)]
    edges = [(a, b, 0) for a, b in zip(names, [*names[1:], "0"], strict=True)]
    with pytest.raises(GraphError, match=r"cycle of 1000 tasks: .*\.\.\."):
        graph([task(n, a=1.0) for n in names], edges)


def test_an_edge_to_nowhere_names_both_ends():
    with pytest.raises(GraphError, match="from 'p' to 'nobody'"):
        graph([task("p", a=1.0)], [("p", "nobody", 0)])


@pytest.mark.parametrize("tasks, devices", [([], [device("d0")]), ([task("p", a=1.0)], [])])
def test_an_empty_graph_is_refused(tasks, devices):
    with pytest.raises(GraphError, match="has no"):
        TaskGraph(devices=devices, tasks=tasks)


@pytest.mark.parametrize("cost", [math.nan, math.inf, -1.0, "fast", True])
def test_a_cost_that_is_no_number_names_task_and_type(cost):
    with pytest.raises(InputError, match="cost of task 'p' on 'a'"):
        graph([task("p", a=cost)])


@pytest.mark.parametrize("nbytes", [math.nan, -1.0])
def test_a_size_that_is_no_number_names_the_edge(nbytes):
    with pytest.raises(InputError, match="from 'p' to 'q'"):
        graph([task("p", a=1.0), task("q", a=1.0)], [("p", "q", nbytes)])


def test_a_task_without_a_device_says_why_each_refused():
    devices = [device("d0", "a"), device("d1", "b")]
    with pytest.raises(NoDevice, match="task 'p'") as caught:
        graph([task("p", a=None, c=1.0)], devices=devices)
    assert caught.value.refusals == {
        "d0": "type 'a' can't run it",
        "d1": "it has no cost for type 'b'",
    }


def test_memory_that_can_not_fit_says_by_how_much():
    devices = [device("d0", "a", mem_bytes=1024.0)]
    with pytest.raises(GraphError, match=r"task 'p' needs 1.5 KiB.* 512 B too much"):
        graph([task("p", a=1.0, mem_bytes=1536.0)], devices=devices)
    with pytest.raises(GraphError, match=r"2.0 KiB in all.* 1.0 KiB too much"):
        graph([task(n, a=1.0, mem_bytes=1024.0) for n in "pq"], devices=devices)


def test_a_group_counts_as_one_in_memory():
    devices = [device("d0", "a", mem_bytes=3.0), device("d1", "a", mem_bytes=3.0)]
    tasks = [task(n, a=1.0, mem_bytes=2.0, colocate="g") for n in "pq"]
    with pytest.raises(GraphError, match=r"group 'g' needs 4 B, and 3 B is there: 1 B too much"):
        graph(tasks, devices=devices)


def test_a_group_without_a_common_device_is_refused():
    tasks = [task("p", a=1.0, colocate="g"), task("q", b=1.0, colocate="g")]
    with pytest.raises(GraphError, match="'p', 'q' must run together"):
        graph(tasks, devices=[device("d0", "a"), device("d1", "b")])


def test_an_identifier_used_twice_is_named():
    with pytest.raises(GraphError, match="two tasks have the id 'p'"):
        graph([task("p", a=1.0), task("p", a=2.0)])


@pytest.mark.parametrize(
    "more, word",
    [
        ({"bandwidth": [[None, 1.0]]}, "matrix"),
        ({"bandwidth": [[None, 0.0], [1.0, None]], "latency": [[0, 0], [0, 0]]}, "is 0"),
        ({"latency": [[-1.0]]}, "latency"),
    ],
)
def test_links_are_checked(more, word):
    with pytest.raises(InputError, match=word):
        graph([task("p", a=1.0)], **more)


def test_a_device_on_a_memory_node_that_is_not_there_is_named():
    with pytest.raises(InputError, match="'d0' is on memory node 3"):
        graph([task("p", a=1.0)], devices=[device("d0", "a", mem=3)])


def test_a_chain_of_100000_tasks_needs_no_recursion():
    names = [str(n) for n in range(100_000)]
    edges = [(a, b, 1.0) for a, b in itertools.pairwise(names)]
    chain = graph([task(n, a=1.0, b=2.0) for n in names], edges)
    found = solve(chain, passes=1)
    assert found.makespan == found.lower_bound == 100_000


def test_transfers_are_free_within_a_memory_and_directed_between_two():
    made = layered(3)
    assert made.transfer(1e6, 0, 0) == 0.0
    assert made.transfer(1e6, 0, 1) == pytest.approx(1e-5 + 1e-3)
