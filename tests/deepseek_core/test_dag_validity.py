"""The checker finds each sort of fault; it is what the other tests lean on."""

import attrs
import pytest
from dag_graphs import device, task

from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.schedule import Schedule, TaskPlacement
from deepseek_core.schedule.dag.validity import faults

GRAPH = TaskGraph(
    devices=[device("x", "a", mem=0, mem_bytes=5.0), device("y", "b", mem=1)],
    bandwidth=[[None, 2.0], [1.0, None]],
    latency=[[0.0, 1.0], [0.5, 0.0]],
    tasks=[
        task("p", a=1.0, b=2.0, mem_bytes=4.0),
        task("q", a=1.0, b=None, colocate="g"),
        task("r", a=3.0, b=3.0, mem_bytes=4.0),
        task("s", a=1.0, b=1.0, colocate="g"),
    ],
    edges=[("p", "r", 4.0)],
)


def schedule(makespan=7.0, **rows):
    usual = {
        "p": ("x", 0.0, 1.0),
        "q": ("x", 1.0, 2.0),
        "r": ("y", 4.0, 7.0),  # p ends at 1, 1 + 4 / 2 for the transfer
        "s": ("x", 2.0, 3.0),
    } | rows
    placements = tuple(
        TaskPlacement(task=t, device=d, start=s, end=e) for t, (d, s, e) in usual.items()
    )
    return Schedule(
        graph="g", unit="s", algorithm="by hand", makespan=makespan, lower_bound=1.0,
        placements=placements,
    )  # fmt: skip


def test_a_valid_schedule_has_no_faults():
    assert faults(GRAPH, schedule()) == []


@pytest.mark.parametrize(
    "rows, word",
    [
        ({"r": ("y", 3.9, 6.9)}, "input of 'p' is there at 4"),
        ({"q": ("x", 0.5, 1.5)}, "overlap on 'x'"),
        ({"q": ("y", 0.0, 1.0)}, "can't run it"),
        ({"p": ("x", 0.0, 0.9)}, "takes 0.9"),
        ({"p": ("x", -1.0, 0.0)}, "starts at -1"),
        ({"p": ("z", 0.0, 1.0)}, "does not have"),
        ({"r": ("x", 3.0, 6.0)}, "holds 8 bytes and has 5"),
        ({"s": ("y", 0.0, 1.0)}, "group 'g' is on 'x' and on 'y'"),
    ],
)
def test_each_fault_is_found(rows, word):
    assert any(word in fault for fault in faults(GRAPH, schedule(**rows)))


def test_a_wrong_makespan_is_found():
    assert "makespan" in faults(GRAPH, schedule(makespan=6.0))[0]


def test_a_missing_task_is_found():
    whole = schedule()
    assert "3 placements for 4" in faults(
        GRAPH, attrs.evolve(whole, placements=whole.placements[1:])
    )[0]  # fmt: skip
