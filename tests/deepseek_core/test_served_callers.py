"""Callers of a server get their own answers, whatever the others and the devices do."""

import threading
import time
from functools import partial

import attrs
import numpy as np
import plain_devices
import pytest
from plain_graphs import chain, fusing, stage, triple
from plain_sessions import plain_sessions

from deepseek_core import Batching, Graph, Support, TensorSpec
from deepseek_core.contracts.errors import (
    AdmissionRefused,
    ConfigError,
    DeviceClosed,
    InputError,
    Interrupted,
    NoDevice,
    StageFailed,
    TensorMismatch,
    Unsupported,
)
from deepseek_core.runtime.served_runs import joined, parted
from deepseek_core.runtime.server import Server
from deepseek_core.schedule.online.records import Part
from deepseek_core.schedule.online.rules import Rules


@pytest.fixture(autouse=True)
def calm():
    plain_devices.FAILURES.clear()
    plain_devices.LOG.clear()


@pytest.fixture
def session(tmp_path):
    with plain_sessions(tmp_path) as make:
        yield make


def rows(items, value=1.0):
    return {"x": np.full((items, 2), float(value))}


class Picky(plain_devices.PlainDevice):
    """`square` squares and does nothing else; negative numbers are refused by all."""

    def supports(self, operation):
        if self.info.id == "square" and operation.name != "Square":
            return Support.no("squares only")
        return super().supports(operation)

    def load(self, stage, options):
        return PickyExecutable(stage, self.info.id)


class PickyExecutable(plain_devices.PlainExecutable):
    def run(self, inputs):
        if any((value < 0).any() for value in inputs.values()):
            raise InputError("numbers below 0 have no root")
        return super().run(inputs)


@pytest.fixture
def picky(session, monkeypatch):
    monkeypatch.setattr(plain_devices, "Picky", Picky, raising=False)
    return lambda *ids: session(*ids, factory="plain_devices:Picky")


def test_a_model_of_joined_stages_on_two_devices_is_served(picky):
    stages = [
        stage("one", "Double", ["x"], "y"),
        stage("two", "Double", ["y"], "z"),
        stage("three", "Square", ["z"], "w"),
    ]
    graph = fusing(Graph(name="g", stages=stages, outputs=["w"]))
    with Server(picky("simple", "square"), graph) as server:
        for latency in ("realtime", "offline"):
            result = server.submit(rows(3), latency=latency).result(30)
            assert np.all(result["w"] == 16.0)
            assert result.ran_on == {"one": "simple", "two": "simple", "three": "square"}


@pytest.mark.parametrize("graph", [chain, triple, lambda: fusing(triple())])
@pytest.mark.parametrize("latency", ["realtime", "offline"])
def test_models_of_several_stages_answer_in_both_classes(latency, graph, session):
    with Server(session("a", "b"), graph()) as server:
        futures = [server.submit(rows(1 + i % 3, i), latency=latency) for i in range(20)]
        for i, future in enumerate(futures):
            result = future.result(30)
            assert result.batch == 1 + i % 3
            name = server._graph.outputs[0]
            assert np.all(result[name] == (4.0 if name == "z" else 8.0) * i * i)


def test_a_server_that_cannot_start_frees_what_it_had_loaded(session, monkeypatch):
    def load(device, stage, options, usual=plain_devices.PlainDevice.load):
        if stage.name == "square":
            raise RuntimeError("no room")
        return usual(device, stage, options)

    monkeypatch.setattr(plain_devices.PlainDevice, "load", load)
    before = threading.active_count()
    with pytest.raises(NoDevice, match="could load stage 'square'"):
        Server(session("a"), chain())
    assert threading.active_count() == before
    events = [row for row in plain_devices.LOG if row[0] in ("load", "free")]
    assert events == [("load", "a", "double"), ("free", "a", "double")]


def test_one_bad_caller_fails_alone(picky):
    with Server(picky("a"), chain(seconds=0.002)) as server:
        futures = {i: server.submit(rows(2, -i if i % 4 == 1 else i)) for i in range(16)}
        for i, future in futures.items():
            if i % 4 == 1:
                assert isinstance(future.exception(30), InputError)
            else:
                assert np.all(future.result(30)["z"] == 4.0 * i * i)
    assert not server.notices, "the device is not to blame"


class Narrow(plain_devices.PlainDevice):
    """`narrow` takes small numbers only, and says so when it sees others."""

    def load(self, stage, options):
        return NarrowExecutable(stage, self.info.id)


class NarrowExecutable(plain_devices.PlainExecutable):
    def run(self, inputs):
        if self.device_id == "narrow" and any((v > 100).any() for v in inputs.values()):
            raise Unsupported("numbers above 100", device_id="narrow", remedy="use another device")
        return super().run(inputs)


@pytest.mark.parametrize("latency", ["realtime", "offline"])
def test_values_that_one_device_refuses_go_to_another(session, monkeypatch, latency):
    monkeypatch.setattr(plain_devices, "Narrow", Narrow, raising=False)
    make = partial(session, factory="plain_devices:Narrow")
    with Server(make("narrow", "wide"), chain(seconds=0.002)) as server:
        values = [300 if i % 4 == 1 else i for i in range(24)]
        futures = [server.submit(rows(2, v), latency=latency) for v in values]
        for value, future in zip(values, futures, strict=True):
            assert np.all(future.result(30)["z"] == 4.0 * value * value)
        assert not server.notices, "the device is not to blame"
    with Server(make("narrow"), chain()) as server:
        refused = server.submit(rows(2, 300), latency=latency).exception(30)
        assert "numbers above 100" in str(refused)
        assert np.all(server.submit(rows(2, 3), latency=latency).result(30)["z"] == 36.0)
        assert not server.notices


def test_no_items_are_an_answer_too(session):
    with Server(session("a"), chain()) as server:
        futures = [server.submit(rows(n)) for n in (0, 3, 0, 2)]
        assert [f.result(30)["z"].shape for f in futures] == [(0, 2), (3, 2), (0, 2), (2, 2)]


def test_a_request_larger_than_a_run_is_cut_or_refused(session):
    with Server(session("a"), chain(), most_items=4) as server:
        with pytest.raises(AdmissionRefused, match="more than 4 items") as refused:
            server.submit(rows(5))
        assert refused.value.retry_after_s is None
        result = server.submit(rows(11, 3), latency="offline").result(30)
    assert result["z"].shape == (11, 2) and np.all(result["z"] == 36.0)


def test_what_has_no_batch_axis_is_neither_merged_nor_cut(session):
    graph = chain().with_batching(Batching(reason="declared so"))
    with Server(session("a"), graph, most_items=4) as server:
        futures = [server.submit(rows(9, i), latency="offline") for i in range(5)]
        shapes = [f.result(30)["z"].shape for f in futures]
        assert shapes == [(9, 2)] * 5
        assert len(server.recorder.spans) == 5 * len(server._graph.stages)


def test_a_state_on_axis_1_is_cut_on_axis_1(session):
    made = stage("join", "Add", ["x", "state"], "s")
    specs = {s.name: s for s in (*made.inputs, *made.outputs)}
    state = attrs.evolve(specs["state"], shape=(2, "batch"), batch_axis=1)
    # Adds [batch, 2] to the transpose of [2, batch]
    graph = Graph(name="g", stages=[attrs.evolve(made, inputs=[specs["x"], state])], outputs=["s"])
    with Server(session("a", factory="served_states:StateDevice"), graph, most_items=3) as server:
        given = {"x": np.arange(14.0).reshape(7, 2), "state": 100 * np.arange(14.0).reshape(2, 7)}
        result = server.submit(given, latency="offline").result(30)
        assert np.array_equal(result["s"], given["x"] + given["state"].T)
        assert max(span.batch for span in server.recorder.spans) <= 3
        futures = [
            server.submit({"x": np.full((n, 2), float(n)), "state": np.full((2, n), 0.5)})
            for n in (1, 2, 1)
        ]
        assert [f.result(30)["s"].tolist() for f in futures] == [
            [[n + 0.5] * 2] * n for n in (1, 2, 1)
        ]


def test_parts_are_joined_and_cut_on_the_axis_of_each_tensor():
    specs = [
        TensorSpec(name="x", dtype="float64", shape=("N", 2), batch_axis=0),
        TensorSpec(name="state", dtype="float64", shape=(2, "N"), batch_axis=1),
    ]
    pieces = [
        {"x": np.full((n, 2), float(n)), "state": np.full((2, n), float(n))} for n in (1, 3, 2)
    ]
    whole = joined(specs, pieces)
    assert (whole["x"].shape, whole["state"].shape) == ((6, 2), (2, 6))
    parts = [Part(task_id=str(n), first=0, items=n, attempt=1) for n in (1, 3, 2)]
    for piece, again in zip(pieces, parted(specs, whole, parts), strict=True):
        assert all(np.array_equal(again[name], piece[name]) for name in piece)


@pytest.fixture
def gate(monkeypatch):
    """Devices run nothing until it is open."""
    opened = threading.Event()
    usual = plain_devices.PlainExecutable.run

    def run(executable, inputs):
        assert opened.wait(30)
        return usual(executable, inputs)

    monkeypatch.setattr(plain_devices.PlainExecutable, "run", run)
    yield opened
    opened.set()


def test_a_deadline_that_is_past_when_its_turn_comes_is_told(session, gate):
    with Server(session("a"), chain(), rules=Rules(batch_z=None)) as server:
        futures = [server.submit(rows(1)), server.submit(rows(1), deadline_s=0.5)]
        time.sleep(0.55)
        gate.set()
        assert futures[0].result(30).batch == 1
        with pytest.raises(AdmissionRefused, match="was dropped"):
            futures[1].result(30)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "1", True, [1]])
def test_a_deadline_is_a_time(value, session):
    with Server(session("a"), chain()) as server:
        with pytest.raises(ConfigError, match="deadline_s"):
            server.submit(rows(1), deadline_s=value)
        assert server.submit(rows(1)).result(30).batch == 1


@pytest.mark.parametrize("inputs", [None, [], {}, {"y": np.ones((1, 2))}, {"x": None}, "x"])
def test_inputs_that_do_not_fit_are_refused_at_once(inputs, session):
    with Server(session("a"), chain()) as server, pytest.raises(TensorMismatch):
        server.submit(inputs)


def test_two_tenants_both_get_on(session, gate):
    """Offline work fills gaps: what is asked for at once does not wait for all of it."""
    order = []
    with Server(session("a"), chain(), most_items=4) as server:
        bulk = server.submit(rows(80, 2), latency="offline")
        bulk.add_done_callback(lambda _future: order.append("bulk"))
        quick = [server.submit(rows(1, i)) for i in range(5)]
        for future in quick:
            future.add_done_callback(lambda _future: order.append("quick"))
        gate.set()
        assert np.all(bulk.result(30)["z"] == 16.0)
        assert [f.result(30)["z"][0, 0] for f in quick] == [4.0 * i * i for i in range(5)]
    assert order == ["quick"] * 5 + ["bulk"]


def test_a_session_that_is_closed_under_a_server_leaves_no_caller_waiting(session):
    made = session("a")
    server = Server(made, chain(seconds=0.001), rules=Rules(quarantine_s=0.01))
    futures = [server.submit(rows(1)) for _ in range(3)]
    made.close()
    with pytest.raises(DeviceClosed, match="the session is closed"):
        server.submit(rows(1))
    outcomes = [future.exception(30) for future in futures]
    assert all(error is None or isinstance(error, StageFailed) for error in outcomes)
    server.close()


def test_a_callback_cannot_close_the_server_that_calls_it(session):
    """Its worker would wait for itself."""
    said = []
    done = threading.Event()

    def close(_future):
        try:
            server.close()
        except ConfigError as error:
            said.append(str(error))
        done.set()

    with Server(session("a"), chain(seconds=0.001)) as server:
        server.submit(rows(1)).add_done_callback(close)
        assert done.wait(30)
        assert np.all(server.submit(rows(1)).result(30)["z"] == 4.0)
    assert not said or "callback" in said[0]


def test_a_callback_may_ask_for_more(session):
    second = []
    with Server(session("a"), chain()) as server:
        first = server.submit(rows(1))
        first.add_done_callback(lambda f: second.append(server.submit({"x": f.result()["z"]})))
        first.result(30)
    assert np.all(second[0].result(30)["z"] == 64.0)


def test_closing_at_once_answers_all_who_wait(session):
    server = Server(session("a"), chain(seconds=0.02), rules=Rules(batch_z=None))
    futures = [server.submit(rows(1)) for _ in range(6)]
    closers = [threading.Thread(target=server.close, kwargs={"drain": False}) for _ in range(2)]
    for closer in closers:
        closer.start()
    for closer in closers:
        closer.join(30)
        assert not closer.is_alive()
    errors = [future.exception(30) for future in futures]
    assert all(error is None or isinstance(error, Interrupted) for error in errors)


def test_plans_and_a_server_share_the_slots_of_a_device(session):
    made = session("a")
    plan = made.plan(chain(seconds=0.001), batch=1)
    with Server(made, chain(seconds=0.001)) as server:
        futures = [server.submit(rows(1, i)) for i in range(10)]
        assert [r["z"][0, 0] for r in plan.stream(rows(1, i) for i in range(10))] == [
            4.0 * i * i for i in range(10)
        ]
        assert [f.result(30)["z"][0, 0] for f in futures] == [4.0 * i * i for i in range(10)]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("is_quick", [False, True])
def test_a_device_that_a_server_opened_anew_is_loaded_anew_by_plans(
    strict, is_quick, session, monkeypatch
):
    """The server closed it, for it had failed there; the plan is not to blame for that."""
    monkeypatch.setattr(plain_devices, "Closing", Closing, raising=False)
    monkeypatch.setattr(ClosingExecutable, "checks_inputs", is_quick)
    made = session("a", factory="plain_devices:Closing")
    plan = made.plan(chain().until("y"), batch=1, strict=strict)
    assert plan.run(rows(1))["y"][0, 0] == 2.0
    with Server(made, chain(), rules=Rules(quarantine_s=0.01)) as server:
        plain_devices.FAILURES["a"] = [plain_devices.lost("a")]
        assert server.submit(rows(1)).result(30)["z"][0, 0] == 4.0
        assert server.notices[0].startswith("a quarantined")
        answers = []

        def work():
            answers.extend(plan.run(rows(1))["y"][0, 0] for _ in range(4))

        threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert answers == [2.0] * 12
    assert not plan.notices, "nothing moved"
    assert (plan._quick is not None) == is_quick, "the short way is found again"
    plain_devices.FAILURES["a"] = [plain_devices.lost("a")]
    with pytest.raises(StageFailed, match="the cable is out"):
        plan.run(rows(1))


class Closing(plain_devices.PlainDevice):
    """Closes what it loaded when it is closed, as drivers do."""

    def __init__(self, device_id, options):
        super().__init__(device_id, options)
        self.loaded = []

    def load(self, stage, options):
        self.loaded.append(ClosingExecutable(stage, self.info.id))
        return self.loaded[-1]

    def close(self):
        super().close()
        for executable in self.loaded:
            executable.close()


class ClosingExecutable(plain_devices.PlainExecutable):
    is_closed = False

    def run(self, inputs):
        if self.is_closed:
            raise DeviceClosed("it is closed", device_id=self.device_id)
        return super().run(inputs)

    def close(self):
        super().close()
        self.is_closed = True


def test_parts_that_cannot_be_joined_fail_their_request_alone(session):
    stages = [attrs.evolve(stage, shapes_hold=False) for stage in chain().stages]
    graph = attrs.evolve(chain(), stages=stages)
    with Server(session("a", factory="served_states:GrowingDevice"), graph, most_items=2) as server:
        with pytest.raises(StageFailed, match="must match"):
            server.submit(rows(5), latency="offline").result(30)
        assert server.submit(rows(1), latency="offline").result(30)["z"].shape[0] == 1
