"""One file has the preprocessing in it, and says what the model says, whatever it is given."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import onnxruntime
import pytest
from click_stacks import CATEGORIES, NUMBERS, inputs_of, stack_of

from deepseek_apps.ctr.export.answering import columns_of
from deepseek_apps.ctr.export.model import export_stack, feeds_of, largest_difference, model_proto
from deepseek_apps.ctr.stack.calibration import Calibration
from deepseek_apps.ctr.table import LARGEST
from deepseek_core import errors

CURVE = Calibration(points=[-2.0, -0.5, 0.1, 3.0], levels=[0.0, 0.2, 0.2, 0.9])


@pytest.mark.parametrize("models", [("fm",), ("dcn",), ("trees",), ("fm", "dcn", "trees")])
@pytest.mark.parametrize("columns", [(NUMBERS, CATEGORIES), (NUMBERS, ()), ((), CATEGORIES)])
def test_each_model_says_the_same_of_any_columns(models, columns) -> None:
    stack = stack_of(models, *columns)
    content = model_proto(stack).SerializeToString()
    assert largest_difference(content, stack, inputs_of(*columns, seed=9)) < 1e-5


@pytest.mark.parametrize("calibration", [Calibration(), Calibration(slope=0.3, shift=1.0), CURVE])
def test_each_calibration_is_in_the_file(calibration: Calibration) -> None:
    stack = attrs.evolve(stack_of(("fm", "trees"), NUMBERS, CATEGORIES), calibration=calibration)
    content = model_proto(stack).SerializeToString()
    assert largest_difference(content, stack, inputs_of(NUMBERS, CATEGORIES, seed=8)) < 1e-5


def test_values_that_nobody_has_seen_have_a_probability() -> None:
    """NaN, infinity, numbers beyond all bounds, unknown and empty texts, any letters."""
    stack = stack_of(("fm", "dcn", "trees"), NUMBERS, CATEGORIES)
    given = inputs_of(NUMBERS, CATEGORIES, seed=7)
    numbers, texts = given.numbers.copy(), given.categories.astype(object)
    numbers[0], numbers[1], numbers[2], numbers[3] = np.nan, LARGEST, -LARGEST, 1e-38
    texts[0], texts[1], texts[2] = "", "never seen", "\N{SNOWMAN}\N{CAT FACE}"
    odd = attrs.evolve(given, numbers=numbers, categories=texts.astype(np.str_))
    content = model_proto(stack).SerializeToString()
    assert largest_difference(content, stack, odd) < 1e-5
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    feeds = feeds_of(odd)
    feeds["numbers"][0] = np.inf
    (found,) = session.run(None, feeds)
    assert np.isfinite(found).all()


def test_one_row_has_the_answer_that_it_has_among_many() -> None:
    stack = stack_of(("fm", "dcn", "trees"), NUMBERS, CATEGORIES)
    given = inputs_of(NUMBERS, CATEGORIES, seed=6)
    session = onnxruntime.InferenceSession(
        model_proto(stack).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (all_rows,) = session.run(None, feeds_of(given))
    (one,) = session.run(None, feeds_of(given.take(np.array([4]))))
    assert one.shape == (1,)
    assert one[0] == pytest.approx(all_rows[4], abs=1e-6)


def test_a_model_whose_file_differs_is_not_written(tmp_path: Path) -> None:
    """Log odds of millions that a shift takes back lose their digits in float32."""
    stack, given = stack_of(("fm",), NUMBERS, CATEGORIES), inputs_of(NUMBERS, CATEGORIES, seed=5)
    weights = dict(stack.networks["fm"].weights)
    weights["linear.weight"] = weights["linear.weight"] + np.float32(1e7)
    huge = attrs.evolve(stack, networks={"fm": attrs.evolve(stack.networks["fm"], weights=weights)})
    back = Calibration(shift=-float(np.median(huge.logits(huge.model_logits(given)))) - 0.7)
    with pytest.raises(errors.InputError, match="differs"):
        export_stack(attrs.evolve(huge, calibration=back), tmp_path / "click.onnx", given)
    assert list(tmp_path.iterdir()) == []


def test_a_file_names_the_columns_that_it_reads(tmp_path: Path) -> None:
    stack = stack_of(("fm",), NUMBERS, CATEGORIES)
    path = export_stack(stack, tmp_path / "m.onnx", inputs_of(NUMBERS, CATEGORIES, seed=5))
    assert columns_of(path) == stack.features.columns


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_another_file_is_no_click_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(errors.ArtifactError, match="no exported click model"):
        columns_of(path)
