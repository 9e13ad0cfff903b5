"""What a session and a server tell plugins that listen."""

from types import ModuleType

import numpy as np
import plain_devices
import pytest
from plain_graphs import chain
from plain_sessions import plain_session

from deepseek_core import events, hookimpl, hooks
from deepseek_core.contracts.errors import AdmissionRefused
from deepseek_core.discovery.hooks import Hooks
from deepseek_core.discovery.registry import Registry
from deepseek_core.discovery.switches import Switches
from deepseek_core.runtime.activity import Activity, Requests
from deepseek_core.runtime.server import Server

X = {"x": np.ones((3, 2))}


@pytest.fixture
def heard():
    return []


@pytest.fixture
def session(tmp_path, heard):
    """One whose registry has a listener."""
    plain_devices.FAILURES.clear()
    plain_devices.BEFORE.clear()
    listener = ModuleType("listener")

    @hookimpl(hooks.ds_on_event)
    def listen(event):
        heard.append(event)

    listener.listen = listen
    callers = Hooks()
    callers.register(listener, "ear")
    registry = Registry(plugins=(), switches=Switches(), hooks=callers)
    with plain_session(tmp_path, "a", "wide", registry=registry) as made:
        yield made


def states(heard):
    return [event for event in heard if isinstance(event, events.SessionState)]


def test_a_session_tells_what_its_devices_did(session, heard):
    with session.plan(chain()) as plan:
        for _ in range(3):
            plan.run(X)
    session.close()
    first, *_, last = states(heard)
    assert first.session == last.session and first.session.startswith("session ")
    assert sum(load.done for load in last.devices) == 3 * len(chain().stages)
    assert all(0 <= load.utilization <= 1 for one in (first, last) for load in one.devices)
    assert last.done == last.missed == last.refused == last.queued == {}


def test_the_short_way_of_one_stage_is_heard_too(session, heard):
    with session.plan(chain()) as plan:
        before = plan._runner.recorder.note
        assert before is not plan._runner.recorder._spans.append
        plan.run(X)
    session.close()
    assert states(heard)


def test_a_server_tells_what_became_of_requests(session, heard):
    with Server(session, chain()) as server:
        for _ in range(4):
            server.submit(X, latency="offline").result(30)
        server.submit(X).result(30)
        with pytest.raises(AdmissionRefused):
            server.submit(X, deadline_s=1e-6)
    session.registry.settle(30)
    last = [one for one in states(heard) if one.session.startswith("server ")][-1]
    assert (last.queued, last.done) == ({}, {"offline": 4, "realtime": 1})
    assert last.refused == {"realtime": 1} and not any(last.missed.values())
    assert sum(load.done for load in last.devices) >= 2


def test_a_device_that_is_lost_is_told(session, heard):
    with session.plan(chain()) as plan:
        lost = plan.devices["double"]
        plain_devices.FAILURES[lost] = [RuntimeError("it is gone")]
        plan.run(X)
    session.registry.settle(30)
    quarantined = [e for e in heard if isinstance(e, events.DeviceQuarantined)]
    assert [event.device_id for event in quarantined] == [lost]


def span(device_id, seconds, slot=0):
    return ("stage", device_id, slot, 0, 1, -seconds, 0.0)


def test_a_state_counts_what_ended_since_the_last_one():
    heard = []
    activity = Activity("session", heard.append, requests=lambda: Requests(queued={"offline": 2}))
    activity.note(span("a", 0.0))
    activity.queued("a", 7)
    for _ in range(5):
        activity.note(span("a", 1e9))
    activity.note(span("b", 0.0))
    activity.tell()
    activity.tell()
    first, second = heard
    assert [(load.device_id, load.done) for load in first.devices] == [("a", 1)]
    assert [(load.device_id, load.done, load.queued) for load in second.devices] == [
        ("a", 6, 7), ("b", 1, 0),
    ]  # fmt: skip
    assert [load.utilization for load in second.devices] == [1.0, 0.0]
    assert second.queued == {"offline": 2}
