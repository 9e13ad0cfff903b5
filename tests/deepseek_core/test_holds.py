"""A stage that a plan holds back begins, in a run, after what it was held back for."""

import attrs
import numpy as np
import plain_devices
import pytest
from plain_graphs import stage
from plain_sessions import plain_sessions

from deepseek_core import Graph
from deepseek_core.runtime import problems
from deepseek_core.runtime.routes import route_of

X = {"x": np.arange(6.0).reshape(3, 2)}


def waiting():
    """`filler` reads nothing of `first` and `urgent`."""
    return Graph(
        name="waiting",
        stages=[
            stage("first", "Double", ["x"], "y", seconds=0.02),
            stage("filler", "Double", ["x"], "f"),
            stage("urgent", "Square", ["y"], "z"),
        ],
        outputs=["f", "z"],
    )


HOMES = {"first": "a", "filler": "b", "urgent": "b"}
HOLDS = (("urgent", "filler"),)


def route(graph, homes, holds):
    return route_of(graph, homes, lambda stage, device: True, 0, holds=holds)


def test_a_route_waits_for_what_a_plan_holds_back_for():
    made = route(waiting(), HOMES, HOLDS)
    assert made.waits == {"first": 0, "filler": 1, "urgent": 1}
    assert [s.name for s in made.followers["urgent"]] == ["filler"]
    assert route(waiting(), HOMES, ()).waits["filler"] == 0


def test_a_hold_that_would_wait_for_itself_does_not_count():
    """Joined stages run as one: `urgent` with `filler` can't wait for each other."""
    made = route(waiting(), HOMES, (("urgent", "first"),))
    assert made.waits == {"first": 0, "filler": 0, "urgent": 1}


@pytest.mark.parametrize("batches", [1, 4])
def test_a_run_keeps_to_the_holds_of_its_plan(batches, tmp_path, monkeypatch):
    plain_devices.FAILURES.clear()
    place = problems.place
    monkeypatch.setattr(
        problems, "place", lambda problem: attrs.evolve(place(problem), holds=HOLDS)
    )
    with plain_sessions(tmp_path) as make:
        plan = make("a", "b").plan(waiting(), batch=3, latency="realtime", pin=HOMES)
        results = list(plan.stream([X] * batches))
        assert all(np.array_equal(r["z"], (2 * X["x"]) ** 2) for r in results)
        begun = {(span.sequence, span.stage): span.start_s for span in plan.spans}
        ended = {(span.sequence, span.stage): span.end_s for span in plan.spans}
    for number in range(batches):
        assert begun[number, "filler"] >= ended[number, "urgent"]
