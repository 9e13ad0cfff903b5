"""The executor of a session: who runs its plans, and over which devices."""

import sys
import threading
from typing import ClassVar

import attrs
import numpy as np
import pytest

from deepseek_core import (
    Concurrency,
    DeviceSpec,
    Estimate,
    Executor,
    ExecutorSpec,
    Server,
    Session,
    errors,
    places,
    training,
)
from deepseek_core.cli import main
from deepseek_core.discovery.registry import Registered, Registry, find_executor
from deepseek_core.discovery.switches import Switches
from deepseek_core.schedule.placement import place
from deepseek_core.schedule.problem import Candidate, Link, Objective, Problem, StageOptions
from deepseek_core.schedule.value import routes_period_s

import plain_devices  # isort: skip
import plain_graphs  # isort: skip


def registry(**record):
    spec = ExecutorSpec(name="far", **record)
    found = Registered(record=spec, plugin="acme", dist="acme", version="1")
    return Registry(plugins=(), switches=Switches(), executors=(found,))


def batches(count=6):
    return [{"x": np.full((2, 2), float(n))} for n in range(count)]


# -- an executor that runs the plan ------------------------------------------------------------


class Quiet(Executor):
    """Gives less than it was given."""

    gives = "nothing"

    def __init__(self, plan):
        self.plan = plan

    def stream(self, batches):
        for number, batch in enumerate(batches):
            if self.gives == "fewer" and number % 2:
                continue
            yield self.made(batch["x"])
            if self.gives == "a crash":
                raise OSError("the network is down")
        if self.gives == "more":
            yield {"z": batch["x"]}

    def made(self, x):
        others = {"no output": {}, "a list": {"z": x.tolist()}, "a rank": {"z": x[0]}}
        return others.get(self.gives, {"z": x})

    def close(self):
        plain_devices.LOG.append(("ended", "executor"))


class Local(places.Place):
    """A place without a network: devices of these tests, whose tensors can be lost."""

    instances: ClassVar = []
    lost: ClassVar = set()  # devices whose tensors are gone
    ids = ("far:a", "far:b")

    def __init__(self, options):
        self.options, self.closed = options, 0
        self.instances.append(self)

    def offers(self):
        spec = DeviceSpec(
            name="plain", kind="cpu", factory="plain_devices:PlainDevice", probe="a:b"
        )
        infos = map(plain_devices.info, self.ids)
        return [places.DeviceOffer(info=i, spec=spec, plugin="plain", dist="plain") for i in infos]

    def open(self, offer, options):
        return FarDevice(offer.info.id, options)

    def links(self):
        return {("far:a", "far:b"): places.Link(latency_s=0.25)}

    def close(self):
        self.closed += 1


class FarDevice(plain_devices.PlainDevice):
    def load(self, stage, options):
        return FarExecutable(stage, self.info.id)

    def concurrency(self, latency):
        return Concurrency(ahead=1)


class FarExecutable(plain_devices.PlainExecutable):
    def run(self, inputs):
        here = {
            n: v.to_host() if isinstance(v, places.RemoteTensor) else v for n, v in inputs.items()
        }
        made = {n: FarTensor(v, self.device_id) for n, v in super().run(here).items()}
        return places.TimedOutputs(made, 1e-6)


class FarTensor(places.RemoteTensor):
    fetched: ClassVar = []

    def __init__(self, value, device_id):
        self.value, self.device_id = value, device_id
        self.dtype, self.shape = value.dtype, value.shape

    def to_host(self):
        if self.device_id in Local.lost:
            raise errors.TensorLost("its node is gone", device_id=self.device_id)
        FarTensor.fetched.append(self.device_id)
        return self.value.copy()


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(Local, "instances", [])
    monkeypatch.setattr(Local, "lost", set())
    monkeypatch.setattr(FarTensor, "fetched", [])
    monkeypatch.setattr(Quiet, "gives", "nothing")
    monkeypatch.setitem(sys.modules, "far_place", sys.modules[__name__])


@pytest.fixture
def scaffold(tmp_path, monkeypatch):
    """The executor that `ds-sdk new-plugin` makes, as its own registry."""
    folder = tmp_path / "made"
    assert main(["new-plugin", "executor", "acme_ahead", "--folder", str(folder)]) == 0
    monkeypatch.syspath_prepend(folder / "src")
    yield registry(factory="acme_ahead.executor:ThreadExecutor")
    for name in [name for name in sys.modules if name.startswith("acme_ahead")]:
        del sys.modules[name]


def plain_plan(found, tmp_path, monkeypatch, graph=None, **options):
    """A session of that executor with a device of these tests, and its plan."""
    session = Session(registry=found, executor="far", cache_dir=tmp_path)
    for offer in Local(None).offers()[:1]:
        session.planner.pool.add(offer)
    return session, session.plan(graph or plain_graphs.chain(), **options)


def test_the_executor_of_the_scaffold_runs_the_plans_of_a_session(
    scaffold, tmp_path, monkeypatch, capsys
):
    threads = set()
    monkeypatch.setitem(
        plain_devices.BEFORE, "far:a", lambda _i: threads.add(threading.current_thread().name)
    )
    session, plan = plain_plan(scaffold, tmp_path, monkeypatch)
    with session:
        results = list(plan.stream(batches()))
        one = plan.run(batches()[3])
        with pytest.raises(errors.InputError):
            plan.run({"x": np.zeros((2, 2), np.int8)})
    right = [(2 * batch["x"]) ** 2 for batch in batches()]
    assert all(np.array_equal(r["z"], e) for r, e in zip(results, right, strict=True))
    assert [r.sequence for r in results] == list(range(6))
    assert np.array_equal(one["z"], right[3])
    assert one.ran_on == {"double": "far:a", "square": "far:a"}
    assert threads
    assert threading.current_thread().name not in threads
    assert not [t for t in threading.enumerate() if t.name.startswith("acme_ahead")]


@pytest.mark.parametrize(
    ("gives", "told"),
    [
        ("no output", "left out the output 'z'"),
        ("fewer", "read 6 batches and gave 3 results"),
        ("more", "read 6 batches and gave more results"),
        ("a list", "gave a list for the output z: float64"),
        ("a rank", "gave another output: tensor 'z': expected float64"),
        ("a crash", "failed as it ran a plan: OSError: the network is down"),
    ],
)
def test_an_executor_that_breaks_its_contract_is_named(tmp_path, monkeypatch, gives, told):
    monkeypatch.setattr(Quiet, "gives", gives)
    session, plan = plain_plan(registry(factory="far_place:Quiet"), tmp_path, monkeypatch)
    with session, pytest.raises(errors.PluginError, match=told):
        list(plan.stream(batches()))


def test_what_the_batches_of_the_caller_raise_is_not_the_executors_fault(
    scaffold, tmp_path, monkeypatch
):
    def failing():
        yield from batches(2)
        raise KeyError("the caller's own")

    session, plan = plain_plan(scaffold, tmp_path, monkeypatch)
    with session, pytest.raises(KeyError, match="the caller's own"):
        list(plan.stream(failing()))


def test_a_reader_of_an_executor_may_stop_early(scaffold, tmp_path, monkeypatch):
    session, plan = plain_plan(scaffold, tmp_path, monkeypatch)
    with session:
        stream = plan.stream(batches())
        next(stream)
        stream.close()
        left = plan.stream(batches())
        next(left)
    with pytest.raises(errors.DeviceClosed):
        list(left)


def test_results_of_an_executor_are_numbered_as_they_come(tmp_path, monkeypatch):
    class OneByOne(Quiet):
        def stream(self, batches):
            return map(self.plan.run, batches)

    monkeypatch.setattr(sys.modules[__name__], "OneByOne", OneByOne, raising=False)
    session, plan = plain_plan(registry(factory="far_place:OneByOne"), tmp_path, monkeypatch)
    with session:
        assert [r.sequence for r in plan.stream(batches(3))] == [0, 1, 2]


def test_a_server_does_not_leave_the_executor_out(scaffold, tmp_path, monkeypatch):
    session, plan = plain_plan(scaffold, tmp_path, monkeypatch)
    with session, pytest.raises(errors.ConfigError, match="'far' runs plans only"):
        Server(session, plan.graph)


def test_an_executor_bounds_what_is_in_flight_itself(tmp_path, monkeypatch):
    session, plan = plain_plan(registry(factory="far_place:Quiet"), tmp_path, monkeypatch)
    with session, pytest.raises(errors.ConfigError, match="decides itself"):
        plan.stream(batches(), max_in_flight=2)


def test_an_executor_ends_with_its_plan(tmp_path, monkeypatch):
    session, plan = plain_plan(registry(factory="far_place:Quiet"), tmp_path, monkeypatch)
    with session:
        list(plan.stream(batches()))
        plain_devices.LOG.clear()
    assert plain_devices.LOG[0] == ("ended", "executor")
    with pytest.raises(errors.DeviceClosed):
        plan.run(batches()[0])


def test_what_is_no_executor_is_told(tmp_path, monkeypatch):
    session, plan = plain_plan(registry(factory="builtins:str"), tmp_path, monkeypatch)
    with session, pytest.raises(errors.PluginError, match="made a str, no Executor"):
        plan.run(batches()[0])
    with pytest.raises(errors.PluginError, match="made a str, no Place"):
        Session(registry=registry(factory="a:b", place="builtins:str"), executor="far")


def test_an_executor_that_is_not_there_says_what_is():
    with pytest.raises(errors.ConfigError, match="no plugin offers an executor 'near'") as caught:
        find_executor(registry(factory="a:b"), "near")
    assert "installed: far" in caught.value.message
    with pytest.raises(errors.ConfigError, match="executor 'ray'") as caught:
        find_executor(Registry(plugins=(), switches=Switches()), "ray")
    assert "cluster_ray" in caught.value.remedy
    missing = Registered(
        record=ExecutorSpec(name="far", factory="a:b"), plugin="acme", dist="acme", version="1",
        reason="it needs the module 'tin'", remedy="pip install tin",
    )  # fmt: skip
    with pytest.raises(errors.ConfigError, match="needs the module 'tin'"):
        find_executor(Registry(plugins=(), switches=Switches(), executors=(missing,)), "far")


def test_an_address_needs_an_executor(capsys):
    assert main(["devices", "--address", "a:1"]) != 0
    assert "--executor" in capsys.readouterr().err


def test_an_address_is_for_executors_that_have_one(monkeypatch, capsys):
    monkeypatch.setattr(
        "deepseek_core.cli.executor_options.discover", lambda: registry(factory="a:b")
    )
    assert main(["devices", "--executor", "far", "--address", "a:1"]) == 2
    assert "executor far has no address" in capsys.readouterr().err


# -- a place with devices of its own -----------------------------------------------------------


@pytest.fixture
def far(tmp_path):
    found = registry(factory="a:b", place="far_place:Local")
    with Session(registry=found, executor="far", cache_dir=tmp_path, threads=3) as session:
        yield session


def test_a_session_plans_over_the_devices_of_a_place(far):
    assert [d.id for d in far.devices] == ["far:a", "far:b"]
    (opened,) = Local.instances
    assert opened.options.threads == 3
    assert opened.options.environment
    with far.plan(plain_graphs.chain(), pin={"square": "far:b"}) as plan:
        assert plan.problem.links == {("far:a", "far:b"): Link(latency_s=0.25)}
        results = list(plan.stream(batches()))
        assert np.array_equal(plan.run(batches()[3])["z"], results[3]["z"])
    assert [r["z"][0, 0] for r in results] == [(2.0 * n) ** 2 for n in range(6)]
    assert all(type(r["z"]) is np.ndarray for r in results)
    assert max(span.seconds for span in plan.spans) < 1e-3  # the device's own, not the way to it
    assert {span.slot for span in plan.spans} == {0}  # two in flight, one at a time there
    far.close()
    far.close()
    assert opened.closed == 1


def test_only_what_the_caller_gets_is_fetched_by_the_session(far):
    with far.plan(plain_graphs.triple(), pin={"again": "far:b"}) as plan:
        plan.run(batches()[1])
    # w and y are outputs; z goes from the one device to the other
    assert len(FarTensor.fetched) == 2 + 1


@pytest.mark.parametrize("way", ["stream", "run"])
def test_a_batch_whose_tensors_are_lost_begins_anew(tmp_path, monkeypatch, way):
    monkeypatch.setattr(Local, "ids", ("far:a1", "far:a2", "far:b"))
    done, after = [], 2 if way == "stream" else 0
    found = registry(factory="a:b", place="far_place:Local")
    with (
        Session(registry=found, executor="far", cache_dir=tmp_path) as session,
        session.plan(plain_graphs.chain(), pin={"double": "far:a", "square": "far:b"}) as plan,
    ):
        first = plan.devices["double"]
        (other,) = {"far:a1", "far:a2"} - {first}

        def lose(_inputs):
            if len(done) >= after:
                Local.lost.add(first)

        monkeypatch.setitem(plain_devices.BEFORE, first, lose)
        if way == "run":
            done.append(plan.run(batches()[0]))
        else:
            for result in plan.stream(batches(12)):
                done.append(result)
        assert any("begin again" in notice for notice in plan.notices)
        assert session.planner.pool.why_out()[first].startswith("quarantined")
    assert [r["z"][0, 0] for r in done] == [(2.0 * n) ** 2 for n in range(len(done))]
    assert len(done) == (12 if way == "stream" else 1)
    assert [r.sequence for r in done] == list(range(len(done)))
    assert done[-1].ran_on == {"double": other, "square": "far:b"}


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_lies_elsewhere_is_looked_at_for_nan(tmp_path, monkeypatch):
    found = registry(factory="a:b", place="far_place:Local")
    huge = [{"x": np.full((2, 2), 1e200)}]  # its square is infinity
    with (
        Session(registry=found, executor="far", cache_dir=tmp_path, check_finite=True) as session,
        session.plan(plain_graphs.chain()) as plan,
        pytest.raises(errors.StageFailed, match="NaN or infinity"),
    ):
        list(plan.stream(huge))


def test_a_strict_plan_does_not_begin_anew(far, monkeypatch):
    Local.lost.add("far:a")
    with (
        far.plan(
            plain_graphs.chain(), pin={"double": "far:a", "square": "far:b"}, strict=True
        ) as plan,
        pytest.raises(errors.StageFailed, match="its node is gone"),
    ):
        list(plan.stream(batches()))


def test_a_place_that_can_not_be_used_is_closed(tmp_path, monkeypatch):
    def fails(self):
        raise errors.DeviceUnavailable("no node is up", device_id="far")

    monkeypatch.setattr(Local, "offers", fails)
    found = registry(factory="a:b", place="far_place:Local")
    with pytest.raises(errors.DeviceUnavailable, match="no node is up"):
        Session(registry=found, executor="far", cache_dir=tmp_path)
    assert Local.instances[0].closed == 1


def test_the_command_lists_the_devices_of_a_place(monkeypatch, capsys):
    found = registry(factory="a:b", place="far_place:Local")
    monkeypatch.setattr("deepseek_core.runtime.session.discover", lambda *_a: found)
    assert main(["devices", "--executor", "far"]) == 0
    assert "far:b" in capsys.readouterr().out


# -- what a link costs -------------------------------------------------------------------------


def problem(link_s):
    """Two stages of 1 s on two devices: apart they take half the time, but for the link."""

    def options(name, before=()):
        cost = Estimate(seconds=1.0, sigma=0.1, source="measured", samples=3)
        rows = tuple(Candidate(device_id=d, estimate=cost) for d in "ab")
        return StageOptions(
            name=name, predecessors=before, candidates=rows, read_bytes=dict.fromkeys(before, 1000)
        )

    link = Link(latency_s=link_s / 2, s_per_byte=link_s / 2 / 1000)
    return Problem(
        stages=(options("one"), options("two", ("one",))),
        concurrency={d: Concurrency() for d in "ab"},
        host_cores=8,
        objective=Objective.PERIOD,
        links={("a", "b"): link, ("b", "a"): link},
    )


@pytest.mark.parametrize("link_s", [0.0, 0.1, 0.5, 3.0])
def test_a_stream_weighs_the_link(link_s):
    placed = place(problem(link_s))
    routes = [
        (tuple(_candidate(problem(link_s), s, d) for s, d in devices.items()), share)
        for devices, share in placed.routes
    ]
    assert placed.value_s == pytest.approx(routes_period_s(problem(link_s), routes))
    assert placed.value_s <= min(2.0, 1.0 + link_s) + 1e-9
    crossing = [devices for devices, _ in placed.routes if len(set(devices.values())) > 1]
    assert not crossing or link_s < 1.0


def _candidate(problem, stage, device):
    row = next(s for s in problem.stages if s.name == stage)
    return next(c for c in row.candidates if c.device_id == device)


class Here(training.Launcher):
    """Starts nothing; its options are what it was given."""

    def __init__(self, options):
        self.options = options

    def nodes(self):
        return [training.LaunchNode(id="1", name=str(self.options.settings), address="127.0.0.1")]

    def start(self, node, command):
        raise errors.DeviceUnavailable("none is started here", device_id="far")

    def look(self, started):
        return training.CommandState(code=0)

    def stop(self, started, limit_s):
        pass

    def close(self):
        pass


def opened(locator, settings, **more):
    made = registry(factory="a:b", launcher=locator)
    made = attrs.evolve(made, settings={"acme": settings})
    return training.open_launcher("far", registry=made, **more)


def test_a_launcher_gets_the_settings_of_its_plugin_and_the_address(monkeypatch):
    monkeypatch.setitem(sys.modules, "far_place", sys.modules[__name__])
    (node,) = opened("far_place:Here", {"address": "", "x": 1}, address="there").nodes()
    assert node.name == "{'address': 'there', 'x': 1}"


def test_an_executor_without_a_launcher_or_an_address_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "far_place", sys.modules[__name__])
    with pytest.raises(errors.ConfigError, match="'far' starts no commands on other machines"):
        opened(None, {})
    with pytest.raises(errors.ConfigError, match="--address: executor far has no address"):
        opened("far_place:Here", {}, address="there")
    with pytest.raises(errors.PluginError, match="made a str, no Launcher"):
        opened("builtins:str", {})


@pytest.mark.parametrize("name", ["/etc/passwd", "../up.py", "a/../../b", ""])
def test_a_file_of_a_command_lies_below_its_folder(name):
    with pytest.raises(errors.ConfigError, match="is not below its folder"):
        training.Command(arguments=["-c", "0"], folder="/", files={name: b""})
