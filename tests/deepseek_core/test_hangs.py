"""A device in which a call hangs costs a moment: work moves, callers are told, ends are ends."""

import threading
import time

import hanging_devices
import numpy as np
import plain_devices
import pytest
from plain_graphs import chain, diamond
from plain_sessions import plain_session

from deepseek_core.contracts.errors import AdmissionRefused, Interrupted, StageFailed
from deepseek_core.runtime.server import Server
from deepseek_core.schedule.online.rules import Rules

RULES = Rules(hang_factor=1.0, hang_floor_s=0.3, hang_guess_s=0.3, outage_s=1.0, quarantine_s=0.2)
MOST_S = 5.0  # what the end of anything may take
X = {"x": np.ones((1, 2))}


@pytest.fixture(autouse=True)
def calm():
    for made in (plain_devices.FAILURES, plain_devices.BEFORE, plain_devices.LOG):
        made.clear()
    hanging_devices.HELD.clear()
    hanging_devices.GO.clear()
    yield
    hanging_devices.WHERE.clear()
    hanging_devices.GO.set()


@pytest.fixture
def session(tmp_path):
    def make(*device_ids):
        return plain_session(tmp_path, *device_ids, factory="hanging_devices:HangingDevice")

    return make


def in_time(call):
    start_s = time.perf_counter()
    call()
    assert time.perf_counter() - start_s < MOST_S


def right(result):
    return bool(np.all(result["z"] == 4.0))


def until(condition):
    end_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


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
