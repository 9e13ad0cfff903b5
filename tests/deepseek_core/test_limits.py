"""No call of a device is waited for without limit, and what comes too late is closed."""

import contextlib
import functools
import threading
import time

import hanging_devices
import numpy as np
import plain_devices
import pytest
from hanging_devices import in_time, until
from plain_graphs import chain, diamond
from plain_sessions import plain_session

from deepseek_core import LoadOptions, Session
from deepseek_core.contracts.errors import (
    ConfigError,
    DeviceClosed,
    DeviceTimeout,
    StageFailed,
)
from deepseek_core.discovery.registry import Registry
from deepseek_core.discovery.switches import Switches
from deepseek_core.runtime.limits import Limits
from deepseek_core.runtime.server import Server

LIMITS = {"ask_s": 0.3, "open_s": 0.3, "load_s": 0.3, "close_s": 0.3}
X = {"x": np.ones((1, 2))}


def right(result):
    return bool(np.all(result["z"] == 4.0))


def soon(call):
    """What a call gives that may hang in this thread: so another one makes it."""
    found = []
    made = threading.Thread(target=lambda: found.append(call()), daemon=True)
    made.start()
    made.join(5)
    assert found, "no answer in 5 s"
    return found[0]


@pytest.fixture(autouse=True)
def calm():
    with hanging_devices.released():
        yield


@pytest.fixture
def session(tmp_path):
    def make(*device_ids, **options):
        options = {"limits": LIMITS, **options}
        return plain_session(
            tmp_path, *device_ids, factory="hanging_devices:HangingDevice", **options
        )

    return make


ASKED = ["open", "supports", "estimate", "concurrency"]


@pytest.mark.parametrize("call", ASKED)
def test_a_device_that_does_not_answer_is_out_with_a_reason(call, session):
    opened = session("hangs", "slow")
    hanging_devices.WHERE.add(call)
    plan = in_time(lambda: opened.plan(chain()))
    assert set(plan.devices.values()) == {"slow"}
    assert np.all(plan.run(X)["z"] == 4.0)
    assert any("hangs did not come back from its" in notice for notice in opened.notices)
    assert len(hanging_devices.HELD) == 1, "it is asked no more"
    in_time(opened.close)


@pytest.mark.parametrize("call", [*ASKED, "load", "warmup"])
@pytest.mark.parametrize("graph", [chain, diamond])
def test_a_server_starts_without_a_device_that_hangs(graph, call, session):
    opened = session("hangs", "slow")
    hanging_devices.WHERE.add(call)
    server = in_time(lambda: Server(opened, graph()))
    assert set(server.submit(X).result(10).ran_on.values()) == {"slow"}
    assert len(hanging_devices.HELD) == 1
    in_time(server.close)
    in_time(opened.close)


@pytest.mark.parametrize("call", ["load", "warmup"])
def test_a_plan_moves_from_where_loading_hangs(call, session):
    opened = session("hangs", "slow")
    plan = opened.plan(chain())
    assert "hangs" in plan.devices.values()
    hanging_devices.WHERE.add(call)
    in_time(plan.warmup)
    assert set(plan.run(X).ran_on.values()) == {"slow"}
    in_time(opened.close)


def test_one_that_hangs_while_it_opens_holds_up_nobody(session):
    opened = session("hangs", "slow", limits={**LIMITS, "open_s": 30})
    hanging_devices.WHERE.add("open")

    def use():
        with contextlib.suppress(DeviceClosed):
            opened.planner.pool.use("hangs")

    waiting = threading.Thread(target=use)
    waiting.start()
    until(lambda: hanging_devices.HELD)
    assert in_time(lambda: opened.planner.pool.open("slow")).info.id == "slow"
    in_time(opened.close)
    hanging_devices.GO.set()
    waiting.join(10)
    until(lambda: ("close", "hangs") in plain_devices.LOG)


@pytest.mark.parametrize(
    ("call", "closed"), [("open", ("close", "hangs")), ("load", ("free", "hangs", "double"))]
)
def test_what_comes_too_late_is_closed(call, closed, session):
    opened = session("hangs")
    hanging_devices.WHERE.add(call)
    with pytest.raises(DeviceTimeout, match="did not come back"):
        opened.planner.pool.load(chain().stages[0], "hangs", LoadOptions())
    with pytest.raises(DeviceTimeout, match="did not come back"):
        in_time(lambda: opened.planner.pool.open("hangs"))
    hanging_devices.WHERE.clear()
    hanging_devices.GO.set()
    until(lambda: closed in plain_devices.LOG)
    until(lambda: "hangs" not in opened.planner.pool._hanging)
    assert opened.planner.pool.open("hangs").info.id == "hangs", "it is opened anew"
    opened.close()


def test_a_plan_ends_although_it_can_free_nothing(session):
    opened = session("hangs", "slow")
    plan = opened.plan(chain(), pin={"double": "hangs", "square": "hangs"})
    plan.run(X)
    hanging_devices.WHERE.add("free")
    in_time(plan.close)
    assert len(hanging_devices.HELD) == 1, "what hangs once is left alone"
    in_time(opened.close)


@pytest.mark.parametrize("graph", [chain, diamond])
def test_a_run_with_a_limit_moves_as_a_stream_does(graph, session):
    opened = session("hangs", "slow")
    plan = opened.plan(graph(), hang_s=0.3)
    hanging_devices.WHERE.add("run")
    result = in_time(lambda: plan.run(X))
    assert result[plan.graph.outputs[0]][0, 0] == (4.0 if graph is chain else 3.0)
    assert set(result.ran_on.values()) == {"slow"}
    in_time(opened.close)


def test_a_run_with_a_limit_ends_where_nobody_else_can(session, monkeypatch):
    monkeypatch.setattr(plain_devices.PlainExecutable, "checks_inputs", True)
    opened = session("hangs")
    plan = opened.plan(chain().until("y"), hang_s=0.3)
    hanging_devices.WHERE.add("run")
    with pytest.raises(StageFailed, match="no answer after 300 ms"):
        in_time(lambda: plan.run(X))
    in_time(opened.close)


def test_who_waits_for_a_slot_is_told_when_the_device_is_left_behind(session):
    """A second plan of the session waits for the slot that a call hangs in."""
    opened = session("hangs", "slow")
    stream, other = opened.plan(chain(), hang_s=0.3), opened.plan(chain())
    assert other.run(X).ran_on == {"double": "hangs", "square": "hangs"}
    hanging_devices.WHERE.add("run")
    found = []
    waiting = threading.Thread(target=lambda: found.append(other.run(X)))

    def batches():
        yield X
        until(lambda: hanging_devices.HELD)
        waiting.start()
        yield X

    assert all(
        np.all(result["z"] == 4.0) for result in in_time(lambda: [*stream.stream(batches())])
    )
    waiting.join(10)
    assert np.all(found[0]["z"] == 4.0)
    assert set(found[0].ran_on.values()) == {"slow"}
    in_time(opened.close)


@pytest.fixture
def around(monkeypatch):
    """Does something right before and right after each of these calls of an object."""

    def wrap(owner, names, do):
        def between(call, *given):
            do()
            made = call(*given)
            do()
            return made

        for name in names:
            monkeypatch.setattr(owner, name, functools.partial(between, getattr(owner, name)))

    return wrap


@pytest.mark.parametrize("is_loaded", [True, False])
def test_no_plan_goes_to_a_device_while_another_plan_leaves_it(is_loaded, session, around):
    """Whatever a plan has done of leaving it, no other one opens it anew or runs there."""
    opened = session("hangs", "slow")
    stream = opened.plan(chain(), hang_s=0.3)
    others = [opened.plan(chain()) for _ in range(6)]
    if is_loaded:
        for other in others:
            other.run(X)
    hanging_devices.WHERE.add("run")
    running, found = [], []

    def another_runs():
        if threading.current_thread() in running or not others:
            return
        plan = others.pop()
        runs = threading.Thread(target=lambda: found.append(plan.run(X)), daemon=True)
        running.append(runs)
        runs.start()
        runs.join(0.3)

    around(opened.planner.pool, ["quarantine", "abandon"], another_runs)
    assert right(in_time(lambda: stream.run(X)))
    for each in running:
        each.join(5)
    assert len(running) == len(found) >= 4
    assert all(right(result) for result in found)
    assert all(set(result.ran_on.values()) == {"slow"} for result in found)
    assert len(hanging_devices.HELD) == 1, "it is called no more"
    assert plain_devices.LOG.count(("open", "hangs")) == 1
    in_time(opened.close)


@pytest.mark.parametrize("graph", [chain, diamond])
def test_the_time_that_moving_takes_is_no_run_that_hangs(graph, session, around):
    """On a busy machine it takes longer to place a stage again than a run may take."""
    opened = session("hangs", "slow")
    plan = opened.plan(graph(), hang_s=0.5)
    hanging_devices.WHERE.add("run")
    around(plan._runner, ["_decide"], lambda: time.sleep(0.6))
    result = in_time(lambda: plan.run(X))
    assert set(result.ran_on.values()) == {"slow"}
    assert set(opened.planner.pool.why_out()) == {"hangs"}
    in_time(opened.close)


def test_the_device_that_hung_is_blamed_whatever_its_call_does_later(session, around):
    """It fails at last, and is done elsewhere, before another thread has come to move it."""
    opened = session("hangs", "slow")
    plan = opened.plan(chain(), hang_s=0.5)
    hanging_devices.WHERE.add("run")
    plain_devices.FAILURES["hangs"] = plain_devices.lost("hangs")

    def comes_back():
        hanging_devices.GO.set()
        until(lambda: ("load", "slow", "double") in plain_devices.LOG)

    around(plan._runner, ["leave"], comes_back)
    result = in_time(lambda: plan.run(X))
    assert set(result.ran_on.values()) == {"slow"}
    assert set(opened.planner.pool.why_out()) == {"hangs"}
    in_time(opened.close)


def test_a_free_slot_of_a_device_that_was_left_is_nobodys(session):
    opened = session("hangs-wide", "slow")
    stream, other = opened.plan(chain(), hang_s=0.3), opened.plan(chain())
    assert set(other.run(X).ran_on.values()) == {"hangs-wide"}
    hanging_devices.WHERE.add("run")
    assert right(in_time(lambda: stream.run(X)))
    assert set(soon(lambda: other.run(X)).ran_on.values()) == {"slow"}
    assert len(hanging_devices.HELD) == 1
    in_time(opened.close)


def test_a_strict_plan_leaves_a_device_for_all_plans(session):
    opened = session("hangs", "slow")
    strict, other = opened.plan(chain(), hang_s=0.3, strict=True), opened.plan(chain())
    hanging_devices.WHERE.add("run")
    with pytest.raises(StageFailed, match="failed on hangs: no answer after 300 ms"):
        in_time(lambda: strict.run(X))
    assert set(soon(lambda: other.run(X)).ran_on.values()) == {"slow"}
    assert "no answer after 300 ms" in opened.planner.pool.why_out()["hangs"]
    in_time(opened.close)


def test_the_end_of_a_stream_leaves_a_device_for_all_plans(session):
    opened = session("hangs", "slow")
    stream, other = opened.plan(diamond(), hang_s=0.3), opened.plan(chain())
    results = stream.stream([X] * 50)
    next(results)
    hanging_devices.WHERE.add("run")
    until(lambda: hanging_devices.HELD or next(results, None) is None)
    in_time(results.close)
    assert set(soon(lambda: other.run(X)).ran_on.values()) == {"slow"}
    assert len(hanging_devices.HELD) == 1
    in_time(opened.close)


def test_a_long_load_is_no_run_that_hangs(session, monkeypatch):
    monkeypatch.setattr("deepseek_core.runtime.limits._FLOOR_S", 0.2)
    opened = session("hangs", "slow", limits={"load_s": 30})
    opened.calibrate(diamond(), inputs=X, rounds=2)
    plan = opened.plan(diamond())
    hanging_devices.WHERE.add("load")
    threading.Timer(0.8, hanging_devices.GO.set).start()
    assert all(result["s"][0, 0] == 3.0 for result in plan.stream([X] * 3))
    assert plan.notices == ()
    opened.close()


def test_a_calibration_goes_on_without_a_device_that_hangs(session):
    opened = session("hangs", "slow")
    hanging_devices.WHERE.add("run")
    rows = in_time(lambda: opened.calibrate(chain(), inputs=X, rounds=2))
    assert {row.device_id for row in rows if row.seconds} == {"slow"}
    assert {row.device_id for row in rows if row.error} == {"hangs"}
    in_time(opened.close)


@pytest.mark.parametrize(
    "given", [{"load_s": 0}, {"load_s": "soon"}, {"open_s": float("nan")}, {"load": 3}]
)
def test_limits_are_times_by_name(given):
    with pytest.raises(ConfigError, match=r"load|open_s"):
        Limits.of(given)


def test_a_session_takes_limits_by_name(tmp_path):
    registry = Registry(plugins=(), switches=Switches())
    with Session(registry=registry, cache_dir=tmp_path, limits={"load_s": 7}) as made:
        assert made.planner.pool.limits == Limits(load_s=7)
    with pytest.raises(ConfigError, match="no limit 'run_s'"):
        Session(registry=registry, cache_dir=tmp_path, limits={"run_s": 7})
