"""The queue of a server: canceled requests, full queues, callers in turns, costs for plans."""

import asyncio
import concurrent.futures
import gc
import threading
import time
import weakref

import numpy as np
import plain_devices
import pytest
from plain_graphs import chain, diamond
from plain_sessions import plain_sessions

from deepseek_core.contracts.errors import AdmissionRefused, ConfigError, StageFailed
from deepseek_core.runtime.server import Server
from deepseek_core.schedule.online.rules import Rules


@pytest.fixture
def session(tmp_path):
    plain_devices.FAILURES.clear()
    with plain_sessions(tmp_path) as make:
        yield make


@pytest.fixture
def gate(monkeypatch):
    """Devices run nothing until it is open; `gate.ran` has the first number of each run."""
    gate = threading.Event()
    gate.ran, gate.entered = [], threading.Semaphore(0)
    usual = plain_devices.PlainExecutable.run

    def run(executable, inputs):
        gate.entered.release()
        assert gate.wait(30)
        gate.ran.append(float(next(iter(inputs.values())).flat[0]))
        return usual(executable, inputs)

    monkeypatch.setattr(plain_devices.PlainExecutable, "run", run)
    yield gate
    gate.set()


def rows(value, items=1):
    return {"x": np.full((items, 2), float(value))}


def is_soon(what):
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        if what():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("latency", ["realtime", "offline"])
def test_a_request_that_is_canceled_never_runs(session, gate, latency):
    with Server(session("a"), chain(), rules=Rules(batch_z=None)) as server:
        first = server.submit(rows(1), latency=latency)
        assert gate.entered.acquire(timeout=20)
        waiting = [server.submit(rows(n), latency=latency) for n in (2, 3, 4)]
        assert waiting[1].cancel() and waiting[1].cancel() and waiting[1].cancelled()
        with pytest.raises(concurrent.futures.CancelledError):
            waiting[1].result(0)
        gate.set()
        assert first.result(30)["z"][0, 0] == 4.0
        assert [f.result(30)["z"][0, 0] for f in waiting[::2]] == [16.0, 64.0]
        assert not first.cancel()  # it is done
    assert 3.0 not in gate.ran


def test_canceling_what_runs_drops_the_rest_of_it(session, gate):
    with Server(session("a"), chain(), most_items=2) as server:
        large = server.submit(rows(1, items=40), latency="offline")
        assert gate.entered.acquire(timeout=20)
        assert large.cancel()
        done, _ = concurrent.futures.wait([large], timeout=0)
        assert done == {large}
        gate.set()
        assert server.submit(rows(7)).result(30)["z"][0, 0] == 196.0
    assert gate.ran.count(1.0) <= 2  # what ran, and no second stage


def test_others_in_a_run_with_a_canceled_request_get_their_answers(session, gate):
    with Server(session("a"), chain()) as server:
        server.submit(rows(1))
        assert gate.entered.acquire(timeout=20)
        merged = [server.submit(rows(n)) for n in range(2, 8)]
        gate.set()
        merged[2].cancel()
        for n, future in zip(range(2, 8), merged, strict=True):
            if not future.cancelled():
                assert future.result(30)["z"][0, 0] == 4.0 * n * n


def test_an_event_loop_can_cancel(session, gate):
    async def ask(server):
        future = asyncio.wrap_future(server.submit(rows(50)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.05)

    with Server(session("a"), chain()) as server:
        server.submit(rows(1))
        assert gate.entered.acquire(timeout=20)
        asyncio.run(ask(server))
        gate.set()
        assert server.submit(rows(3)).result(30)["z"][0, 0] == 36.0
    assert 50.0 not in gate.ran


def test_canceling_from_many_threads_at_once_ends_once(session, gate):
    with Server(session("a"), chain()) as server:
        server.submit(rows(1))
        assert gate.entered.acquire(timeout=20)
        futures = [server.submit(rows(2)) for _ in range(50)]
        called = []
        for future in futures:
            future.add_done_callback(called.append)
        threads = [threading.Thread(target=lambda: [f.cancel() for f in futures]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(id, called)) == sorted(map(id, futures))
        gate.set()
        assert server.submit(rows(3)).result(30)["z"][0, 0] == 36.0


def test_the_other_branch_of_a_request_that_failed_does_not_run(session, gate):
    with Server(session("a"), diamond(), rules=Rules(most_attempts=1)) as server:
        plain_devices.FAILURES["a"] = [RuntimeError("smoke")]
        failed = server.submit(rows(5))
        gate.set()
        assert isinstance(failed.exception(30), StageFailed)
        assert is_soon(lambda: not server._queue.tasks)


def test_a_full_queue_refuses_and_says_when(session, gate):
    with Server(session("a"), chain(), rules=Rules(caller_limit=3)) as server:
        mine = [server.submit(rows(n), caller="mine") for n in (1, 2, 3)]
        with pytest.raises(AdmissionRefused, match="caller 'mine'") as refused:
            server.submit(rows(4), caller="mine")
        assert refused.value.retry_after_s > 0
        yours = server.submit(rows(5), caller="yours")
        assert mine[2].cancel()
        again = server.submit(rows(6), caller="mine")
        gate.set()
        for n, future in ((1, mine[0]), (2, mine[1]), (5, yours), (6, again)):
            assert future.result(30)["z"][0, 0] == 4.0 * n * n


def test_one_who_asks_for_one_is_answered_before_300_others_of_another(session):
    with Server(session("a"), chain(seconds=0.001), rules=Rules(batch_z=None)) as server:
        many = [server.submit(rows(n), caller="many") for n in range(300)]
        one = server.submit(rows(1), caller="one").result(60)
        assert sum(future.done() for future in many) < 100
        assert one["z"][0, 0] == 4.0


@pytest.mark.parametrize("caller", [None, 3, b"x"])
def test_a_caller_is_a_name(session, caller):
    with Server(session("a"), chain()) as server, pytest.raises(ConfigError, match="caller"):
        server.submit(rows(1), caller=caller)


def test_what_was_answered_is_not_kept(session):
    """No circle of references holds the arrays of a request until the collector comes."""
    with Server(session("a"), chain()) as server:
        gc.disable()
        try:
            inputs = rows(1, items=4)
            watched = weakref.ref(inputs["x"])
            server.submit(inputs).result(30)
            del inputs
            assert is_soon(lambda: watched() is None)
        finally:
            gc.enable()


def test_served_runs_reach_the_history(session):
    made = session("a")
    with Server(made, chain()) as server:
        for _ in range(20):
            server.submit(rows(1, items=4)).result(30)
    records = made._history.records()
    served = [record for record in records if record.batch == 4]
    assert {record.latency for record in served} == {"realtime"}
    assert len({record.stage for record in served}) == 2  # each of the two stages
    assert all(0 < record.seconds < 1 for record in served)
    assert len(served) <= 2 * 3


def test_a_history_that_takes_nothing_stops_no_server(session, caplog):
    made = session("a")
    server = Server(made, chain())
    server.submit(rows(1)).result(30)
    made._history.close()
    server.close()
    assert "were not written down" in caplog.text
