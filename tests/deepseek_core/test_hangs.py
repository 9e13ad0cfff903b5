"""A device in which a call hangs costs a moment: work moves, callers are told, ends are ends."""

import threading
import time

import attrs
import hanging_devices
import numpy as np
import plain_devices
import pytest
from hanging_devices import in_time, until
from plain_graphs import chain, diamond
from plain_sessions import plain_session

from deepseek_core import Estimate
from deepseek_core.contracts.errors import (
    AdmissionRefused,
    ConfigError,
    Interrupted,
    StageFailed,
)
from deepseek_core.runtime.limits import limit_s
from deepseek_core.runtime.server import Server
from deepseek_core.schedule.online.rules import Rules

RULES = Rules(hang_factor=1.0, hang_floor_s=0.3, hang_guess_s=0.3, outage_s=1.0, quarantine_s=0.2)
X = {"x": np.ones((1, 2))}


@pytest.fixture(autouse=True)
def calm():
    with hanging_devices.released():
        yield


@pytest.fixture
def session(tmp_path):
    def make(*device_ids):
        return plain_session(tmp_path, *device_ids, factory="hanging_devices:HangingDevice")

    return make


def right(result):
    return bool(np.all(result["z"] == 4.0))


@pytest.mark.parametrize("device_id", ["hangs", "hangs-wide"])
def test_what_hangs_is_done_elsewhere_and_the_callers_get_their_own(device_id, session):
    server = Server(session(device_id, "slow"), chain(), rules=RULES)
    assert right(server.submit(X).result(30))
    hanging_devices.WHERE.add("run")
    values = {value: server.submit({"x": np.full((2, 2), float(value))}) for value in range(1, 30)}
    for value, future in values.items():
        assert np.all(future.result(10)["z"] == 4.0 * value * value)
        assert set(future.result()["z"].shape) == {2}
    assert any(f"{device_id} quarantined: a run hangs" in notice for notice in server.notices)
    assert hanging_devices.HELD
    in_time(server.close)


def test_a_device_is_tried_again_once_its_call_has_come_back(session):
    server = Server(session("hangs", "slow"), chain(), rules=RULES)
    hanging_devices.WHERE.add("run")
    assert right(server.submit(X).result(10))
    hanging_devices.WHERE.clear()
    hanging_devices.GO.set()
    until(lambda: any("back from quarantine" in notice for notice in server.notices))
    until(lambda: "hangs" in server.submit(X).result(10).ran_on.values())
    assert right(server.submit(X).result(10))
    assert plain_devices.LOG.count(("open", "hangs")) == 2
    in_time(server.close)


@pytest.mark.parametrize("latency", ["realtime", "offline"])
def test_where_nobody_is_left_requests_end(latency, session):
    server = Server(session("hangs"), chain(), rules=RULES)
    hanging_devices.WHERE.add("run")
    futures = [server.submit(X, latency=latency) for _ in range(5)]
    for future in futures:
        with pytest.raises(StageFailed, match="no device that runs it was in service for 1 s"):
            future.result(5)
    with pytest.raises(StageFailed, match="no device that runs it"):
        server.submit(X, latency=latency).result(5)
    in_time(server.close)


def test_where_nobody_is_left_a_deadline_is_refused_or_kept(session):
    server = Server(session("hangs"), chain(), rules=RULES)
    hanging_devices.WHERE.add("run")
    future = server.submit(X, deadline_s=0.5)
    with pytest.raises(AdmissionRefused, match="no device was there in time"):
        future.result(5)
    with pytest.raises(AdmissionRefused, match="out of service"):
        server.submit(X, deadline_s=0.5)
    in_time(server.close)


def test_the_end_of_a_server_needs_no_patience(session):
    """What is only a guess, on the only device, would have ten minutes."""
    server = Server(session("hangs"), chain())
    hanging_devices.WHERE.add("run")
    futures = [server.submit(X) for _ in range(3)]
    until(lambda: hanging_devices.HELD)
    in_time(server.close)
    assert all(isinstance(future.exception(0), StageFailed) for future in futures)


@pytest.mark.parametrize("drain", [True, False])
@pytest.mark.parametrize("graph", [chain, diamond])
def test_a_server_ends_while_calls_hang(graph, drain, session):
    opened = session("hangs", "slow")
    server = Server(opened, graph(), rules=RULES)
    hanging_devices.WHERE.add("run")
    futures = [server.submit(X) for _ in range(8)]
    until(lambda: hanging_devices.HELD)
    in_time(lambda: server.close(drain=drain))
    for future in futures:
        assert future.done()
        assert drain is False or future.exception() is None
        assert isinstance(future.exception(), Interrupted | None)
    in_time(opened.close)


@pytest.mark.parametrize("latency", ["realtime", "offline"])
def test_a_server_does_not_wait_for_a_device_that_does_not_come_back(latency, session):
    patient = attrs.evolve(RULES, outage_s=3600.0)
    server = Server(session("hangs"), chain(), rules=patient)
    hanging_devices.WHERE.add("run")
    futures = [server.submit(X, latency=latency) for _ in range(3)]
    until(lambda: server.notices)
    in_time(server.close)
    for future in futures:
        assert isinstance(future.exception(0), StageFailed)


@pytest.mark.parametrize("call", ["free", "close"])
def test_a_device_that_does_not_let_go_holds_up_nobody(call, session):
    opened = session("hangs", "slow")
    server = Server(opened, chain(), rules=RULES)
    hanging_devices.WHERE.add(call)
    assert right(server.submit(X).result(10))
    in_time(server.close)
    in_time(opened.close)
    assert ("close", "slow") in plain_devices.LOG


def test_nothing_of_a_run_that_was_given_up_reaches_anybody(session):
    server = Server(session("hangs", "slow"), chain(), rules=RULES)
    hanging_devices.WHERE.add("run")
    futures = [server.submit(X) for _ in range(4)]
    assert all(right(future.result(10)) for future in futures)
    hanging_devices.GO.set()
    until(lambda: any("back from quarantine" in notice for notice in server.notices))
    hanging_devices.WHERE.clear()
    assert all(right(server.submit(X).result(10)) for _ in range(20))
    in_time(server.close)


def test_no_worker_is_lost_when_calls_come_back(session):
    before = threading.active_count()
    server = Server(session("hangs-wide", "slow"), chain(), rules=RULES)
    at_work = threading.active_count()
    for _ in range(3):
        hanging_devices.GO.clear()
        hanging_devices.WHERE.add("run")
        assert right(server.submit(X).result(10))
        hanging_devices.WHERE.clear()
        hanging_devices.GO.set()
        until(lambda: "back from quarantine" in server.notices[-1])
        assert right(server.submit(X).result(10))
        assert threading.active_count() == at_work
    in_time(server.close)
    assert threading.active_count() == before


def test_plans_of_the_session_leave_a_device_out_as_long_as_a_run_hangs(session):
    """One that waits for the slot in which the server's run hangs, and one that comes later."""
    opened = session("hangs", "slow")
    server = Server(opened, chain(), rules=RULES)
    first, second = opened.plan(chain(), latency="realtime"), opened.plan(chain())
    assert set(first.run(X).ran_on.values()) == {"hangs"}
    hanging_devices.WHERE.add("run")
    future, found = server.submit(X), []
    until(lambda: hanging_devices.HELD)
    waiting = threading.Thread(target=lambda: found.append(first.run(X)), daemon=True)
    waiting.start()
    assert right(future.result(10))
    waiting.join(5)
    assert [set(result.ran_on.values()) for result in found] == [{"slow"}]
    assert set(second.run(X).ran_on.values()) == {"slow"}
    assert hanging_devices.HELD == ["run"], "it is called no more"
    hanging_devices.WHERE.clear()
    hanging_devices.GO.set()
    until(lambda: any("back from quarantine" in notice for notice in server.notices))
    assert set(opened.plan(chain()).run(X).ran_on.values()) == {"hangs"}
    in_time(server.close)
    in_time(opened.close)


# -- streams ----------------------------------------------------------------------------------


def streamed(plan, count=12):
    return list(plan.stream({"x": np.full((1, 2), float(n))} for n in range(count)))


@pytest.mark.parametrize("device_id", ["hangs", "hangs-wide"])
@pytest.mark.parametrize("graph", [chain, diamond])
@pytest.mark.parametrize("call", ["run", "load"])
def test_a_stream_goes_on_elsewhere_and_in_order(call, graph, device_id, session):
    opened = session(device_id, "slow")
    plan = opened.plan(graph(), hang_s=0.3)
    assert device_id in plan.devices.values()
    hanging_devices.WHERE.add(call)
    hanging_devices.HELD.clear()
    results = streamed(plan)
    expected = [4.0 * n * n if graph is chain else 2.0 * n + n * n for n in range(12)]
    assert [result[plan.graph.outputs[0]][0, 0] for result in results] == expected
    assert all(set(result.ran_on.values()) == {"slow"} for result in results)
    assert hanging_devices.HELD
    assert any("no answer after 300 ms" in n and "moved to slow" in n for n in plan.notices)
    assert len(streamed(plan)) == 12
    in_time(plan.close)
    in_time(opened.close)


def test_what_comes_back_after_all_reaches_nobody(session):
    opened = session("hangs", "slow")
    plan = opened.plan(chain(seconds=0.02), hang_s=0.3)
    hanging_devices.WHERE.add("run")
    results = iter(plan.stream([X] * 30))
    assert right(next(results))
    hanging_devices.GO.set()
    assert all(map(right, results))
    in_time(opened.close)


@pytest.mark.parametrize(
    ("device_ids", "options", "told"),
    [
        (["hangs"], {}, "failed on hangs: no answer after 300 ms"),
        (["hangs", "slow"], {"strict": True}, "failed on hangs: no answer after 300 ms"),
        (["hangs", "hangs-too"], {}, "no answer after 300 ms"),
    ],
)
def test_a_stream_ends_where_nobody_else_can(device_ids, options, told, session):
    opened = session(*device_ids)
    plan = opened.plan(chain(), hang_s=0.3, **options)
    hanging_devices.WHERE.add("run")
    with pytest.raises(StageFailed, match=told):
        in_time(lambda: streamed(plan))
    in_time(plan.close)
    in_time(opened.close)


def test_a_stream_that_is_left_ends_while_calls_hang(session):
    opened = session("hangs", "slow")
    plan = opened.plan(diamond(), hang_s=0.5)
    results = plan.stream([X] * 50)
    next(results)
    hanging_devices.WHERE.add("run")
    until(lambda: hanging_devices.HELD or next(results, None) is None)
    in_time(results.close)
    in_time(opened.close)


def test_a_stream_is_patient_where_nobody_else_can(session, monkeypatch):
    """The only device takes its time, far more than what was measured: that is no fault."""
    monkeypatch.setattr("deepseek_core.runtime.limits._FLOOR_S", 0.1)
    opened = session("slow")
    opened.calibrate(chain(), inputs=X, rounds=2)
    plan = opened.plan(chain())
    plain_devices.BEFORE["slow"] = lambda _inputs: time.sleep(0.3)
    assert all(map(right, plan.stream([X] * 3)))
    assert plan.notices == ()
    in_time(opened.close)


def test_a_stream_moves_from_a_measured_device_without_being_told(session, monkeypatch):
    monkeypatch.setattr("deepseek_core.runtime.limits._FLOOR_S", 0.3)
    opened = session("hangs", "slow")
    opened.calibrate(diamond(), inputs=X, rounds=2)
    plan = opened.plan(diamond())
    hanging_devices.WHERE.add("run")
    assert all(result["s"][0, 0] == 3.0 for result in plan.stream([X] * 3))
    in_time(opened.close)


@pytest.mark.parametrize("hang_s", [0, -1.0, float("nan"), "soon"])
def test_a_limit_is_a_time(hang_s, session):
    with pytest.raises(ConfigError, match="hang_s"):
        session("slow").plan(chain(), hang_s=hang_s)


def test_limits_follow_the_costs():
    def cost(seconds, sigma=0.0, source="measured"):
        return Estimate(seconds=seconds, sigma=sigma, source=source)

    assert limit_s([None]) == 600.0
    assert limit_s([cost(1e-3)]) == 5.0
    assert limit_s([cost(1.0), cost(2.0)]) == 60.0
    assert limit_s([cost(1.0, sigma=1.0)]) == pytest.approx(20 * 10.24, rel=1e-3)
    assert limit_s([cost(1e-3), cost(1e-3, source="prior")]) == 600.0
    assert limit_s([cost(100.0, source="prior")]) == 2000.0
