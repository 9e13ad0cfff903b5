"""Pieces that end on one device run as one; what a failing device had moves, values unchanged."""

import threading
import time

import numpy as np
import plain_devices
import pytest
from plain_graphs import chain, diamond, fusing, triple
from plain_sessions import plain_sessions

from deepseek_core import Estimate, Graph, errors
from deepseek_core.contracts.errors import GraphError, NoDevice, StageFailed

X = {"x": np.arange(6.0).reshape(3, 2)}
WANT = {"y": 2 * X["x"], "w": 2 * (2 * X["x"]) ** 2}


@pytest.fixture(autouse=True)
def calm():
    plain_devices.FAILURES.clear()
    plain_devices.LOG.clear()


@pytest.fixture
def session(tmp_path):
    with plain_sessions(tmp_path) as make:
        yield make


def loaded():
    return [row[1:] for row in plain_devices.LOG if row[0] == "load"]


def same(result, want=WANT):
    return all(np.array_equal(result[name], want[name]) for name in want)


def test_stages_that_end_on_one_device_run_as_one(session):
    plan = session("a").plan(fusing(triple()), batch=3)
    result = plan.run(X)
    assert same(result)
    assert list(result) == ["w", "y"]
    assert result.ran_on == dict.fromkeys(["double", "square", "again"], "a")
    assert loaded() == [("a", "double + square + again")]


def test_neighbors_on_one_device_are_joined_and_others_are_not(session):
    plan = session("a", "b").plan(fusing(triple()), batch=3, pin={"double": "b", "again": "a"})
    assert same(plan.run(X))
    assert ("b", "double") in loaded()
    assert ("a", "square + again") in loaded() or ("b", "double + square") in loaded()


def test_a_cut_between_two_stages_of_one_device_stays(session):
    plan = session("a", "b").plan(
        fusing(triple()), batch=3, pin={"double": "a", "square": "b", "again": "a"}
    )
    assert same(plan.run(X))
    assert sorted(loaded()) == [("a", "again"), ("a", "double"), ("b", "square")]


def test_what_no_frontend_can_fuse_runs_stage_by_stage(session):
    assert same(session("a").plan(triple(), batch=3).run(X))
    assert len(loaded()) == 3


def test_a_frontend_that_fails_to_fuse_a_part_costs_nothing_but_the_border(session):
    whole = fusing(triple())

    def fuse(names, wanted):
        if len(names) < 3:
            raise GraphError("these can't be one")
        return whole.fuse(names, wanted)

    graph = Graph(name="g", stages=whole.stages, outputs=whole.outputs, fuse=fuse)
    pins = {"double": "b", "square": "a", "again": "a"}
    assert same(session("a", "b").plan(graph, batch=3, pin=pins).run(X))
    assert sorted(loaded()) == [("a", "again"), ("a", "square"), ("b", "double")]


def test_branches_on_one_device_are_joined_too(session):
    result = session("a").plan(fusing(diamond()), batch=3).run(X)
    assert np.array_equal(result["s"], 2 * X["x"] + X["x"] ** 2)
    assert len(loaded()) == 1


def test_a_fused_stage_that_fails_is_tried_in_parts(session):
    """The error says: not this stage; the device keeps the others."""
    refused = errors.CompileError("too large at once", device_id="a")
    plain_devices.FAILURES["a"] = [refused]
    plan = session("a").plan(fusing(triple()), batch=3)
    assert same(plan.run(X))
    assert loaded()[0] == ("a", "double + square + again")
    assert len(loaded()) > 1
    assert "too large at once" in plan.notices[0]


SECONDS = {"a": {"Double": 1.0, "Square": 1e-3}, "b": {"Double": 1e-3, "Square": 0.1}}


class Tight(plain_devices.PlainDevice):
    """`b` doubles fast, and has no room for it; `a` squares fast and doubles slowest of all."""

    def estimate(self, task):
        seconds = sum(SECONDS[self.info.id][o.name] for o in task.stage.operations)
        return Estimate(seconds=seconds, sigma=0.1, source="measured")

    def load(self, stage, options):
        return TightExecutable(stage, self.info.id)


class TightExecutable(plain_devices.PlainExecutable):
    def run(self, inputs):
        if self.device_id == "b" and self.stage.name.startswith("double"):
            raise errors.OutOfMemory("no room", device_id="b")
        return super().run(inputs)


def test_a_device_on_which_a_stage_fails_is_not_given_it_with_others(session, monkeypatch):
    """It was: alone it failed there again, and was placed there again, without an end."""
    monkeypatch.setattr(plain_devices, "Tight", Tight, raising=False)
    plan = session("a", "b", factory="plain_devices:Tight").plan(
        fusing(chain()), batch=3, latency="realtime"
    )
    assert plan.devices == {"double": "b", "square": "a"}
    result = plan.run(X)
    assert np.array_equal(result["z"], (2 * X["x"]) ** 2)
    assert result.ran_on == {"double": "a", "square": "a"}
    assert len(plan.notices) == 1


FAULTS = [
    plain_devices.lost("a"),
    RuntimeError("driver bug"),
    SystemExit(3),
    GeneratorExit("panic"),
    StopIteration("no more"),
    BaseExceptionGroup("many", [SystemExit(1)]),
    errors.OutOfMemory("full", device_id="a"),
    errors.Unsupported("not that one", device_id="a"),
    errors.DeviceTimeout("slow", device_id="a"),
]


def kind(error):
    return type(error).__name__


@pytest.mark.parametrize("graph", [triple, lambda: fusing(triple())], ids=["parts", "fused"])
@pytest.mark.parametrize("error", FAULTS, ids=kind)
def test_whatever_a_device_raises_the_rest_moves_and_values_stay(error, graph, session):
    plain_devices.FAILURES["a"] = [None, error, None, error, error, error]
    plan = session("a", "slow").plan(graph(), batch=3, latency="realtime")
    assert set(plan.devices.values()) == {"a"}
    results = list(plan.stream([X] * 6))
    assert all(map(same, results))
    assert "slow" in results[-1].ran_on.values() or len(plan.notices) > 1
    assert "moved to" in plan.notices[0]


def test_ctrl_c_of_a_driver_in_a_worker_is_a_fault_like_any_other(session):
    """Workers get no Ctrl-C; what calls itself so there is the driver's own."""
    plain_devices.FAILURES["a"] = [None, KeyboardInterrupt()]
    results = list(session("a", "slow").plan(triple(), batch=3, latency="realtime").stream([X] * 4))
    assert len(results) == 4 and all(map(same, results))


def test_ctrl_c_in_the_callers_thread_reaches_the_caller(session):
    plain_devices.FAILURES["a"] = [KeyboardInterrupt()]
    plan = session("a", "slow").plan(triple(), batch=3, latency="realtime")
    with pytest.raises(KeyboardInterrupt):
        plan.run(X)
    assert same(plan.run(X)), "the plan is as it was"
    assert set(plan.devices.values()) == {"a"}


@pytest.mark.parametrize("error", FAULTS, ids=kind)
def test_strict_plans_name_stage_and_device(error, session):
    plain_devices.FAILURES["a"] = [None, error]
    plan = session("a", "slow").plan(triple(), batch=3, strict=True)
    with pytest.raises(StageFailed) as caught:
        plan.run(X)
    assert (caught.value.stage, caught.value.device_id) == ("square", "a")
    assert caught.value.__cause__ is error
    assert same(plan.run(X)), "a strict plan may be used again"


def test_a_lost_device_gets_nothing_more_in_this_session(session):
    plain_devices.FAILURES["a"] = [plain_devices.lost("a")]
    s = session("a", "slow")
    s.plan(triple(), batch=3, latency="realtime").run(X)
    assert set(s.plan(chain(), batch=3).devices.values()) == {"slow"}
    with pytest.raises(NoDevice, match="quarantined: DeviceLost: the cable is out"):
        s.plan(chain(), pin={"double": "a"})


def test_a_run_that_was_moved_does_not_go_back(session):
    """Its later stages were placed on the lost device, too."""
    plain_devices.FAILURES["a"] = [plain_devices.lost("a")]
    plan = session("a", "slow").plan(triple(), batch=3, latency="realtime")
    assert set(plan.run(X).ran_on.values()) == {"slow"}
    assert {span.device_id for span in plan.spans} == {"slow"}


def test_a_device_that_refuses_one_stage_keeps_the_others(session):
    plain_devices.FAILURES["a"] = [None, errors.Unsupported("no squares", device_id="a")]
    plan = session("a", "slow").plan(triple(), batch=3, latency="realtime")
    assert plan.run(X).ran_on == {"double": "a", "square": "slow", "again": "a"}


def test_two_threads_run_one_plan_while_a_device_dies(session):
    plain_devices.FAILURES["a"] = [None] * 5 + [plain_devices.lost("a")] * 40
    plan = session("a", "slow").plan(triple(seconds=0.001), batch=3, latency="realtime")
    wrong, ran = [], []

    def work():
        try:
            for _ in range(8):
                result = plan.run(X)
                ran.append(same(result))
        except BaseException as error:  # noqa: BLE001 - the test must see it
            wrong.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not wrong
    assert ran == [True] * 16
    assert set(plan.devices.values()) == {"slow"}
    assert len(plan.notices) == 1, "it moved once"


def test_a_batch_on_its_way_to_a_lost_device_is_moved_by_a_worker(session):
    """It took its route before another thread's run lost the device of its second stage."""
    s = session("a", "b")
    plan = s.plan(chain(), batch=3, pin={"double": "a"})
    assert plan.devices == {"double": "a", "square": "b"}
    runner = plan._runner
    old = runner.route(0)

    def source():
        yield X
        s._pool.quarantine("b", "lost elsewhere")
        runner._decide()
        yield X

    first_route = iter([old, old])
    runner.route = lambda _sequence: next(first_route)
    results = list(plan.stream(source(), max_in_flight=1))
    assert [r.ran_on["square"] for r in results] == ["b", "a"]
    assert runner.slots("b") == 1


class Counting(plain_devices.PlainDevice):
    """Counts the runs that it is given at once."""

    busy, most = 0, 0
    lock = threading.Lock()

    def load(self, stage, options):
        return CountingExecutable(stage, self.info.id)


class CountingExecutable(plain_devices.PlainExecutable):
    def run(self, inputs):
        with Counting.lock:
            Counting.busy += 1
            Counting.most = max(Counting.most, Counting.busy)
        try:
            time.sleep(0.002)
            return super().run(inputs)
        finally:
            with Counting.lock:
                Counting.busy -= 1


@pytest.mark.parametrize(("device_id", "slots"), [("one", 1), ("wide", 2)])
def test_a_device_never_gets_more_runs_at_once_than_it_has_slots(
    device_id, slots, session, monkeypatch
):
    monkeypatch.setattr(plain_devices, "Counting", Counting, raising=False)
    Counting.busy = Counting.most = 0
    s = session(device_id, factory="plain_devices:Counting")
    plans = [s.plan(chain(), batch=3), s.plan(triple(), batch=3)]

    def work(plan):
        for _ in range(3):
            plan.run(X)

    threads = [threading.Thread(target=work, args=(p,), daemon=True) for p in plans * 3]
    for thread in threads:
        thread.start()
    list(plans[0].stream([X] * 6))
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert Counting.most == slots
    lanes = {span.slot for plan in plans for span in plan.spans}
    assert lanes == set(range(slots)), "a lane of the trace is a slot"
