"""Trees as arrays answer as scikit-learn's do, in numpy and in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from deepseek_apps.ctr.export.forest import write_forest
from deepseek_apps.ctr.export.writer import IR_VERSION, ML, ML_OPSET, OPSET, GraphWriter
from deepseek_apps.ctr.features.map import fit_features
from deepseek_apps.ctr.table import Columns, Inputs, Table
from deepseek_apps.ctr.trees.boosting import (
    SMALL_GRID,
    BoostingSettings,
    Labeled,
    fit_boosting,
    tuned,
)
from deepseek_apps.ctr.trees.forest import Forest, forest_of, joined, rounded_down
from deepseek_apps.ctr.trees.members import fit_members
from deepseek_core import errors

SMALL = BoostingSettings(rounds=12, leaves=8)


def data(rows: int = 600, seed: int = 0) -> Labeled:
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(rows, 4)).astype(np.float32)
    target = (inputs[:, 0] * inputs[:, 1] + 0.5 * random.normal(size=rows) > 0).astype(np.int64)
    inputs[random.uniform(size=inputs.shape) < 0.1] = np.nan
    return Labeled(inputs=inputs, target=target)


def in_onnx_runtime(forest: Forest, inputs: np.ndarray) -> np.ndarray:
    writer = GraphWriter()
    output = write_forest(writer, "x", forest)
    graph = helper.make_graph(
        writer.nodes,
        "trees",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", inputs.shape[1]])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", 1])],
        writer.constants,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)],
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": inputs})[0][:, 0]


def test_arrays_answer_as_the_classifier_does_with_nan() -> None:
    given = data()
    model = fit_boosting(given, SMALL, seed=0)
    found = forest_of(model).predict(given.inputs)
    np.testing.assert_allclose(found, model.decision_function(given.inputs), atol=1e-9)


def test_onnx_runtime_answers_as_the_arrays_do_with_nan() -> None:
    given = data()
    forest = forest_of(fit_boosting(given, SMALL, seed=0))
    np.testing.assert_allclose(
        in_onnx_runtime(forest, given.inputs), forest.predict(given.inputs), atol=1e-5
    )


def test_an_input_at_a_threshold_goes_where_scikit_learn_sends_it() -> None:
    """A threshold is a float64 between two float32: to the nearest, it would be one of them."""
    low = np.float32(0.1)
    high = np.nextafter(low, np.float32(1))
    inputs = np.repeat(np.float32([[low], [high]]), 50, axis=0)
    given = Labeled(inputs=inputs, target=np.repeat([0, 1], 50))
    model = fit_boosting(given, BoostingSettings(rounds=3, leaves=2, least_in_leaf=1), seed=0)
    forest = forest_of(model)
    expected = model.decision_function(inputs)
    assert expected[0] < expected[-1]
    np.testing.assert_allclose(forest.predict(inputs), expected, atol=1e-9)
    np.testing.assert_allclose(in_onnx_runtime(forest, inputs), expected, atol=1e-5)


def test_thresholds_are_rounded_down() -> None:
    given = np.array([0.1, -0.1, 1.0, np.inf])
    found = rounded_down(given).astype(np.float64)
    assert (found <= given).all()
    assert found[2] == 1.0 and found[3] == np.inf


def test_joined_forests_are_their_mean() -> None:
    given = data()
    forests = [forest_of(fit_boosting(given, SMALL, seed)) for seed in (0, 1)]
    other = data(seed=5)
    forests[1] = forest_of(fit_boosting(other, SMALL, seed=1))
    mean = (forests[0].predict(given.inputs) + forests[1].predict(given.inputs)) / 2
    np.testing.assert_allclose(joined(forests).predict(given.inputs), mean, atol=1e-12)


def test_splits_by_category_are_refused() -> None:
    given = data()
    codes = np.nan_to_num(np.round(given.inputs * 2) + 10)
    target = (codes[:, 0] % 2).astype(np.int64)
    model = fit_boosting(Labeled(inputs=codes, target=target), SMALL, 0, categories=[0])
    with pytest.raises(errors.InputError, match="by category"):
        forest_of(model)


def test_tuning_takes_the_settings_of_the_least_validation_loss() -> None:
    train, validation = data(seed=1), data(seed=2)
    best = tuned(train, validation, SMALL_GRID[:2])
    assert 1 <= best.rounds <= 200
    assert best.leaves == SMALL_GRID[0].leaves


def noise(rows: int = 1500) -> Table:
    """Nothing but an id of many values, and a target that has nothing to do with it."""
    random = np.random.default_rng(4)
    inputs = Inputs(
        columns=Columns(numbers=[], categories=["id"]),
        numbers=np.zeros((rows, 0), np.float32),
        categories=random.integers(0, 300, (rows, 1)).astype(np.str_),
    )
    return Table(inputs=inputs, target=random.integers(0, 2, rows))


def test_members_learn_nothing_from_the_ids_of_noise() -> None:
    """With statistics that hold a row's own target they would, and fail on new rows."""
    from deepseek_apps.ctr.measures import auc

    table = noise()
    features = fit_features(table.inputs, num_bins=4, min_count=1)
    fit = fit_members(features, table, np.arange(len(table)) % 3, SMALL, seed=0)
    assert abs(auc(table.target, fit.out_of_fold) - 0.5) < 0.06


def test_the_mean_of_members_reads_the_statistics_of_each() -> None:
    table = noise()
    features = fit_features(table.inputs, num_bins=4, min_count=1)
    members = fit_members(features, table, np.arange(len(table)) % 3, SMALL, seed=0).members
    assert len(members.tables) == 3
    assert not np.array_equal(members.tables[0], members.tables[1])
    width = members.inputs(features, table.inputs).shape[1]
    assert width == 3
    assert set(members.forest.feature) == {-1, 0, 1, 2}
