"""A device that lies or crashes when it is asked takes nobody else down."""

import threading

import lying_devices
import numpy as np
import plain_devices
import pytest
from plain_graphs import chain
from plain_sessions import plain_session

from deepseek_core import Concurrency, Estimate
from deepseek_core.contracts.errors import InputError, NoDevice, StageFailed
from deepseek_core.runtime.server import Server

X = {"x": np.ones((3, 2))}


def crash():
    raise RuntimeError("driver bug")


def leave():
    raise SystemExit(3)


def answer(value):
    return lambda: value


def guess(seconds, sigma):
    return lambda: Estimate(seconds=seconds, sigma=sigma, source="prior")


LIES = [
    ("supports", crash),
    ("supports", leave),
    ("supports", answer(None)),
    ("supports", answer("yes")),
    ("estimate", crash),
    ("estimate", answer(0.001)),
    ("estimate", answer(None)),
    ("estimate", guess(0.0, 0.0)),
    ("estimate", guess(5e-324, 1.0)),
    ("estimate", guess(1e308, 5.0)),
    ("estimate", guess(1e-9, 1e6)),
    ("estimate", lambda: Estimate(seconds=float("nan"), sigma=1.0, source="prior")),
    ("concurrency", crash),
    ("concurrency", answer(None)),
    ("concurrency", lambda: Concurrency(slots=0)),
    ("concurrency", lambda: Concurrency(slots=10**9)),
    ("load", crash),
    ("load", leave),
    ("load", answer(None)),
    ("run", answer(None)),
    ("run", lambda _made=None: crash()),
    ("run", lambda made: list(made.values())),
    ("run", lambda made: {}),
    ("run", lambda made: {**made, "x": np.zeros((3, 2)), "y": np.zeros((3, 2))}),
    ("run", lambda made: {"other": next(iter(made.values()))}),
    ("run", lambda made: dict.fromkeys(made, 3.0)),
    ("run", lambda made: dict.fromkeys(made, None)),
    ("run", lambda made: {n: v.astype("float32") for n, v in made.items()}),
    ("run", lambda made: {n: v[:-1] for n, v in made.items()}),
    ("run", lambda made: {n: np.concatenate([v, v[:1]]) for n, v in made.items()}),
    ("run", lambda made: {n: v[0] for n, v in made.items()}),
    ("run", lambda made: {n: v[None] for n, v in made.items()}),
    ("run", lambda made: {n: v[:, :1] for n, v in made.items()}),
    ("run", lambda made: {n: v.ravel() for n, v in made.items()}),
    ("warmup", crash),
    ("free", crash),
    ("close", crash),
    ("info", answer(None)),
    ("info", lambda: plain_devices.info("another")),
]


@pytest.fixture(autouse=True)
def calm():
    plain_devices.FAILURES.clear()
    lying_devices.HOW.clear()
    yield
    lying_devices.HOW.clear()


@pytest.fixture
def session(tmp_path):
    made = plain_session(tmp_path, "liar", "honest", factory="lying_devices:LyingDevice")
    yield made
    made.close()


def lie(method, how):
    if method == "run" and how.__code__.co_argcount == 0:
        lying_devices.HOW["run"] = lambda _made: how()
    else:
        lying_devices.HOW[method] = how


def name(value):
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("method", "how"), LIES, ids=name)
def test_a_plan_runs_all_the_same_and_can_be_explained(method, how, session):
    lie(method, how)
    plan = session.plan(chain(), batch=3)
    plan.warmup()
    assert np.all(plan.run(X)["z"] == 4.0)
    assert [np.all(r["z"] == 4.0) for r in plan.stream([X] * 4)] == [True] * 4
    assert "honest" in plan.explain()
    assert plan.to_json()["value_s"] > 0
    session.close()
    assert ("close", "honest") in plain_devices.LOG


@pytest.mark.parametrize(("method", "how"), LIES, ids=name)
def test_a_server_answers_all_the_same(method, how, session):
    lie(method, how)
    before = threading.active_count()
    with Server(session, chain()) as server:
        futures = [server.submit(X) for _ in range(4)]
        assert all(np.all(future.result(30)["z"] == 4.0) for future in futures)
    assert threading.active_count() == before, "no worker died or stayed"


@pytest.mark.parametrize(("method", "how"), LIES, ids=name)
def test_a_calibration_measures_the_others(method, how, session):
    lie(method, how)
    rows = session.calibrate(chain(), inputs=X, rounds=2)
    assert {r.stage for r in rows if r.device_id == "honest" and r.seconds} == {"double", "square"}
    assert all(r.error for r in rows if r.seconds is None)


def test_what_it_did_wrong_is_told(session):
    lie("supports", crash)
    with pytest.raises(NoDevice, match="liar can't tell its support: RuntimeError: driver bug"):
        session.plan(chain(), pin={"double": "liar"})


def test_outputs_that_are_not_there_are_told_by_name(session):
    lie("run", lambda made: {"other": next(iter(made.values()))})
    plan = session.plan(chain(), batch=3, pin={"double": "liar"}, strict=True)
    with pytest.raises(StageFailed, match=r"'double' makes y: float64.* it gave other: float64"):
        plan.run(X)


def test_a_run_that_gives_fewer_items_than_it_got_is_told_and_answered_by_another(session):
    """Cut out of such a run, answers would be those of others, or short."""
    lie("run", lambda made: {n: v[:1] for n, v in made.items()})
    with Server(session, chain()) as server:
        for future in [server.submit(X) for _ in range(4)]:
            assert np.all(future.result(30)["z"] == np.full((3, 2), 4.0))
    assert any("it gave y: float64 [1, 2]" in notice for notice in server.notices)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, None, "2"])
def test_slots_are_a_whole_number_of_one_or_more(value):
    with pytest.raises(InputError, match=r"Concurrency\.slots must be"):
        Concurrency(slots=value)
    assert Concurrency(host_threads=0).slots == 1
    if value != 0:
        with pytest.raises(InputError, match=r"Concurrency\.host_threads must be"):
            Concurrency(host_threads=value)


def test_a_guess_of_no_time_at_all_still_counts_as_some(session):
    lie("estimate", guess(0.0, 0.0))
    plan = session.plan(chain(), batch=3)
    assert set(plan.devices.values()) == {"liar"}
    assert plan.placement.value_s == pytest.approx(2e-9)
