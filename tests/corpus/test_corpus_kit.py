"""The harness finds what differs, allows only what it says, and tells it in one line."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import run_corpus as runner
from corpus_kit import npz
from corpus_kit.compare import (
    difference,
    difference_beyond_rounding,
    difference_in_kind,
    first_difference,
)
from corpus_kit.reference import Reference
from corpus_kit.ways import pieces
from small_models import CASES

_X = np.arange(6, dtype="float32").reshape(2, 3)
_BY_NAME = {case.name: case for case in CASES}


@pytest.mark.parametrize(
    "value",
    [
        _X,
        np.array([np.nan, -np.inf], "float32"),
        _X.astype(ml_dtypes.bfloat16),
        _X.astype(ml_dtypes.int4),
        np.array(["a", ""], object),
        np.array(3),
        [_X, _X[:1]],
        [{"a": 1.0}, {"a": float("nan")}],
        None,
    ],
)
def test_a_value_equals_its_copy(value):
    copy = value.copy() if isinstance(value, np.ndarray) else value
    assert difference(value, copy) is None


@pytest.mark.parametrize(
    ("expected", "found", "says"),
    [
        (_X, _X.astype("float64"), "float32 [2, 3] expected, float64 [2, 3] found"),
        (_X, np.where(_X == 4, _X + 1, _X), "at [1, 1] np.float32(4.0) expected"),
        (_X, _X[:1], "float32 [2, 3] expected, float32 [1, 3] found"),
        (_X, _X.tolist(), "float32 [2, 3] expected, list"),
        (np.array(["a", "b"], object), np.array(["a", "c"], object), "at [1] 'b' expected"),
        ([_X, _X], [_X], "a list of 2 expected"),
        ([_X, _X], [_X, -_X], "item 1: at [0, 1]"),
        ([{"a": 1.0}], [{"b": 1.0}], "item 0: a dict with the keys ['a'] expected"),
        (None, _X, "None expected"),
    ],
)
def test_the_first_difference_is_told(expected, found, says):
    assert says in (difference(expected, found) or "")


def test_how_many_values_differ_is_told():
    text = first_difference({"y": _X}, {"y": _X + np.float32(1)})
    assert text == (
        "output 'y': at [0, 0] np.float32(0.0) expected, np.float32(1.0) found; "
        "6 of 6 values differ"
    )


def test_an_output_that_is_missing_is_told_by_its_name():
    assert first_difference({"y": _X, "z": _X}, {"y": _X}) == (
        "outputs ['y', 'z'] expected, ['y'] found"
    )


def test_rounding_is_allowed_and_no_more():
    assert difference(_X, _X * np.float32(1 + 1e-6)) is not None
    assert difference_beyond_rounding(_X, _X * np.float32(1 + 1e-6)) is None
    assert difference_beyond_rounding(_X, _X * np.float32(1.001)) is not None
    assert difference_beyond_rounding(np.array([1]), np.array([2])) is not None


def test_random_values_are_compared_by_kind():
    assert difference_in_kind(_X, -_X) is None
    assert difference_in_kind(_X, _X[:1]) is not None


def test_pieces_are_joined_along_the_items_wherever_they_stand(tmp_path):
    case = _BY_NAME["bidirectional_lstm_over_the_second_axis"]
    reference = Reference(case, case.place(tmp_path))
    inputs = case.inputs(0, 7)
    whole, joined = reference.run(inputs), reference.run_in_pieces(inputs, [3, 3, 1])
    assert {name: value.shape for name, value in joined.items()} == {
        name: value.shape for name, value in whole.items()
    }
    assert all(difference_beyond_rounding(whole[name], joined[name]) is None for name in whole)


def test_the_pieces_of_a_report_add_up():
    report = {"items": 40, "batches": 2, "plan": {"batch": 32}}
    assert pieces(report) == [32, 8]
    assert pieces({**report, "batches": 1}) == [40]


def test_a_file_keeps_any_name_and_strings_without_pickle(tmp_path):
    words = np.array(["a", "three"], object)
    npz.write(tmp_path / "in.npz", {"file": _X, "a/b": words})
    read = npz.read(tmp_path / "in.npz")
    assert difference(_X, read["file"]) is None
    assert read["a/b"].tolist() == ["a", "three"]


def test_the_table_has_a_line_for_each_model_and_one_for_each_kind():
    rows = [
        _row("silero-vad/half", "silero-vad", "speech", load="passed", run="failed"),
        _row("relu", "own", "names", load="passed", run="passed"),
        _row("neg", "own", "names", load="passed", run="failed"),
    ]
    assert runner.as_table(rows).splitlines() == [
        "model           package     domain  load  run",
        "half            silero-vad  speech  ok    FAIL",
        "2 small models  own         names   ok    1/2",
    ]
    assert runner.summary(rows) == (
        "3 models, 1 of them by every way that was tried; 4 of 6 runs passed, 0 were skipped"
    )


def test_a_failure_is_told_with_model_ways_and_reason():
    row = _row("relu", "own", "names", load="passed", run="failed", stream="failed")
    row.reasons = {"run": "Wrong: output 'y'", "stream": "Wrong: output 'y'"}
    assert runner.failures([row]) == ["relu (run, stream): Wrong: output 'y'"]


def _row(model, package, domain, **outcomes):
    return runner.Row(model=model, package=package, domain=domain, outcomes=outcomes)
