"""What the Python face is given is checked where it enters: a typed error, or it works."""

import os
import pickle

import numpy as np
import plain_devices
import pytest
from plain_graphs import chain
from plain_sessions import plain_session

from deepseek_core import LatencyClass, Session
from deepseek_core.contracts.errors import ConfigError, DeepSeekError, TensorMismatch, WriteError
from deepseek_core.discovery.registry import Registry
from deepseek_core.discovery.switches import Switches
from deepseek_core.runtime.history import History

X = {"x": np.ones((3, 2))}


@pytest.fixture(autouse=True)
def calm():
    plain_devices.FAILURES.clear()
    plain_devices.LOG.clear()


@pytest.fixture
def session(tmp_path):
    with plain_session(tmp_path / "cache", "a", "slow") as made:
        yield made


@pytest.mark.parametrize(
    "inputs",
    [None, [], [X["x"]], X["x"], "x", 5, {}, {"y": X["x"]}, {1: X["x"]}, {**X, "y": X["x"]},
     {"x": None}, {"x": "text"}, {"x": [[1, 2], [3]]}, {"x": X["x"][0]}, {"x": np.ones((3, 3))},
     {"x": X["x"].astype(complex)}],
)  # fmt: skip
def test_inputs_that_do_not_fit_are_told(inputs, session):
    plan = session.plan(chain(), batch=3)
    for use in (
        lambda: plan.run(inputs),
        lambda: list(plan.stream([inputs])),
        lambda: session.calibrate(chain(), inputs=inputs if inputs is not None else []),
        lambda: session.compare(plan, [inputs], rounds=1),
    ):
        with pytest.raises(TensorMismatch):
            use()
    assert np.all(plan.run(X)["z"] == 4.0)


@pytest.mark.parametrize("given", [[[1, 1], [1, 1]], ((1.0, 1.0),), np.ones((1, 2))])
def test_lists_and_arrays_are_inputs(given, session):
    assert np.all(session.plan(chain()).run({"x": given})["z"] == 4.0)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("batch", [0, -1, 2.5, None, "3", True, float("nan"), int, np.array([3]), [1]]),
        ("deadline_s", [0, -1, "1", True, float("nan"), float("inf"), 10**400, [1]]),
        ("latency", [None, "soon", 3, ["offline"]]),
        ("workload", [None, "sleeping", 3, ["training"]]),
        ("pin", [["double"], "double", 5, {1: "a"}, {"double": None}, {"double": ""}, {"": "a"},
                 {"double": 3}, {"double": ["a"]}, {"nothing": "a"}, {"double": "nobody"}]),
    ],
)  # fmt: skip
def test_a_plan_is_asked_for_in_words_that_mean_something(option, values, session):
    for value in values:
        with pytest.raises(ConfigError):
            session.plan(chain(), **{option: value})


@pytest.mark.parametrize("graph", [None, "model.onnx", X])
def test_only_graphs_are_planned_and_calibrated(graph, session):
    with pytest.raises(ConfigError, match="expected a graph"):
        session.plan(graph)
    with pytest.raises(ConfigError, match="expected a graph"):
        session.calibrate(graph)


def empty():
    return Registry(plugins=(), switches=Switches())


@pytest.mark.parametrize(
    "options",
    [{"threads": 0}, {"threads": 2.5}, {"threads": "2"}, {"devices": "cpu"}, {"devices": [1]},
     {"devices": 5}, {"devices": ["nobody"]}, {"devices": [""]}, {"cache_dir": 3},
     {"cache_dir": ""}, {"settings": 5}],
)  # fmt: skip
def test_a_session_is_opened_with_words_that_mean_something(options, tmp_path):
    with pytest.raises(ConfigError):
        Session(**{"registry": empty(), "cache_dir": tmp_path, **options})


def test_a_cache_folder_may_be_text(tmp_path):
    folder = tmp_path / "made" / "anew"
    with plain_session(str(folder), "a", "slow") as session:
        session.plan(chain())
    assert (folder / "history.sqlite").is_file()


@pytest.mark.parametrize("folder", ["{}/file", "{}/file/below", "/proc/nothing"])
def test_a_place_that_is_no_cache_folder_is_told_when_costs_are_asked_for(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        plain_session(folder.format(tmp_path), "a", "slow") as session,
        pytest.raises(ConfigError, match=r"the history .* can't be opened"),
    ):
        session.plan(chain())


def test_a_history_that_is_damaged_under_way_is_told(session):
    session.plan(chain())
    path = session._history.path
    for file in path.parent.glob("history.sqlite*"):
        os.truncate(file, 0)
        file.write_bytes(b"\xff" * 8192)
    with pytest.raises(ConfigError, match=r"the history .* can't be used"):
        session._history.add("d", "s", LatencyClass.OFFLINE, ())
    session.close()
    assert "set aside" in History(path).notice


@pytest.mark.parametrize(
    "options",
    [{"rounds": 0}, {"rounds": 2.5}, {"batch": 0}, {"sizes": 5}, {"sizes": {"batch": 2.5}},
     {"sizes": {"nothing": 2}}],
)  # fmt: skip
def test_a_calibration_is_asked_for_in_words_that_mean_something(options, session):
    with pytest.raises(ConfigError):
        session.calibrate(chain(), **options)
    assert session._history.records() == []


def test_no_items_are_no_measurement(session):
    """Seconds of nothing would count as those of a batch of one."""
    with pytest.raises(TensorMismatch, match="no items"):
        session.calibrate(chain(), inputs={"x": np.ones((0, 2))})
    with pytest.raises(TensorMismatch, match="no items"):
        session.compare(session.plan(chain()), [{"x": np.ones((0, 2))}])
    assert session._history.records() == []


@pytest.mark.parametrize("batches", [[], None, X, iter([X]), 5])
def test_a_comparison_needs_a_list_of_batches(batches, session):
    with pytest.raises(TensorMismatch, match="a list of batches"):
        session.compare(session.plan(chain()), batches)


def test_a_comparison_needs_a_plan_and_rounds(session):
    with pytest.raises(ConfigError, match="expected a plan"):
        session.compare(chain(), [X])
    with pytest.raises(ConfigError, match="rounds"):
        session.compare(session.plan(chain()), [X], rounds=0)


@pytest.mark.parametrize("constants", [5, ["x"], "x"])
def test_constants_are_a_mapping(constants, session):
    with pytest.raises(ConfigError, match="constants"):
        chain().bind(constants)


@pytest.mark.parametrize("path", [None, 5, "", "a\0b", b""])
def test_a_trace_needs_a_path(path, session):
    with pytest.raises(ConfigError, match="path must be a path"):
        session.plan(chain()).write_trace(path)


@pytest.mark.parametrize("name", ["missing/trace.json", ".", "x" * 300])
def test_a_trace_that_has_no_place_is_told(name, session, tmp_path):
    with pytest.raises(WriteError, match="can't be written"):
        session.plan(chain()).write_trace(tmp_path / name)


def test_every_error_is_one_of_the_tree():
    assert issubclass(WriteError, DeepSeekError)
    assert issubclass(WriteError, OSError)


def test_a_result_goes_to_another_process(session):
    plan = session.plan(chain(), batch=3)
    result = pickle.loads(pickle.dumps(plan.run(X)))
    assert np.all(result["z"] == 4.0)
    assert result.ran_on == dict(plan.run(X).ran_on)
