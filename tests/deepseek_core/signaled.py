"""Closes from a signal handler at random moments of work; a process of its own for `test_signals`.

python signaled.py SCENARIO ROUNDS FOLDER
"""

import contextlib
import faulthandler
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from plain_graphs import chain, diamond
from plain_sessions import plain_session

from deepseek_core import errors
from deepseek_core.runtime.server import Server

X = {"x": np.ones((1, 2))}
LONGEST_S = 5.0
ENDED = (errors.DeviceClosed, errors.Interrupted, errors.StageFailed, StopIteration)


def serve(session, closing):
    """Answers are waited for one by one."""
    with Server(session, chain()) as server:
        closing.insert(0, server.close)
        while True:
            server.submit(X).result()


def submit(session, closing):
    """Requests that nobody waits for, until there are many."""
    with Server(session, diamond()) as server:
        closing.insert(0, server.close)
        while True:
            for _ in range(20):
                server.submit(X)
            server.submit(X).result()


def abort(session, closing):
    """The same, and nothing is drained."""
    with Server(session, diamond()) as server:
        closing.insert(0, lambda: server.close(drain=False))
        while True:
            server.submit(X).result()


def stream(session, closing):
    plan = session.plan(diamond())
    closing.insert(0, plan.close)
    for _ in plan.stream(X for _ in iter(int, 1)):
        pass


def run(session, closing):
    plan = session.plan(chain())
    closing.insert(0, plan.close)
    while True:
        plan.run(X)


def plan(session, closing):
    """Planning, loading, freeing, and the file of costs."""
    while True:
        session.calibrate(chain(), inputs=X, rounds=1)
        session.plan(diamond()).close()


def handled(work, session, delay_s):
    """Do it until a signal closes it; the seconds that the handler took."""
    closing, took_s = [session.close], []

    def on_alarm(*_):
        start_s = time.perf_counter()
        for close in closing:
            close()
        took_s.append(time.perf_counter() - start_s)

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, delay_s)
    with contextlib.suppress(*ENDED):
        while not took_s:
            work(session, closing)
    while not took_s:
        time.sleep(0.001)
    session.close()
    return took_s[0]


def interrupted(work, session, delay_s):
    """Do it until Ctrl-C; the seconds until all is closed."""
    closing, caught = [session.close], threading.Event()

    def press():
        """Again where it was lost, as in a callback of the garbage collection."""
        time.sleep(delay_s)
        while not caught.is_set():
            signal.raise_signal(signal.SIGINT)
            caught.wait(2.0)

    signal.signal(signal.SIGINT, signal.default_int_handler)
    pressing = threading.Thread(target=press)
    try:
        pressing.start()  # which may be interrupted itself
        work(session, closing)
    except KeyboardInterrupt:
        caught.set()
    start_s = time.perf_counter()
    for close in closing:
        close()
    pressing.join()
    return time.perf_counter() - start_s


def wait_for_threads():
    """Until all others have ended, or none has for ten seconds."""
    fewest, deadline_s = threading.active_count(), time.monotonic() + 10
    while fewest > 1 and time.monotonic() < deadline_s:
        time.sleep(0.01)
        if threading.active_count() < fewest:
            fewest, deadline_s = threading.active_count(), time.monotonic() + 10


def main(scenario, rounds, folder):
    rng = random.Random(scenario)
    how, _, name = scenario.partition(":")
    for number in range(rounds):
        faulthandler.dump_traceback_later(20, exit=True)
        session = plain_session(Path(folder), "a", "wide")
        took_s = globals()[how](globals()[name], session, rng.uniform(0.001, 0.03))
        assert took_s < LONGEST_S, f"round {number}: {took_s:.1f} s"
    faulthandler.cancel_dump_traceback_later()
    wait_for_threads()
    assert threading.active_count() == 1, threading.enumerate()
    print("ended")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
