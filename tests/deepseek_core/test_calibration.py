"""Calibration measures what runs and reports what fails; a comparison does, too."""

import attrs
import numpy as np
import plain_devices
import pytest
from plain_graphs import chain, fusing, stage, triple
from plain_sessions import plain_sessions

from deepseek_core import Batching, Graph, LatencyClass, errors
from deepseek_core.contracts.errors import InputError, NoDevice, StageFailed
from deepseek_core.runtime.history import History

X = {"x": np.arange(6.0).reshape(3, 2)}
FAULTS = [
    plain_devices.lost("slow"),
    RuntimeError("driver bug"),
    SystemExit(3),
    GeneratorExit("panic"),
    StopIteration(),
    errors.OutOfMemory("full", device_id="slow"),
]


def kind(error):
    return type(error).__name__


@pytest.fixture(autouse=True)
def calm():
    plain_devices.FAILURES.clear()
    plain_devices.LOG.clear()


@pytest.fixture
def session(tmp_path):
    with plain_sessions(tmp_path) as make:
        yield make


class Listening:
    """A registry with one listener."""

    has_listeners = True

    def __init__(self):
        self.heard = []

    def emit(self, event):
        self.heard.append(event)

    def settle(self):
        """Nothing waits: each is heard at once."""


def freed():
    loads = sorted(row[1:] for row in plain_devices.LOG if row[0] == "load")
    return loads == sorted(row[1:] for row in plain_devices.LOG if row[0] == "free")


@pytest.mark.parametrize("runs_before", [0, 2, 4])
@pytest.mark.parametrize("error", FAULTS, ids=kind)
def test_a_device_that_fails_sooner_or_later_is_reported_and_the_others_measured(
    error, runs_before, session
):
    plain_devices.FAILURES["slow"] = [None] * runs_before + [error] * 50
    s = session("a", "slow")
    rows = s.calibrate(chain(), inputs=X, rounds=3)
    measured = {(r.stage, r.device_id) for r in rows if r.seconds is not None}
    assert measured == {("double", "a"), ("square", "a")}
    told = [r.error for r in rows if r.device_id == "slow"]
    assert told and all(getattr(error, "message", kind(error)) in text for text in told)
    assert freed()
    assert set(s.plan(chain(), batch=3).devices.values()) == {"a"}


def test_what_no_device_can_run_says_why(session):
    plain_devices.FAILURES["a"] = RuntimeError("driver bug")
    with pytest.raises(NoDevice, match=r"'double': a: RuntimeError: driver bug"):
        session("a").calibrate(chain(), inputs=X)
    assert freed()


def test_values_that_an_operator_refuses_are_no_fault_of_the_device(session):
    """The inputs are wrong: the caller is told, and the device keeps the stage."""
    refused = errors.InputRejected("an index beyond its table", device_id="a")
    plain_devices.FAILURES["a"] = [refused]
    s = session("a")
    with pytest.raises(InputError, match="beyond its table"):
        s.calibrate(chain(), inputs=X)
    assert s.plan(chain(), batch=3).run(X).ran_on["double"] == "a"


def test_the_whole_and_each_stage_are_measured(session):
    graph = fusing(triple())
    rows = session("a", "b").calibrate(graph, inputs=X, rounds=2)
    names = ["double", "square", "again", "double + square + again"]
    assert [(r.stage, r.device_id) for r in rows] == [(n, d) for n in names for d in "ab"]
    assert all(r.seconds > 0 and r.batch == 3 for r in rows)


def test_a_whole_that_no_device_takes_leaves_its_parts_measured(session):
    parts = fusing(triple())

    def fuse(names, wanted):
        made = parts.fuse(names, wanted)
        return attrs.evolve(made, operations=[attrs.evolve(made.operations[0], domain="other")])

    rows = session("a").calibrate(attrs.evolve(parts, fuse=fuse), inputs=X, rounds=2)
    assert [r.stage for r in rows] == ["double", "square", "again"]


def test_a_whole_that_fails_is_reported_and_its_parts_measured(session):
    full = errors.OutOfMemory("the whole is too large", device_id="a")
    s = session("a", "slow")
    graph = fusing(chain())
    # Per stage: once to load, two to warm up, two rounds
    plain_devices.FAILURES["a"] = [None] * 10 + [full]
    rows = s.calibrate(graph, inputs=X, rounds=2)
    assert [(r.stage, r.error) for r in rows if r.error] == [
        ("double + square", "the whole is too large")
    ]
    plan = s.plan(graph, batch=3)
    assert not plan.problem.whole_on("a")


def test_a_model_without_a_batch_axis_is_measured_as_one_call(session):
    s = session("a")
    graph = chain().with_batching(Batching(reason="declared so"))
    rows = s.calibrate(graph, inputs={"x": np.ones((9, 2))}, rounds=2)
    assert {r.batch for r in rows} == {1}
    sources = [c.estimate.source for o in s.plan(graph).problem.stages for c in o.candidates]
    assert sources == ["measured", "measured"]


def test_costs_belong_to_a_device_as_it_was_opened(session, tmp_path, monkeypatch):
    """A setting that changes what runs cost changes the fingerprint."""
    session("a").calibrate(chain(), inputs=X, rounds=2)
    monkeypatch.setattr(
        plain_devices,
        "info",
        lambda i, usual=plain_devices.info: attrs.evolve(usual(i), fingerprint=f"{i}|fast=1"),
    )
    other = session("a").plan(chain(), batch=3)
    assert {c.estimate.source for o in other.problem.stages for c in o.candidates} == {"prior"}
    history = History(tmp_path / "history.sqlite")
    graph = chain()
    mine = [
        history.samples(f"{name}|0 threads", graph.stages[0].fingerprint, LatencyClass.OFFLINE)
        for name in ("a", "a|fast=1")
    ]
    history.close()
    assert [len(samples) for samples in mine] == [2, 0]


def test_latency_classes_are_measured_apart(session):
    s = session("a")
    s.calibrate(chain(), inputs=X, rounds=2, latency="offline")

    def sources(latency):
        plan = s.plan(chain(), batch=3, latency=latency)
        return {c.estimate.source for o in plan.problem.stages for c in o.candidates}

    assert sources("offline") == {"measured"}
    assert sources("realtime") == {"prior"}


def labels(found):
    return [row.label for row in found.rows]


def test_each_other_placement_is_compared(session):
    s = session("a", "b")
    found = s.compare(s.plan(chain(), batch=3), [X] * 3, rounds=2)
    assert len(found.rows) == 4 and found.chosen.label == "chosen"
    assert all(len(row.rounds) == 2 and row.items_per_s > 0 for row in found.rows)
    assert set(found.alone()) == {"a", "b"}
    assert found.failures == {}


@pytest.mark.parametrize("error", FAULTS, ids=kind)
def test_a_placement_that_fails_is_left_out_and_told(error, session):
    s = session("a", "slow")
    chosen = s.plan(chain(), batch=3, latency="realtime")
    assert set(chosen.devices.values()) == {"a"}
    plain_devices.FAILURES["slow"] = error
    plain_devices.LOG.clear()
    found = s.compare(chosen, [X] * 2, rounds=2)
    assert labels(found) == ["chosen"]
    assert set(found.failures) == {
        "double on a + square on slow",
        "double on slow + square on a",
        "double on slow + square on slow",
    }
    assert all("slow" in text for text in found.failures.values())
    chosen.close()
    assert freed(), "plans that were made for it are closed"


def test_a_device_that_fails_between_two_rounds_leaves_too(session):
    s = session("a", "slow")
    chosen = s.plan(chain(), batch=3, latency="realtime")
    plain_devices.FAILURES["slow"] = [None] * 9 + [RuntimeError("driver bug")] * 99
    found = s.compare(chosen, [X] * 2, rounds=3)
    assert labels(found)[0] == "chosen"
    assert any("driver bug" in text for text in found.failures.values())
    assert all(len(row.rounds) == 3 for row in found.rows)


def test_the_chosen_plan_must_run(session):
    s = session("a")
    chosen = s.plan(chain(), batch=3)
    plain_devices.FAILURES["a"] = plain_devices.lost("a")
    with pytest.raises(StageFailed, match="the cable is out"):
        s.compare(chosen, [X])


def test_one_stage_on_one_device_has_nothing_to_be_compared_with(session):
    s = session("a")
    graph = Graph(name="g", stages=[stage("double", "Double", ["x"], "y")], outputs=["y"])
    found = s.compare(s.plan(graph, batch=3), [X], rounds=1)
    assert labels(found) == ["chosen"]


def test_listeners_hear_what_was_measured_and_nothing_of_what_failed(session):
    plain_devices.FAILURES["slow"] = [RuntimeError("driver bug")] * 50
    s = session("a", "slow")
    s.registry = Listening()
    rows = s.calibrate(chain(), inputs=X, rounds=3)
    told = [(e.stage, e.device_id, e.batch, e.seconds) for e in s.registry.heard]
    measured = [r for r in rows if r.seconds is not None]
    assert told == [(r.stage, r.device_id, 3, r.seconds) for r in measured]
    assert {device_id for _, device_id, *_ in told} == {"a"}
