"""A device that vanishes after it was planned with, and one that two sessions use at once."""

import threading

import numpy as np
import plain_devices
import pytest
from plain_graphs import chain
from plain_sessions import plain_sessions

from deepseek_core.contracts.errors import DeviceUnavailable, StageFailed
from deepseek_core.runtime.server import Server
from deepseek_core.schedule.online.rules import Rules

X = {"x": np.full((2, 2), 3.0)}


@pytest.fixture
def session(tmp_path):
    plain_devices.FAILURES.clear()
    plain_devices.BEFORE.clear()
    plain_devices.LOG.clear()
    with plain_sessions(tmp_path) as make:
        yield make
    plain_devices.FAILURES.clear()


@pytest.fixture
def vanishes(monkeypatch):
    """From now on device `a` can neither load nor run."""

    def vanish():
        usual = plain_devices.PlainDevice.load

        def load(device, stage, options):
            if device.info.id == "a":
                raise DeviceUnavailable("the cable is out", device_id="a")
            return usual(device, stage, options)

        monkeypatch.setattr(plain_devices.PlainDevice, "load", load)
        plain_devices.FAILURES["a"] = plain_devices.lost("a")

    return vanish


@pytest.mark.parametrize("has_run", [False, True])
def test_what_was_planned_on_a_device_that_vanished_moves(session, vanishes, has_run):
    with session("a", "slow").plan(chain(), batch=2) as plan:
        assert set(plan.placement.used()) == {"a"}
        if has_run:
            plan.run(X)
        vanishes()
        result = plan.run(X)
        assert np.all(result["z"] == 36.0)
        assert set(result.ran_on.values()) == {"slow"}
        assert any("the cable is out" in notice for notice in plan.notices)
        assert [np.all(r["z"] == 36.0) for r in plan.stream([X] * 5)] == [True] * 5


def test_where_nobody_else_is_it_is_told(session, vanishes):
    with session("a").plan(chain(), batch=2) as plan:
        vanishes()
        with pytest.raises(StageFailed, match="double"):
            plan.run(X)


def test_a_server_goes_on_without_it(session, vanishes):
    with Server(session("a", "slow"), chain(), rules=Rules(quarantine_s=0.05)) as server:
        assert np.all(server.submit(X).result(30)["z"] == 36.0)
        vanishes()
        for _ in range(20):
            result = server.submit(X).result(30)
            assert np.all(result["z"] == 36.0)
            assert set(result.ran_on.values()) == {"slow"}


def test_two_sessions_use_one_device_and_each_ends_alone(session):
    first, second = session("a"), session("a")
    wrong = []

    def work(plan, value):
        for batch in range(200):
            given = np.full((2, 2), float(value + batch))
            if not np.all(plan.run({"x": given})["z"] == (2 * given) ** 2):
                wrong.append(value)

    with second.plan(chain(), batch=2) as kept:
        with first.plan(chain(), batch=2) as plan:
            threads = [
                threading.Thread(target=work, args=args) for args in ((plan, 0), (kept, 1000))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        first.close()
        assert np.all(kept.run(X)["z"] == 36.0)
    assert wrong == []
    assert plain_devices.LOG.count(("open", "a")) == 2
    assert plain_devices.LOG.count(("close", "a")) == 1
