"""What a device writes into or holds on to is its own; what callers have stays as it is."""

import threading

import numpy as np
import plain_devices
import pytest
from plain_graphs import chain
from plain_sessions import plain_session

from deepseek_core.contracts.errors import StageFailed
from deepseek_core.runtime.owned import locked, owned
from deepseek_core.runtime.server import Server

ONE = np.ones((2, 2))


class Holder:
    """Hands out what it holds, in some way."""

    def __init__(self, make):
        self.held = make()


def fresh():
    return np.full((2, 2), 3.0)


def taken(run):
    """As the SDK takes what a run gave: it has one name for it."""
    outputs = run()
    return owned(outputs, ("y",))["y"]


@pytest.mark.parametrize(
    "make",
    [
        fresh,
        lambda: fresh()[:1],
        lambda: fresh().reshape(4, 1),
        lambda: fresh().T,
        lambda: np.frombuffer(bytes(32), np.float64),
        lambda: np.array([["a", None]], object),
    ],
)
def test_what_nobody_holds_is_handed_on_uncopied(make):
    seen = []

    def outputs():
        made = {"y": make()}
        seen.append(made["y"].__array_interface__["data"][0])
        return made

    assert taken(outputs).__array_interface__["data"][0] == seen[0]


@pytest.mark.parametrize(
    ("make", "hand_out"),
    [
        (fresh, lambda held: {"y": held}),
        (fresh, lambda held: {"y": held[:]}),
        (fresh, lambda held: {"y": held[:1].T}),
        (lambda: fresh()[:], lambda held: {"y": held}),
        (lambda: fresh()[:], lambda held: {"y": held[:]}),
        (lambda: bytearray(32), lambda held: {"y": np.frombuffer(held, np.float64)}),
        (lambda: bytearray(32), lambda held: {"y": np.frombuffer(held, np.float64).reshape(2, 2)}),
        (lambda: bytearray(32), lambda held: {"y": np.asarray(memoryview(held))}),
        (lambda: {"y": fresh()}, lambda held: held),
    ],
)
def test_what_a_device_holds_is_copied(make, hand_out):
    holder = Holder(make)
    got = taken(lambda: hand_out(holder.held))
    before = got.copy()
    held = holder.held["y"] if isinstance(holder.held, dict) else holder.held
    np.asarray(memoryview(held)).reshape(-1)[...] = 77
    assert np.array_equal(got, before)


def test_other_mappings_and_what_is_no_array_pass():
    class Other(dict):
        """No plain dict."""

    made = owned(Other(y=fresh(), z=[1, 2]), ("y", "z"))
    assert type(made) is dict
    assert made["z"] == [1, 2]
    assert np.array_equal(made["y"], fresh())


def test_inputs_cant_be_written_to_and_are_not_copied():
    given = {"x": fresh(), "n": 3}
    seen = locked(given)
    assert np.shares_memory(seen["x"], given["x"])
    with pytest.raises(ValueError, match="read-only"):
        seen["x"][...] = 0
    assert given["x"].flags.writeable
    assert seen["n"] == 3


def spoil(inputs):
    for value in inputs.values():
        value[...] = -1.0


def test_one_that_changes_its_inputs_has_failed_and_another_one_answers(tmp_path):
    plain_devices.FAILURES.clear()
    x = {"x": np.ones((1, 2))}
    with plain_session(tmp_path, "a", "slow") as session:
        plain_devices.BEFORE["a"] = spoil
        try:
            result = session.plan(chain()).run(x)
        finally:
            plain_devices.BEFORE.clear()
    assert np.all(result["z"] == 4.0)
    assert set(result.ran_on.values()) == {"slow"}
    assert np.all(x["x"] == 1.0)


class Reusing(plain_devices.PlainExecutable):
    """Fills the same arrays in each run, and is as quick as can be."""

    checks_inputs = True
    lock = threading.Lock()
    arrays: dict = {}  # noqa: RUF012 - of all

    def run(self, inputs):
        made = super().run(inputs)
        for name, value in made.items():
            kept = self.arrays.setdefault((self.stage.name, name, value.shape), value)
            kept[...] = value
            made[name] = kept
        return made


def test_a_device_that_fills_the_same_arrays_changes_no_answer(tmp_path, monkeypatch):
    """Also where it is called the short way."""
    monkeypatch.setattr(plain_devices, "PlainExecutable", Reusing)
    with plain_session(tmp_path, "a") as session:
        plan = session.plan(chain().until("y"))
        results = [plan.run({"x": np.full((1, 2), float(n))}) for n in range(20)]
        assert plan._quick is not None
        results += plan.stream({"x": np.full((1, 2), float(n))} for n in range(20, 40))
        assert [r["y"][0, 0] for r in results] == [2.0 * n for n in range(40)]


# -- NaN and infinity -------------------------------------------------------------------------


@pytest.fixture
def broken(monkeypatch):
    """Device `a` makes `value` of everything."""

    def begin(value):
        usual = plain_devices.PlainExecutable.run

        def run(self, inputs):
            made = usual(self, inputs)
            if self.device_id == "a":
                made = {name: np.full_like(v, value) for name, v in made.items()}
            return made

        monkeypatch.setattr(plain_devices.PlainExecutable, "run", run)

    plain_devices.FAILURES.clear()
    return begin


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_where_it_is_checked_another_device_answers(value, broken, tmp_path):
    broken(value)
    with plain_session(tmp_path, "a", "slow", finite=True) as session:
        result = session.plan(chain()).run({"x": ONE})
        assert np.all(result["z"] == 4.0)
        with Server(session, chain()) as server:
            assert np.all(server.submit({"x": ONE}).result(30)["z"] == 4.0)
    told = pytest.raises(StageFailed, match="a gave NaN or infinity in stage 'double'")
    with plain_session(tmp_path, "a", finite=True) as session, told:
        session.plan(chain()).run({"x": ONE})


def test_where_it_is_not_checked_it_is_an_answer(broken, tmp_path):
    broken(np.nan)
    with plain_session(tmp_path, "a", "slow") as session:
        assert np.all(np.isnan(session.plan(chain()).run({"x": ONE})["z"]))


def test_nan_that_comes_in_may_come_out(tmp_path):
    plain_devices.FAILURES.clear()
    with plain_session(tmp_path, "a", finite=True) as session:
        x = np.array([[1.0, np.nan]])
        assert np.array_equal(session.plan(chain()).run({"x": x})["z"], 4 * x, equal_nan=True)
