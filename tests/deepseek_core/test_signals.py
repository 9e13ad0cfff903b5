"""A signal may end anything at any moment: handlers may close, Ctrl-C may come, nothing hangs."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from plain_graphs import chain
from plain_sessions import plain_session

from deepseek_core.contracts.errors import DeviceClosed
from deepseek_core.runtime.served_requests import Answer
from deepseek_core.runtime.server import Server

SCRIPT = Path(__file__).with_name("signaled.py")
X = {"x": np.ones((1, 2))}


@pytest.mark.parametrize("work", ["serve", "submit", "abort", "stream", "run", "plan"])
@pytest.mark.parametrize("how", ["handled", "interrupted"])
def test_it_ends_at_once_with_all_its_threads(how, work, tmp_path):
    """By closes from a handler, and by Ctrl-C; at 40 random moments each."""
    done = subprocess.run(
        [sys.executable, SCRIPT, f"{how}:{work}", "40", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.endswith("ended\n"), done.stderr[-3000:]


@pytest.mark.parametrize("what", ["server", "plan", "session"])
def test_two_threads_may_close_the_same(what, tmp_path):
    for _ in range(10):
        session = plain_session(tmp_path, "a", "wide")
        server, plan = Server(session, chain()), session.plan(chain())
        plan.run(X)
        futures = [server.submit(X) for _ in range(10)]
        close = {"server": server, "plan": plan, "session": session}[what].close
        closers = [threading.Thread(target=close) for _ in range(2)]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join(5)
            assert not closer.is_alive()
        for each in (server, plan, session):
            each.close()
        assert all(future.done() for future in futures)
        with pytest.raises(DeviceClosed):
            plan.run(X)


def test_a_close_does_not_wait_for_who_answers_a_future_that_the_closer_holds(tmp_path):
    """As a handler does that has interrupted its thread in a method of the future."""
    session = plain_session(tmp_path, "a", "wide")
    server = Server(session, chain())
    server.submit(X).result(10)
    ended = threading.Event()

    def close():
        future = server.submit(X)
        with future._condition:
            server.close()
        ended.set()
        future.exception(10)

    closer = threading.Thread(target=close, daemon=True)
    closer.start()
    assert ended.wait(10)
    closer.join(10)
    assert not closer.is_alive()
    session.close()


def test_who_waits_for_an_answer_with_a_limit_leaves_nothing_behind(tmp_path):
    session = plain_session(tmp_path, "a", "wide")
    with Server(session, chain()) as server:
        future = server.submit(X)
        future.cancel()
        idle = Answer(lambda: None)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                idle.result(0.001)
        assert not idle._gates
        waiting = [threading.Thread(target=idle.exception) for _ in range(3)]
        for each in waiting:
            each.start()
        idle.set_result(server.submit(X).result(10))
        for each in waiting:
            each.join(10)
            assert not each.is_alive()
        assert idle.result().ran_on and not idle._gates
    session.close()


GARBAGE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from pathlib import Path
from plain_graphs import chain, diamond
from plain_sessions import plain_session
from deepseek_core.runtime.server import Server

session = plain_session(Path(sys.argv[2]), "a", "wide")
server = Server(session, chain())
futures = [server.submit({"x": np.ones((1, 2))}) for _ in range(100)]
stream = session.plan(diamond()).stream({"x": np.ones((1, 2))} for _ in range(100))
next(stream)
del session, server, stream
print("left", flush=True)
"""


def test_a_program_that_closes_nothing_ends_all_the_same(tmp_path):
    start_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", GARBAGE, SCRIPT.parent, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "left\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - start_s < 30
