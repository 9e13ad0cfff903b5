"""Streams end as their callers end them: no thread, no batch and no error of others is left."""

import gc
import signal
import threading
import time
import weakref

import numpy as np
import plain_devices
import pytest
from plain_graphs import chain, triple
from plain_sessions import plain_session

from deepseek_core.contracts.errors import ConfigError, DeviceClosed, TensorMismatch


@pytest.fixture(autouse=True)
def calm():
    plain_devices.FAILURES.clear()
    plain_devices.LOG.clear()


@pytest.fixture
def session(tmp_path):
    with plain_session(tmp_path, "a", "wide") as made:
        yield made


@pytest.fixture
def plan(session):
    return session.plan(chain(), batch=3)


def batch(value=1.0, items=3):
    return {"x": np.full((items, 2), float(value))}


def values(results):
    return [float(r["z"].flat[0]) for r in results]


def workers():
    return [t for t in threading.enumerate() if t.name.startswith(("a-", "wide-"))]


def no_workers():
    """Whether they end; each wait of a test has a limit."""
    until = time.monotonic() + 10
    while workers() and time.monotonic() < until:
        gc.collect()
        time.sleep(0.005)
    return not workers()


def works(plan):
    return values(plan.stream([batch(1), batch(2)])) == [4.0, 16.0]


def test_an_empty_stream_gives_nothing(plan):
    assert list(plan.stream([])) == []
    assert list(plan.stream(iter(()))) == []
    assert no_workers()


def test_batches_of_different_sizes_keep_their_sizes(plan):
    sizes = [3, 1, 0, 7, 2]
    results = list(plan.stream(batch(i, n) for i, n in enumerate(sizes)))
    assert [r.batch for r in results] == sizes
    assert [r["z"].shape for r in results] == [(n, 2) for n in sizes]


@pytest.mark.parametrize("error", [KeyError("mine"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_what_the_source_raises_comes_out_as_it_is(error, after, plan):
    def source():
        yield from (batch(i) for i in range(after))
        raise error

    with pytest.raises(type(error)) as caught:
        list(plan.stream(source()))
    assert caught.value is error
    assert not workers()
    assert works(plan)


def test_a_batch_that_does_not_fit_ends_the_stream_and_not_the_plan(plan):
    with pytest.raises(TensorMismatch, match="expected float64"):
        list(plan.stream([batch(1), batch(2), {"x": np.ones((3, 5))}, batch(4)]))
    assert no_workers()
    assert works(plan)


@pytest.mark.parametrize("how", ["closed", "dropped", "never begun"])
def test_a_stream_that_is_left_leaves_nothing(how, plan):
    given = []

    class Batch(dict):
        """What can be watched."""

    def source():
        for i in range(50):
            made = Batch(batch(i))
            given.append(weakref.ref(made))
            yield made

    stream = plan.stream(source())
    if how != "never begun":
        next(stream)
    if how == "closed":
        stream.close()
        assert not workers(), "it waits for those that run"
    del stream
    assert no_workers()
    gc.collect()
    assert [ref for ref in given if ref() is not None] == []
    assert works(plan)


def test_streams_of_one_plan_may_be_nested(plan):
    pairs = [
        (float(outer["z"].flat[0]), values(plan.stream([batch(3), batch(4)])))
        for outer in plan.stream([batch(1), batch(2)])
    ]
    assert pairs == [(4.0, [36.0, 64.0]), (16.0, [36.0, 64.0])]
    assert no_workers()


def test_a_source_may_run_the_plan_itself(plan):
    def source():
        for i in range(4):
            yield {"x": plan.run(batch(i))["z"]}

    assert values(plan.stream(source())) == [4.0 * (4.0 * i * i) ** 2 for i in range(4)]


def test_two_threads_stream_one_plan(plan):
    found = {}

    def work(first):
        found[first] = values(plan.stream(batch(first + i) for i in range(10)))

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {n: [4.0 * (n + i) ** 2 for i in range(10)] for n in (0, 100, 200)}


def test_ctrl_c_ends_a_stream_its_workers_and_nothing_else(session):
    plan = session.plan(triple(seconds=0.01), batch=3)
    came = []

    def source():
        for i in range(1000):
            if i == 5:
                signal.raise_signal(signal.SIGINT)
            came.append(i)
            yield batch(i)

    with pytest.raises(KeyboardInterrupt):
        list(plan.stream(source()))
    assert len(came) < 10
    assert not workers()
    assert plan.run(batch(1))["w"][0, 0] == 8.0


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", float("nan"), int, np.array([3])])
def test_max_in_flight_is_a_count(value, plan):
    with pytest.raises(ConfigError, match="max_in_flight must be a whole number"):
        plan.stream([batch()], max_in_flight=value)


@pytest.mark.parametrize("value", [1, 2, np.int64(3), 10**30])
def test_any_count_in_flight_gives_the_same(value, plan):
    assert values(plan.stream(map(batch, range(6)), max_in_flight=value)) == [
        4.0 * i * i for i in range(6)
    ]


@pytest.mark.parametrize("given", [None, 5, batch(), "x"])
def test_what_is_no_list_of_batches_is_refused(given, plan):
    with pytest.raises(TensorMismatch):
        list(plan.stream(given))


@pytest.mark.parametrize("close", ["plan", "session"])
def test_closing_in_mid_stream_ends_it_with_a_sentence_and_frees_all(close, session):
    plan = session.plan(chain(seconds=0.002), batch=3)
    stream = plan.stream(map(batch, range(1000)))
    next(stream)
    (plan if close == "plan" else session).close()
    with pytest.raises(DeviceClosed, match=f"the {close} is closed"):
        list(stream)
    assert no_workers()
    loads = [row[1:] for row in plain_devices.LOG if row[0] == "load"]
    frees = [row[1:] for row in plain_devices.LOG if row[0] == "free"]
    assert sorted(loads) == sorted(frees), "nothing is loaded behind the back of a closed plan"


def test_a_plan_outlives_its_session_as_a_sentence(session):
    plan = session.plan(chain(), batch=3)
    plan.run(batch())
    session.close()
    for use in (
        lambda: plan.run(batch()),
        lambda: list(plan.stream([batch()])),
        plan.warmup,
        lambda: session.plan(chain()),
        lambda: session.calibrate(chain()),
        lambda: session.compare(plan, [batch()]),
    ):
        with pytest.raises(DeviceClosed, match="the session is closed"):
            use()
    assert plan.spans, "what was seen is still told"
    plan.close()


def test_a_closed_plan_loads_nothing(session):
    plan = session.plan(chain(), batch=3)
    plan.close()
    plan.close()
    for use in (lambda: plan.run(batch()), plan.warmup, lambda: plan.stream([])):
        with pytest.raises(DeviceClosed, match="the plan is closed"):
            use()
    assert not [row for row in plain_devices.LOG if row[0] == "load"]
