"""Tensors that stay on a device: copied at borders only, made again when they are lost."""

import weakref

import numpy as np
import plain_devices
import plain_graphs
import pytest
from plain_sessions import plain_sessions

from deepseek_core import Graph, errors
from deepseek_core.runtime.residents import borders, transfers

X = np.arange(6.0).reshape(3, 2)
COPIES = []  # device id and what was copied to the host
RUNS = []  # device id, stage and the kinds of its inputs
ALIVE = []  # tensors on devices when a run began
THERE = weakref.WeakSet()


class There:
    """A tensor that is nowhere but on its device."""

    def __init__(self, array, device):
        self.array, self.device = array, device
        self.dtype, self.shape = array.dtype, array.shape
        THERE.add(self)


class KeepingDevice(plain_devices.PlainDevice):
    """Keeps tensors unless its id says `plain`."""

    def __init__(self, device_id, options):
        super().__init__(device_id, options)
        self.keeps_tensors = "plain" not in device_id
        self.is_lost = False

    def estimate(self, task):
        made = super().estimate(task)
        return made if "plain" in self.info.id else type(made)(
            seconds=1e-6, sigma=0.1, source="measured"
        )  # fmt: skip

    def load(self, stage, options):
        return KeepingExecutable(stage, self)

    def to_host(self, value):
        if not isinstance(value, There):
            return np.asarray(value)
        assert value.device is self, "of another device"
        if self.closed:
            raise errors.DeviceClosed("closed", device_id=self.info.id)
        if self.is_lost:
            raise errors.DeviceLost("the cable is out", device_id=self.info.id)
        COPIES.append((self.info.id, value.array.shape))
        return value.array.copy()


class KeepingExecutable(plain_devices.PlainExecutable):
    def __init__(self, stage, device):
        super().__init__(stage, device.info.id)
        self.device = device

    def run(self, inputs):
        assert not any(isinstance(value, There) for value in inputs.values())
        return self.run_kept(inputs, frozenset())

    def run_kept(self, inputs, keep):
        RUNS.append((self.device_id, self.stage.name, [type(v).__name__ for v in inputs.values()]))
        ALIVE.append(len(THERE))
        planned = plain_devices.FAILURES.get(self.device_id, {})
        if self.stage.name in planned:
            error = planned.pop(self.stage.name)
            self.device.is_lost = isinstance(error, errors.DeviceLost)
            raise error
        given = {n: v.array if isinstance(v, There) else v for n, v in inputs.items()}
        failures, plain_devices.FAILURES = plain_devices.FAILURES, {}
        try:
            made = super().run(given)
        finally:
            plain_devices.FAILURES = failures
        return {n: There(v, self.device) if n in keep else v for n, v in made.items()}


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """Plans a graph on devices that keep tensors; failures by device and stage."""
    monkeypatch.setattr(plain_devices, "FAILURES", {})
    for noted in (COPIES, RUNS, ALIVE, THERE):
        noted.clear()
    with plain_sessions(tmp_path) as make:

        def plan(graph, *device_ids, failures=None, **options):
            plain_devices.FAILURES |= failures or {}
            session = make(*device_ids, factory="test_residents:KeepingDevice")
            return session.plan(graph, **options)

        yield plan


@pytest.fixture(autouse=True)
def this_module(monkeypatch):
    """The factory is looked up by this module's name, which pytest does not give it."""
    import sys

    monkeypatch.setitem(sys.modules, "test_residents", sys.modules[__name__])


def test_what_the_next_stage_reads_stays_and_the_result_is_copied(planned):
    plan = planned(plain_graphs.chain(), "gpu:0")
    np.testing.assert_array_equal(plan.run({"x": X})["z"], (2 * X) ** 2)
    assert RUNS == [("gpu:0", "double", ["ndarray"]), ("gpu:0", "square", ["There"])]
    assert COPIES == []


def test_what_a_caller_wants_as_well_is_copied_once(planned):
    plan = planned(plain_graphs.triple(), "gpu:0")
    made = plan.run({"x": X})
    np.testing.assert_array_equal(made["y"], 2 * X)
    np.testing.assert_array_equal(made["w"], 2 * (2 * X) ** 2)
    assert COPIES == [("gpu:0", (3, 2))], "y, which is an output; z is nobody's"


def test_many_batches_at_once_are_no_different(planned):
    plan = planned(plain_graphs.triple(), "gpu:0")
    results = list(plan.stream([{"x": X + n} for n in range(9)]))
    for number, result in enumerate(results):
        np.testing.assert_array_equal(result["w"], 2 * (2 * (X + number)) ** 2)
    assert len(COPIES) == 9


def test_a_stage_elsewhere_gets_an_array(planned):
    plan = planned(
        plain_graphs.chain(), "gpu:0", "plain:0", pin={"double": "gpu:0", "square": "plain:0"}
    )
    np.testing.assert_array_equal(plan.run({"x": X})["z"], (2 * X) ** 2)
    assert RUNS[1] == ("plain:0", "square", ["ndarray"])
    assert COPIES == [], "a run gives arrays where no stage on its device reads them"


def test_a_device_that_is_lost_in_the_middle_costs_no_answer(planned):
    """What it held went with it: the stages that made it run again elsewhere."""
    gone = errors.DeviceLost("fell off the bus", device_id="gpu:0")
    plan = planned(plain_graphs.triple(), "gpu:0", "plain:0", failures={"gpu:0": {"again": gone}})
    made = plan.run({"x": X})
    np.testing.assert_array_equal(made["w"], 2 * (2 * X) ** 2)
    np.testing.assert_array_equal(made["y"], 2 * X)
    assert made.ran_on["again"] == made.ran_on["square"] == "plain:0"
    assert [(device, stage) for device, stage, _ in RUNS] == [
        ("gpu:0", "double"), ("gpu:0", "square"), ("gpu:0", "again"),
        ("plain:0", "square"), ("plain:0", "again"),
    ], "y was an output, and is on the host already"  # fmt: skip
    assert "moved to plain:0" in plan.notices[0]
    RUNS.clear()
    np.testing.assert_array_equal(plan.run({"x": X})["w"], 2 * (2 * X) ** 2)
    assert {device for device, *_ in RUNS} == {"plain:0"}


def test_all_that_was_lost_is_made_again(planned):
    gone = errors.DeviceLost("fell off the bus", device_id="gpu:0")
    plan = planned(plain_graphs.chain(), "gpu:0", "plain:0", failures={"gpu:0": {"square": gone}})
    made = plan.run({"x": X})
    np.testing.assert_array_equal(made["z"], (2 * X) ** 2)
    assert made.ran_on == {"double": "plain:0", "square": "plain:0"}


@pytest.mark.parametrize("how", ["run", "stream"])
def test_what_no_stage_reads_any_more_leaves_the_device(planned, how):
    plan = planned(four(), "gpu:0")
    if how == "run":
        made = plan.run({"x": X})
    else:
        (made,) = plan.stream([{"x": X}])
    np.testing.assert_array_equal(made["d"], 16 * X)
    assert ALIVE == [0, 1, 1, 1], "tensors on the device at the start of each stage"


def test_what_has_left_the_device_is_made_again_when_it_is_lost(planned):
    gone = errors.DeviceLost("fell off the bus", device_id="gpu:0")
    plan = planned(four(), "gpu:0", "plain:0", failures={"gpu:0": {"fourth": gone}})
    np.testing.assert_array_equal(plan.run({"x": X})["d"], 16 * X)
    assert [stage for device, stage, _ in RUNS if device == "plain:0"] == [
        "first", "second", "third", "fourth",
    ]  # fmt: skip


def four():
    names = ("first", "second", "third", "fourth")
    stages = [
        plain_graphs.stage(name, "Double", [given], made)
        for name, given, made in zip(names, "xabc", "abcd", strict=True)
    ]
    return Graph(name="four", stages=stages, outputs=["d"])


def test_batches_in_flight_survive_it_too(planned):
    gone = errors.DeviceLost("fell off the bus", device_id="gpu:0")
    plan = planned(
        plain_graphs.chain(seconds=2e-3), "gpu:0", "plain:0", failures={"gpu:0": {"square": gone}}
    )
    results = list(plan.stream([{"x": X + n} for n in range(12)], max_in_flight=6))
    for number, result in enumerate(results):
        np.testing.assert_array_equal(result["z"], (2 * (X + number)) ** 2)


def test_a_device_that_refuses_one_stage_still_gives_what_it_has(planned):
    refuses = errors.Unsupported("not this one", device_id="gpu:0")
    plan = planned(
        plain_graphs.chain(), "gpu:0", "plain:0", failures={"gpu:0": {"square": refuses}}
    )
    made = plan.run({"x": X})
    np.testing.assert_array_equal(made["z"], (2 * X) ** 2)
    assert made.ran_on == {"double": "gpu:0", "square": "plain:0"}
    assert [stage for _, stage, _ in RUNS].count("double") == 1
    assert COPIES == [("gpu:0", (3, 2))]


def test_a_device_that_was_opened_anew_in_the_middle_makes_its_tensors_again(planned):
    """As a server does with one that failed for it: no fault of the device as it is now."""
    plan = planned(plain_graphs.chain(), "gpu:0", "plain:0")
    plan.run({"x": X})
    pool, run = plan._planner.pool, plan._runner.run

    def reopened(route, stage, *rest, **more):
        if stage.name == "square":
            pool.forget("gpu:0")
            pool.use("gpu:0")
            plan._runner._loaded.clear()
        return run(route, stage, *rest, **more)

    plan._runner.run = reopened
    RUNS.clear()
    made = plan.run({"x": X})
    np.testing.assert_array_equal(made["z"], (2 * X) ** 2)
    assert [(device, stage) for device, stage, _ in RUNS] == [
        ("gpu:0", "double"), ("gpu:0", "double"), ("gpu:0", "square"),
    ]  # fmt: skip
    assert plan.notices == (), "nobody was to blame"


def test_two_devices_do_not_read_each_others_tensors(planned):
    pin = {"double": "gpu:0", "square": "gpu:1", "again": "gpu:1"}
    plan = planned(plain_graphs.triple(), "gpu:0", "gpu:1", pin=pin)
    np.testing.assert_array_equal(plan.run({"x": X})["w"], 2 * (2 * X) ** 2)
    assert [kinds for _, _, kinds in RUNS] == [["ndarray"], ["ndarray"], ["There"]]


LIES = {
    "fewer rows": lambda array: array[:1],
    "one axis": lambda array: array.reshape(-1),
    "float32": lambda array: array.astype(np.float32),
    "a list": lambda array: array.tolist(),
    "nothing": lambda array: None,
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("graph", ["triple", "diamond"])
def test_a_copy_that_is_not_what_was_left_breaks_the_contract(planned, monkeypatch, graph, lie):
    copy = KeepingDevice.to_host
    monkeypatch.setattr(KeepingDevice, "to_host", lambda self, value: lie(copy(self, value)))
    graph = getattr(plain_graphs, graph)()
    with pytest.raises(errors.StageFailed, match=r"broke its contract: it left float64 \[3, 2\]"):
        planned(graph, "gpu:0").run({"x": X})
    right = planned(graph, "plain:0").run({"x": X})
    made = planned(graph, "gpu:0", "plain:0").run({"x": X})
    for name in graph.outputs:
        np.testing.assert_array_equal(made[name], right[name])


def test_a_copy_that_the_device_writes_into_later_is_the_callers_own(planned, monkeypatch):
    buffer = np.zeros((3, 2))

    def to_host(self, value):
        buffer[...] = value.array
        return buffer

    monkeypatch.setattr(KeepingDevice, "to_host", to_host)
    plan = planned(plain_graphs.triple(), "gpu:0")
    first = plan.run({"x": X})
    plan.run({"x": X + 1})
    np.testing.assert_array_equal(first["y"], 2 * X)


@pytest.mark.parametrize("graph", ["chain", "triple", "diamond"])
def test_what_stays_though_nobody_asked_comes_to_the_host(planned, monkeypatch, graph):
    run_kept, graph = KeepingExecutable.run_kept, getattr(plain_graphs, graph)()

    def keeps_all(self, inputs, keep):
        return run_kept(self, inputs, frozenset(spec.name for spec in self.stage.outputs))

    right = planned(graph, "plain:0").run({"x": X})
    monkeypatch.setattr(KeepingExecutable, "run_kept", keeps_all)
    plan = planned(graph, "gpu:0")
    for made in (plan.run({"x": X}), *plan.stream([{"x": X}] * 5, max_in_flight=3)):
        for name in graph.outputs:
            assert type(made[name]) is np.ndarray
            np.testing.assert_array_equal(made[name], right[name])


def test_a_strict_plan_ends_there(planned):
    gone = errors.DeviceLost("fell off the bus", device_id="gpu:0")
    plan = planned(
        plain_graphs.chain(), "gpu:0", "plain:0", failures={"gpu:0": {"square": gone}}, strict=True
    )
    with pytest.raises(errors.StageFailed, match="fell off the bus"):
        plan.run({"x": X})


def test_borders_say_where_outputs_are_read():
    graph = plain_graphs.triple()
    found = borders(graph, {"double": "a", "square": "a", "again": "b"})
    assert (found["double"].stays, found["double"].leaves) == ({"y"}, {"y"})
    assert (found["square"].stays, found["square"].leaves) == (set(), {"z"})
    assert (found["again"].stays, found["again"].leaves) == (set(), {"w"})


@pytest.mark.parametrize(
    ("devices", "keeps", "counted"),
    [
        ("aaa", True, (1, 2)),  # x in; y and w out
        ("aaa", False, (3, 3)),
        ("aab", True, (2, 3)),  # and z from a to b
        ("hhh", True, (0, 0)),
        ("aha", True, (2, 2)),
    ],
)
def test_transfers_are_counted(devices, keeps, counted):
    graph = plain_graphs.triple()
    placed = dict(zip(("double", "square", "again"), devices, strict=True))
    made = transfers(graph, placed, 10, lambda i: i != "h", lambda i: keeps)
    assert (made.to_device, made.to_host) == counted
    assert made.nbytes == sum(counted) * 10 * 2 * 8


def test_a_plan_counts_its_own(planned):
    plan = planned(plain_graphs.chain(), "gpu:0")
    assert plan.to_json()["transfers"] == {"to_device": 0, "to_host": 0, "nbytes": 0}
    assert plan.transfers.to_host == 0, "this one's kind is cpu"
