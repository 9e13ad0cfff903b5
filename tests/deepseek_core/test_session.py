"""Sessions plan and run; streams keep order; failed devices are replaced or named."""

import json
import threading

import attrs
import numpy as np
import plain_devices
import pytest
from plain_graphs import chain, diamond, stage

from deepseek_core import (
    DeviceSpec,
    Graph,
    LatencyClass,
    Session,
    TensorSpec,
)
from deepseek_core.contracts.device import OpenOptions
from deepseek_core.contracts.errors import (
    ConfigError,
    DeviceClosed,
    GraphError,
    NoDevice,
    StageFailed,
    TensorMismatch,
)
from deepseek_core.contracts.place import DeviceOffer
from deepseek_core.discovery.probe_result import ProbeResult
from deepseek_core.discovery.registry import Registry
from deepseek_core.discovery.switches import Switches
from deepseek_core.runtime.calibration import synthetic_inputs
from deepseek_core.runtime.history import History
from deepseek_core.runtime.planner import Planner
from deepseek_core.runtime.pool import DevicePool


@pytest.fixture(autouse=True)
def calm():
    plain_devices.FAILURES.clear()
    plain_devices.LOG.clear()


@pytest.fixture
def session(tmp_path):
    """A session over given devices, made without any plugin installed."""
    opened = []

    def make(*device_ids, factory="PlainDevice", **options):
        spec = DeviceSpec(
            name="plain",
            kind="cpu",
            factory=f"plain_devices:{factory}",
            probe="plain_devices:info",
        )
        made = Session(
            registry=Registry(plugins=(), switches=Switches()), cache_dir=tmp_path, **options
        )
        result = ProbeResult(
            spec=spec,
            plugin="plain",
            dist="plain",
            rows=tuple(map(plain_devices.info, device_ids)),
            status="available",
            seconds=0.0,
        )
        made._pool = DevicePool([result], OpenOptions(threads=2, cache_dir=tmp_path))
        made._planner = Planner(made._pool, lambda: made._history, 8)
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


def batches(count):
    return [{"x": np.full((3, 2), float(i))} for i in range(count)]


def test_one_batch_runs_and_says_where(session):
    with session("a") as s, s.plan(chain(), batch=3) as plan:
        result = plan.run({"x": np.ones((3, 2))})
    assert np.array_equal(result["z"], np.full((3, 2), 4.0))
    assert result.ran_on == {"double": "a", "square": "a"}
    assert result.batch == 3


def test_a_stage_goes_where_it_is_supported(session):
    plan = session("simple", "b").plan(chain(), batch=1)
    assert plan.devices == {"double": "simple", "square": "b"}
    assert "too simple to square" in plan.explain()
    json.dumps(plan.to_json())


def test_a_stream_keeps_order_and_overlaps(session):
    plan = session("a", "wide").plan(
        chain(seconds=0.01), pin={"double": "a", "square": "wide"}, batch=3
    )
    plan.warmup()
    results = list(plan.stream(batches(20)))
    assert [r["z"][0, 0] for r in results] == [4.0 * i * i for i in range(20)]
    assert [r.sequence for r in results] == list(range(20))
    doubles = [s for s in plan.spans if s.stage == "double"]
    squares = [s for s in plan.spans if s.stage == "square"]
    assert any(d.start_s < s.end_s and s.start_s < d.end_s for d in doubles for s in squares)
    assert 0.0 < plan.occupancy()["a"] <= 1.0


def test_branches_join(session):
    plan = session("a", "b").plan(
        diamond(seconds=0.1), latency="realtime", pin={"left": "a", "right": "b"}
    )
    result = plan.run({"x": np.full((1, 2), 3.0)})
    assert np.array_equal(result["s"], np.full((1, 2), 15.0))
    assert np.array_equal(result["l"], np.full((1, 2), 6.0))
    spans = {span.stage: span for span in plan.spans}
    left, right = spans["left"], spans["right"]
    assert left.start_s < right.end_s and right.start_s < left.end_s, "branches ran one by one"


def test_a_stream_pulls_no_more_than_it_may_hold(session):
    pulled = []

    def source():
        for index, batch in enumerate(batches(50)):
            pulled.append(index)
            yield batch

    stream = session("a").plan(chain(), batch=3).stream(source(), max_in_flight=4)
    next(stream)
    assert len(pulled) <= 5
    stream.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("a-")]


def test_a_lost_device_is_replaced_and_the_result_says_so(session):
    plain_devices.FAILURES["a"] = [None, None, None, plain_devices.lost("a")]
    s = session("a", "slow")
    plan = s.plan(chain(), batch=3)
    assert set(plan.devices.values()) == {"a"}
    results = list(plan.stream(batches(10)))
    assert [r["z"][0, 0] for r in results] == [4.0 * i * i for i in range(10)]
    assert set(plan.devices.values()) == {"slow"}
    assert results[-1].ran_on == {"double": "slow", "square": "slow"}
    assert "the cable is out" in plan.notices[0]
    assert any("quarantined" in notice for notice in s.notices)
    assert s.plan(chain()).devices == {"double": "slow", "square": "slow"}


@pytest.mark.parametrize("error", [GeneratorExit("panic"), SystemExit(3)])
def test_a_driver_that_raises_what_is_no_exception_is_replaced(error, session):
    plain_devices.FAILURES["a"] = error
    results = list(session("a", "slow").plan(chain(), batch=3).stream(batches(4)))
    assert [r["z"][0, 0] for r in results] == [4.0 * i * i for i in range(4)]
    assert set(results[-1].ran_on.values()) == {"slow"}


def test_a_crash_that_no_contract_foresees_is_a_lost_device(session):
    plain_devices.FAILURES["a"] = RuntimeError("driver bug")
    result = session("a", "slow").plan(chain()).run(batches(1)[0])
    assert set(result.ran_on.values()) == {"slow"}


def test_strict_plans_do_not_move(session):
    plain_devices.FAILURES["a"] = plain_devices.lost("a")
    plan = session("a", "slow").plan(chain(), strict=True)
    with pytest.raises(StageFailed, match="'double' failed on a: the cable is out") as caught:
        list(plan.stream(batches(3)))
    assert (caught.value.stage, caught.value.device_id) == ("double", "a")


def test_when_nobody_is_left_the_first_error_is_told(session):
    plain_devices.FAILURES["a"] = plain_devices.lost("a")
    with pytest.raises(StageFailed, match=r"cable is out.*no device can run"):
        session("a").plan(chain()).run(batches(1)[0])


def test_an_error_in_the_callers_source_reaches_the_caller(session):
    def source():
        yield batches(1)[0]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(session("a").plan(chain()).stream(source()))
    assert not [t for t in threading.enumerate() if t.name.startswith("a-")]


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({}, "'x' is missing; given: nothing"),
        ({"x": np.ones((3, 5))}, r"'x': expected float64 \[batch, 2\], given float64 \[3, 5\]"),
        ({"x": np.ones((3, 2), "float32")}, "expected float64 .*given float32"),
        ({"x": np.ones((3, 2)), "w": np.ones(1)}, "no input 'w'"),
    ],
)
def test_wrong_inputs_name_tensor_expected_and_given(session, inputs, text):
    plan = session("a").plan(chain())
    with pytest.raises(TensorMismatch, match=text):
        plan.run(inputs)
    with pytest.raises(TensorMismatch, match=text):
        list(plan.stream([inputs]))


def test_no_device_says_why_each_refused(session):
    with pytest.raises(NoDevice, match=r"'square'.*simple: too simple to square, not test::Square"):
        session("simple").plan(chain())
    with pytest.raises(NoDevice, match="runs inference only"):
        session("a").plan(chain(), workload="training")


def test_a_choice_of_devices_that_none_can_meet_says_why_and_what_is_here(session):
    pool = session("a")._pool
    spec = DeviceSpec(name="plain", kind="gpu", factory="plain_devices:PlainDevice", probe="x:y")
    gone = attrs.evolve(plain_devices.info("gone"), status="unavailable", reason="no driver")
    pool.add(DeviceOffer(info=gone, spec=spec, plugin="plain", dist="plain"))
    with pytest.raises(NoDevice, match=r"gone: no driver.*--device.*allow one of a$"):
        pool.limit(["gone"])
    pool.limit(["gone", "a"])
    assert pool.present_ids() == ("a",)


def test_a_choice_of_no_device_leaves_all_of_them_out(session):
    pool = session("a")._pool
    pool.limit([])
    assert pool.present_ids() == ()


def test_a_plugin_whose_probe_found_nothing_is_named_with_its_reason(session):
    pool = session("a")._pool
    pool._out["board"] = "no board on the bus"  # as the pool does for a probe without a row
    with pytest.raises(NoDevice, match=r"no board device .*no board on the bus.*use one of a "):
        pool.limit(["board"])


def test_what_the_choice_left_out_is_the_remedy_where_the_chosen_refuse(session):
    made = session("simple", "a")
    made._pool.limit(["simple"])
    with pytest.raises(NoDevice, match=r"too simple.*--device.*allow one of a$"):
        made.plan(chain())
    with pytest.raises(NoDevice, match=r"allow one of a$"):
        made.calibrate(chain())


def test_a_device_that_does_not_open_leaves_the_others(session):
    made = session("a", factory="refuse")
    with pytest.raises(NoDevice, match="no such device node"):
        made.plan(chain())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"latency": "soon"}, "use one of realtime, offline"),
        ({"pin": {"dubble": "a"}}, "its stages are double, square"),
        ({"pin": {"double": "gpu"}}, "no device is called 'gpu'"),
        ({"batch": 0}, "batch must be"),
    ],
)
def test_unknown_words_are_config_errors(session, options, text):
    with pytest.raises(ConfigError, match=text):
        session("a").plan(chain(), **options)


def test_calibration_makes_the_estimates_measured(session):
    s = session("a", "slow")
    rows = s.calibrate(chain(seconds=0.002), inputs=batches(1)[0], rounds=3)
    assert {(r.stage, r.device_id) for r in rows} == {
        (stage, device) for stage in ("double", "square") for device in ("a", "slow")
    }
    estimates = [
        c.estimate
        for o in s.plan(chain(seconds=0.002), batch=3).problem.stages
        for c in o.candidates
    ]
    assert {e.source for e in estimates} == {"measured"}
    assert all(0.0015 < e.seconds < 1.0 for e in estimates)


def test_a_device_that_fails_in_calibration_is_reported_and_left_out(session):
    plain_devices.FAILURES["slow"] = plain_devices.lost("slow")
    rows = session("a", "slow").calibrate(chain(), rounds=2)
    assert {r.error for r in rows if r.device_id == "slow"} == {"the cable is out"}
    assert all(r.seconds for r in rows if r.device_id == "a")


def test_closing_closes_plans_and_devices_once(session):
    s = session("a")
    plan = s.plan(chain())
    plan.run(batches(1)[0])
    s.close()
    s.close()
    assert plain_devices.LOG.count(("close", "a")) == 1
    assert ("free", "a", "double") in plain_devices.LOG
    with pytest.raises((DeviceClosed, StageFailed)):
        plan.run(batches(1)[0])


def test_devices_open_when_needed_not_before(session):
    s = session("a", "slow")
    assert plain_devices.LOG == []
    s.plan(chain())
    assert ("open", "a") in plain_devices.LOG


def test_a_trace_opens_as_chrome_events(session, tmp_path):
    plan = session("a").plan(chain())
    list(plan.stream(batches(4)))
    plan.write_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    tasks = [e for e in events if e["ph"] == "X"]
    assert len(tasks) == 8
    assert {e["name"] for e in tasks} == {"double", "square"}
    assert min(e["ts"] for e in tasks) == 0
    assert list(tmp_path.glob("*.part")) == []


def test_two_sessions_share_one_history(session, tmp_path):
    first, second = session("a"), session("a")
    first.calibrate(chain(), rounds=2)
    second.calibrate(chain(), rounds=2)
    history = History(tmp_path / "history.sqlite")
    graph = chain()
    samples = history.samples("a|0 threads", graph.stages[0].fingerprint, LatencyClass.OFFLINE)
    assert len(samples) == 4
    history.close()


def test_graphs_are_checked_at_birth():
    first, second = chain().stages
    with pytest.raises(GraphError, match="before 'double' made it"):
        Graph(name="g", stages=[second, first], outputs=["z"])
    with pytest.raises(GraphError, match="two stages"):
        Graph(name="g", stages=[first, first], outputs=["y"])
    with pytest.raises(GraphError, match="no stage makes"):
        Graph(name="g", stages=[first], outputs=["nothing"])
    with pytest.raises(GraphError, match="at least one"):
        Graph(name="g", stages=[], outputs=[])


def test_a_part_of_a_graph_and_fixed_inputs():
    graph = diamond()
    assert [s.name for s in graph.until("l").stages] == ["left"]
    with pytest.raises(TensorMismatch, match="no input 'nothing'"):
        graph.bind(nothing=np.ones(2))
    with pytest.raises(TensorMismatch, match="can't be fixed"):
        graph.bind(x=np.ones((2, 2)))


def test_noise_stands_in_for_data_but_not_for_sizes():
    specs = (
        TensorSpec(name="images", dtype="uint8", shape=("N", 4), batch_axis=0),
        TensorSpec(name="k", dtype="int64", shape=(1,)),
    )
    inputs = synthetic_inputs(specs, 3)
    assert inputs["images"].shape == (3, 4)
    assert inputs["k"].tolist() == [1]
    gallery = TensorSpec(name="gallery", dtype="int8", shape=("rows", 4))
    with pytest.raises(TensorMismatch, match=r"gallery.*how large 'rows' is"):
        synthetic_inputs((*specs, gallery), 3)


def test_a_stage_that_is_shared_out_keeps_order_and_survives_a_loss(session):
    graph = Graph(
        name="one", stages=[stage("double", "Double", ["x"], "y", seconds=0.01)], outputs=["y"]
    )
    s = session("a", "b")
    assert len(s.plan(graph, batch=3).placement.routes) == 1, "shares must not rest on priors"
    s.calibrate(graph, inputs=batches(1)[0], rounds=5)
    plan = s.plan(graph, batch=3)
    assert set(plan.placement.shares("double")) == {"a", "b"}
    plan.warmup()
    results = list(plan.stream(batches(20)))
    assert [r["y"][0, 0] for r in results] == [2.0 * i for i in range(20)]
    ran_on = [r.ran_on["double"] for r in results]
    assert min(ran_on.count("a"), ran_on.count("b")) >= 5
    plain_devices.FAILURES["b"] = plain_devices.lost("b")
    again = list(plan.stream(batches(6)))
    assert [r["y"][0, 0] for r in again] == [2.0 * i for i in range(6)]
    assert {r.ran_on["double"] for r in again} == {"a"}
