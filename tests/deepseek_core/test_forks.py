"""A forked child has a copy of a session that it can't use: it is told so, and disturbs nobody."""

import os
import signal
import threading
import time

import numpy as np
import plain_devices
import pytest
from plain_graphs import chain
from plain_sessions import plain_session

from deepseek_core.runtime.server import Server

X = {"x": np.ones((3, 2))}


@pytest.fixture
def session(tmp_path):
    plain_devices.FAILURES.clear()
    plain_devices.LOG.clear()
    with plain_session(tmp_path, "a", "wide") as made:
        yield made


def in_child(work, limit_s=20.0):
    """What a forked child says of it: its result or its error. One that hangs is killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            told = f"gave {work()!r}"
        except BaseException as error:  # noqa: BLE001 - the parent must see it
            told = f"{type(error).__name__}: {error}"
        os.write(writer, told.encode())
        os._exit(0)
    os.close(writer)
    until = time.monotonic() + limit_s
    while time.monotonic() < until and os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.005)
        if time.monotonic() >= until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "hung"
    with os.fdopen(reader, "rb") as file:
        return file.read().decode()


USES = {
    "run": lambda s, plan: plan.run(X),
    "stream": lambda s, plan: list(plan.stream([X])),
    "warmup": lambda s, plan: plan.warmup(),
    "plan": lambda s, plan: s.plan(chain()),
    "calibrate": lambda s, plan: s.calibrate(chain()),
    "compare": lambda s, plan: s.compare(plan, [X]),
}


@pytest.mark.parametrize("is_quick", [False, True])
@pytest.mark.parametrize("use", USES)
def test_a_child_is_told_to_open_its_own(use, is_quick, session, monkeypatch):
    """Where a device checks inputs itself, a plan of one stage has a shorter way."""
    monkeypatch.setattr(plain_devices.PlainExecutable, "checks_inputs", is_quick)
    plan = session.plan(chain().until("y") if is_quick else chain(), batch=3)
    assert plan.run(X)
    assert (plan._quick is not None) == is_quick
    told = in_child(lambda: USES[use](session, plan))
    assert told.startswith("Interrupted: ")
    assert "open a session of its own" in told
    assert plan.run(X)


def test_a_lock_that_was_held_stops_no_child(session):
    """Whoever held it stayed in the parent and can't let go."""
    plan = session.plan(chain(), batch=3)
    held, enough = threading.Event(), threading.Event()

    def hold():
        with plan._runner._lock, session._pool._lock:
            held.set()
            enough.wait(30)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    held.wait(30)
    try:
        told = [in_child(lambda: plan.run(X)), in_child(plan.close), in_child(session.close)]
    finally:
        enough.set()
        thread.join(30)
    assert told[0].startswith("Interrupted: ")
    assert told[1:] == ["gave None", "gave None"]


def test_a_fork_in_mid_stream_disturbs_nobody(session):
    plan = session.plan(chain(seconds=0.001), batch=3)
    stream = plan.stream({"x": np.full((3, 2), float(i))} for i in range(12))
    found = [next(stream)]
    told = [in_child(lambda: next(stream)), in_child(stream.close), in_child(plan.close)]
    found += list(stream)
    assert told[0].startswith("Interrupted: ")
    assert told[1:] == ["gave None", "gave None"]
    assert [r["z"][0, 0] for r in found] == [4.0 * i * i for i in range(12)]


def test_a_childs_close_closes_nothing(session):
    plan = session.plan(chain(), batch=3)
    plan.run(X)

    def close():
        session.close()
        return [row for row in plain_devices.LOG if row[0] in ("close", "free")]

    assert in_child(close) == "gave []"
    assert np.all(plan.run(X)["z"] == 4.0)
    assert session.calibrate(chain(), inputs=X, rounds=1)


def test_a_servers_child_is_told_and_waits_for_nobody(session):
    with Server(session, chain()) as server:
        server.submit(X).result(30)
        told = in_child(lambda: server.submit(X).result(5))
        assert told.startswith("Interrupted: ")
        assert "open a session of its own" in told
        assert in_child(server.close) == "gave None"
        assert np.all(server.submit(X).result(30)["z"] == 4.0)


def test_a_child_may_open_a_session_of_its_own_on_the_same_folder(session, tmp_path):
    session.calibrate(chain(), inputs=X, rounds=1)

    def work():
        with plain_session(tmp_path, "a") as mine, mine.plan(chain(), batch=3) as plan:
            mine.calibrate(chain(), inputs=X, rounds=1)
            return float(plan.run(X)["z"][0, 0])

    assert in_child(work) == "gave 4.0"
    assert len(session._history.records()) >= 6
