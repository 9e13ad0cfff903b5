"""Rounds of requests and batches over three devices, two of which misbehave.

Each value of a request says whose it is, so that a wrong or foreign answer is seen.
"""

import itertools
import random
import threading
import time
from collections import Counter
from pathlib import Path

import attrs
import chaos_devices
import numpy as np
from plain_graphs import diamond
from plain_sessions import plain_session

from deepseek_core import errors
from deepseek_core.runtime.server import Server
from deepseek_core.schedule.online.rules import Rules

THREADS = 8
DEVICES = ("bad-a", "bad-b", "good")
LIMITS = {"ask_s": 0.5, "open_s": 0.5, "load_s": 0.5, "close_s": 0.5}
HANG_S = 0.4
RULES = Rules(
    hang_factor=1.0, hang_floor_s=HANG_S, hang_guess_s=HANG_S, quarantine_s=0.05, outage_s=10.0
)
DEADLINE_S = 2.0
LATE_S = 10.0  # after a deadline; a busy machine has other things to do
END_S = 5.0
THREADS_END_S = 20.0


@attrs.define(kw_only=True)
class Outcome:
    """What became of a round: counts of answers, the longest ends, threads that stayed."""

    kind: str
    counts: Counter = attrs.Factory(Counter)
    failures: list = attrs.Factory(list)
    close_s: float = 0.0
    latest_s: float = 0.0
    lost_threads: int = 0
    bad_calls: int = 0
    notices: tuple = ()

    def faults(self):
        """What must not be, in words."""
        found = [f"{self.counts[name]} {name}" for name in ("wrong", "late", "failed")]
        told = [text for text in found if not text.startswith("0 ")]
        if self.close_s > END_S:
            told.append(f"an end took {self.close_s:.1f} s")
        if self.lost_threads:
            told.append(f"{self.lost_threads} threads stayed")
        return told + self.failures[:1]


def values(number):
    """A batch of 1 to 4 items, like no other."""
    items = number % 4 + 1
    return np.arange(2.0 * items).reshape(items, 2) + 100.0 * number


def is_right(result, number):
    x = values(number)
    return all(
        got.shape == x.shape and got.dtype == x.dtype and np.array_equal(got, right)
        for got, right in ((result["l"], 2 * x), (result["s"], 2 * x + x**2))
    )


def play(folder, name, *, requests, batches):
    """One kind: requests of many threads to a server, then a stream, then a run."""
    kind = chaos_devices.KINDS[name]
    outcome = Outcome(kind=name)
    before = threading.active_count()
    chaos_devices.begin(kind)
    session = plain_session(
        Path(folder),
        *DEVICES,
        factory="chaos_devices:ChaosDevice",
        limits=LIMITS,
        finite=kind.checked,
    )
    server = Server(session, diamond(), rules=RULES)
    answers = ask_from_threads(server, requests, outcome)
    ended(server.close, outcome)
    outcome.notices = tuple(server.notices)
    stream(session, batches, requests, answers, outcome)
    ended(session.close, outcome)
    chaos_devices.write_late()
    for number, result in answers:  # once more: nobody may have written into them since
        outcome.counts["right" if is_right(result, number) else "wrong"] += 1
    outcome.bad_calls = chaos_devices.Now.bad
    chaos_devices.GO.set()
    outcome.lost_threads = threads_over(before)
    return outcome


def ask_from_threads(server, requests, outcome):
    """All requests, some by a deadline, some offline; number and answer of those served."""
    answers, numbers, lock = [], itertools.count(), threading.Lock()

    def work(seed):
        rng = random.Random(seed)
        while (number := next(numbers)) < requests:
            offline = rng.random() < 0.2
            deadline_s = None if offline or rng.random() < 0.5 else DEADLINE_S
            start_s = time.perf_counter()
            what, result = asked(server, number, offline, deadline_s)
            with lock:
                outcome.latest_s = max(outcome.latest_s, time.perf_counter() - start_s)
                if what == "right":
                    answers.append((number, result))
                else:
                    outcome.counts[what] += 1
                    if what == "failed":
                        outcome.failures.append(result)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return answers


def asked(server, number, offline, deadline_s):
    """What became of one request, and its answer or error."""
    try:
        future = server.submit(
            {"x": values(number)},
            latency="offline" if offline else "realtime",
            deadline_s=deadline_s,
        )
        result = future.result((deadline_s or DEADLINE_S) + LATE_S)
    except errors.AdmissionRefused:
        return "refused", None
    except errors.DeepSeekError as error:
        return "failed", f"{type(error).__name__}: {error}"
    except TimeoutError:
        return "late", None
    return "right" if is_right(result, number) else "wrong", result


def stream(session, batches, first, answers, outcome):
    """Batches through a plan, in order, then one by itself."""
    plan = session.plan(diamond(), batch=4, hang_s=HANG_S)
    numbers = range(first, first + batches)
    try:
        results = plan.stream({"x": values(number)} for number in numbers)
        found = list(zip(numbers, results, strict=True))
        found.append((first, plan.run({"x": values(first)})))
    except errors.DeepSeekError as error:
        outcome.counts["failed"] += 1
        outcome.failures.append(f"{type(error).__name__}: {error}")
    else:
        answers += found
    ended(plan.close, outcome)


def ended(close, outcome):
    start_s = time.perf_counter()
    close()
    outcome.close_s = max(outcome.close_s, time.perf_counter() - start_s)


def threads_over(before):
    """Threads that are more than before, once all had time to end."""
    until_s = time.monotonic() + THREADS_END_S
    while threading.active_count() > before and time.monotonic() < until_s:
        time.sleep(0.01)
    return threading.active_count() - before
