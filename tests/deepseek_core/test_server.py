"""A server answers many callers, refuses what it can't do in time, and survives its devices."""

import threading
import time

import child_devices
import numpy as np
import plain_devices
import pytest
from plain_graphs import chain, diamond
from plain_sessions import plain_sessions

from deepseek_core.contracts.errors import (
    AdmissionRefused,
    ConfigError,
    DeviceClosed,
    Interrupted,
    OutOfMemory,
    StageFailed,
    TensorMismatch,
)
from deepseek_core.runtime.server import Server
from deepseek_core.schedule.online.rules import Rules


@pytest.fixture(autouse=True)
def calm():
    plain_devices.FAILURES.clear()
    plain_devices.BEFORE.clear()
    child_devices.OPENED.clear()


@pytest.fixture
def session(tmp_path):
    with plain_sessions(tmp_path) as make:
        yield make


def ones(items, value=1.0):
    return {"x": np.full((items, 2), float(value))}


def test_many_callers_each_get_their_own_answer(session):
    with Server(session("a", "wide"), chain()) as server:
        answers = {}

        def call(caller):
            for i in range(25):
                value = caller * 100 + i
                answers[value] = server.submit(ones(1 + i % 3, value)).result(30)

        threads = [threading.Thread(target=call, args=(c,)) for c in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 200
    for value, result in answers.items():
        assert np.all(result["z"] == 4.0 * value * value)
        assert result["z"].shape[0] == result.batch
        assert set(result.ran_on) == {"double", "square"}


def test_branches_join(session):
    with Server(session("a", "b"), diamond()) as server:
        assert np.all(server.submit(ones(2, 3)).result(30)["s"] == 15.0)


def test_offline_work_is_cut_and_comes_back_in_order(session):
    with Server(session("a", "b"), chain(), most_items=4) as server:
        rows = np.arange(74.0).reshape(37, 2)
        result = server.submit({"x": rows}, latency="offline").result(30)
        assert np.array_equal(result["z"], (2 * rows) ** 2)
        assert max(span.batch for span in server.recorder.spans) <= 4


def test_a_deadline_of_offline_work_is_refused_in_words(session):
    with Server(session("a"), chain()) as server:
        with pytest.raises(ConfigError, match="has no deadline") as refused:
            server.submit(ones(1), latency="offline", deadline_s=1.0)
        assert 'latency="realtime"' in refused.value.remedy
        assert np.all(server.submit(ones(1), latency="offline").result(30)["z"] == 4.0)


@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit])
def test_a_callback_that_raises_anything_costs_no_worker(error, session):
    def leave(_future):
        raise error("of the caller")

    before = threading.active_count()
    with Server(session("a"), chain()) as server:
        at_work = threading.active_count()
        for _ in range(3):
            future = server.submit(ones(1))
            future.add_done_callback(leave)
            assert np.all(future.result(30)["z"] == 4.0)
        assert threading.active_count() == at_work
    assert threading.active_count() == before


def test_work_moves_from_a_device_without_memory(session):
    plain_devices.FAILURES["a"] = OutOfMemory("no room", device_id="a")
    with Server(session("a", "slow"), chain()) as server:
        for _ in range(20):
            result = server.submit(ones(2)).result(30)
            assert np.all(result["z"] == 4.0)
            assert set(result.ran_on.values()) == {"slow"}
    assert server.notices[0].startswith("a quarantined: OutOfMemory: no room")


def test_what_has_no_room_together_runs_one_by_one(session):
    """The first run of all is at work when the others arrive, so they go together."""

    def too_much(inputs):
        if len(inputs["x"]) > 1:
            raise OutOfMemory("no room", device_id="a")

    plain_devices.BEFORE["a"] = too_much
    with Server(session("a"), chain(seconds=0.05).until("y")) as server:
        futures = [server.submit(ones(1, value)) for value in range(6)]
        for value, future in enumerate(futures):
            assert np.all(future.result(30)["y"] == 2.0 * value)
    assert server.notices == []


def test_a_deadline_that_no_device_can_meet_is_refused_at_once(session):
    with Server(session("a"), chain()) as server:
        with pytest.raises(AdmissionRefused) as refused:
            server.submit(ones(1), deadline_s=1e-6)
        assert refused.value.retry_after_s is None
        assert refused.value.retryable


def test_a_deadline_behind_a_backlog_is_refused_with_a_time_to_retry(session):
    rules = Rules(learning=0.0)
    with Server(session("a"), chain(seconds=0.02), rules=rules) as server:
        accepted, refusals = [], []
        for _ in range(60):
            try:
                accepted.append(server.submit(ones(4), deadline_s=0.15))
            except AdmissionRefused as error:
                refusals.append(error)
        assert accepted
        assert refusals
        assert all(e.retry_after_s > 0 for e in refusals)
        for future in accepted:
            error = future.exception(30)
            assert error is None or isinstance(error, AdmissionRefused)


def test_inputs_that_do_not_fit_never_start(session):
    with Server(session("a"), chain()) as server, pytest.raises(TensorMismatch):
        server.submit({"x": np.ones((1, 3))})


def test_a_request_that_keeps_failing_ends_with_the_cause(session):
    plain_devices.FAILURES["a"] = RuntimeError("short circuit")
    with Server(session("a"), chain(), rules=Rules(quarantine_s=0.01)) as server:
        future = server.submit(ones(1))
        with pytest.raises(StageFailed, match="short circuit") as failed:
            future.result(30)
        assert isinstance(failed.value.__cause__, RuntimeError)
        assert "quarantined" in server.notices[0]


@pytest.mark.parametrize("error", [GeneratorExit("panic"), SystemExit(3), KeyboardInterrupt()])
def test_a_driver_that_raises_what_is_no_exception_stops_no_worker(error, session):
    plain_devices.FAILURES["a"] = [error]
    with Server(session("a", "slow"), chain(), rules=Rules(quarantine_s=0.05)) as server:
        assert np.all(server.submit(ones(1, 2)).result(30)["z"] == 16.0)
        assert server.notices[0].startswith(f"a quarantined: {type(error).__name__}")


def test_a_device_that_fails_once_is_quarantined_and_comes_back(session):
    plain_devices.FAILURES["a"] = [plain_devices.lost("a")]
    with Server(session("a", "slow"), chain(), rules=Rules(quarantine_s=0.05)) as server:
        assert np.all(server.submit(ones(1, 2)).result(30)["z"] == 16.0)
        until = time.monotonic() + 30
        while not any("back" in n for n in server.notices) and time.monotonic() < until:
            time.sleep(0.01)
        plain_devices.FAILURES.clear()
        assert server.submit(ones(1)).result(30).ran_on["double"] == "a"
    assert [n.split(" ")[0] for n in server.notices] == ["a", "a"]


def test_a_process_that_aborts_loses_nothing_and_repeats_nothing(session):
    made = session("one", "two", factory="child_devices:ChildDevice")
    with Server(made, chain(seconds=0.002), rules=Rules(quarantine_s=0.05)) as server:
        futures = []
        for i in range(120):
            if i == 40:
                child_devices.LIVE["one"].abort_next = True
            futures.append(server.submit(ones(1 + i % 2, i)))
            time.sleep(0.001)
        for i, future in enumerate(futures):
            assert np.all(future.result(60)["z"] == 4.0 * i * i)
        assert not server._queue.tasks
        until = time.monotonic() + 30
        while child_devices.OPENED.count("one") < 2 and time.monotonic() < until:
            server.submit(ones(1)).result(60)
        log = list(server.notices)
    assert log[0].startswith("one quarantined: DeviceLost")
    assert log[1].startswith("one back from quarantine")
    assert child_devices.OPENED.count("one") == 2
    assert child_devices.OPENED.count("two") == 1


def test_a_device_that_does_not_come_back_stops_nobody(session, monkeypatch):
    made = session("one", "two", factory="child_devices:ChildDevice")
    with Server(made, chain(), rules=Rules(quarantine_s=0.02)) as server:

        def refuse(_self, _device_id, _options):
            raise OSError("no such board")

        monkeypatch.setattr(child_devices.ChildDevice, "__init__", refuse)
        child_devices.LIVE["one"].abort_next = True
        until = time.monotonic() + 30
        while len(server.notices) < 3 and time.monotonic() < until:
            futures = [server.submit(ones(3, i), latency="offline") for i in range(20)]
            for i, future in enumerate(futures):
                assert np.all(future.result(60)["z"] == 4.0 * i * i)
    assert server.notices[0].startswith("one quarantined: DeviceLost")
    assert server.notices[1].startswith("one back")
    assert "can't be opened" in server.notices[2]


def test_nonsense_is_refused_before_it_starts(session):
    with Server(session("a"), chain()) as server:
        with pytest.raises(ConfigError, match="soon"):
            server.submit(ones(1), latency="soon")
        with pytest.raises(ConfigError, match="-1"):
            server.submit(ones(1), deadline_s=-1)


def test_closing_finishes_what_was_accepted(session):
    server = Server(session("a"), chain(seconds=0.01))
    futures = [server.submit(ones(1)) for _ in range(5)]
    server.close()
    assert all(future.done() and future.exception() is None for future in futures)
    server.close()
    with pytest.raises(DeviceClosed):
        server.submit(ones(1))


def test_closing_without_draining_tells_those_who_wait(session):
    server = Server(session("a"), chain(seconds=0.05), rules=Rules(batch_z=None))
    futures = [server.submit(ones(1)) for _ in range(5)]
    server.close(drain=False)
    errors = [future.exception(30) for future in futures]
    assert all(error is None or isinstance(error, Interrupted) for error in errors)
    assert isinstance(errors[-1], Interrupted)


def test_no_thread_outlives_its_server(session):
    before = threading.active_count()
    with Server(session("a", "wide"), chain()) as server:
        server.submit(ones(1)).result(30)
    assert threading.active_count() == before
