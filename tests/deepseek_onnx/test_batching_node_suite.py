"""No node model of the ONNX suite is proven wrongly, whichever axes are said to be the batch."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from batch_runs import Refused, violations
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from deepseek_onnx.batching import prove

# Models that are proven and run, and choices of axes for them (onnx 1.23: 1050 and 1944).
FLOOR_MODELS = 1040
FLOOR_CHOICES = 1900

MOST_CHOICES = 200

# Models whose results are random, or whose runtime crashes on them.
Choice = tuple[int | None, ...]


def feeds_of(case: Any) -> list[np.ndarray[Any, Any]] | None:
    """The first data set of a case, None where an input is not a tensor."""
    if case.data_sets is not None:
        inputs = list(case.data_sets[0][0])
    else:
        folder = Path(case.model_dir) / "test_data_set_0"
        inputs = []
        for place in range(len(list(folder.glob("input_*.pb")))):
            tensor = onnx.TensorProto()
            tensor.ParseFromString((folder / f"input_{place}.pb").read_bytes())
            inputs.append(numpy_helper.to_array(tensor))
    arrays = [np.asarray(x) if isinstance(x, np.generic) else x for x in inputs]
    return arrays if all(isinstance(x, np.ndarray) for x in arrays) else None


def model_of(case: Any) -> onnx.ModelProto:
    return case.model if case.model is not None else onnx.load(Path(case.model_dir) / "model.onnx")


def choices(arrays: list[np.ndarray[Any, Any]]) -> Iterator[Choice]:
    """For each input the axis of the items, or None for a constant; one number of items in all."""
    options = [(None, *(axis for axis, size in enumerate(x.shape) if size > 1)) for x in arrays]
    found = 0
    for choice in itertools.product(*options):
        sizes = {x.shape[axis] for x, axis in zip(arrays, choice, strict=True) if axis is not None}
        if len(sizes) == 1:
            yield choice
            found += 1
        if found == MOST_CHOICES:
            return


def batched(
    model: onnx.ModelProto, arrays: list[np.ndarray[Any, Any]], choice: Choice
) -> onnx.ModelProto:
    """The model with the chosen axes named N, the other inputs constants."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    inputs = {value.name: value for value in result.graph.input}
    del result.graph.input[:]
    for (name, value), array, axis in zip(inputs.items(), arrays, choice, strict=False):
        if axis is None:
            result.graph.initializer.append(numpy_helper.from_array(array, name))
            continue
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for place, size in enumerate(array.shape):
            dim = shape.dim.add()
            if place == axis:
                dim.dim_param = "N"
            else:
                dim.dim_value = size
        result.graph.input.append(value)
    for output in result.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    return result


def cases() -> Iterator[tuple[str, onnx.ModelProto, list[np.ndarray[Any, Any]]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reference values divide by zero and overflow
        loaded = load_model_tests(kind="node")
    for case in loaded:
        try:
            arrays = feeds_of(case)
        except (OSError, ValueError):
            continue
        model = model_of(case)
        # A size of 0 says nothing: the files write it for a free one.
        whole = arrays is not None and all(x.size for x in arrays)
        if whole and len(arrays) == len(model.graph.input):
            yield case.name, model, arrays


@pytest.fixture(scope="module")
def proven() -> dict[str, list[tuple[Choice, list[str] | None]]]:
    """Model -> the choices that are proven, with what a run found wrong; None: it does not run."""
    found: dict[str, list[tuple[Choice, list[str] | None]]] = {}
    for name, model, arrays in cases():
        for choice in choices(arrays):
            changed = batched(model, arrays, choice)
            verdict = prove(changed)
            if verdict.symbol is None:
                continue
            names = [value.name for value in model.graph.input]
            feeds = {n: x for n, x, a in zip(names, arrays, choice, strict=True) if a is not None}
            try:
                wrong: list[str] | None = list(violations(changed, verdict, feeds))
            except Refused:
                wrong = None
            found.setdefault(name, []).append((choice, wrong))
    return found


def test_whatever_is_proven_holds_in_runs(proven):
    wrong = {
        (name, choice): problems
        for name, outcomes in proven.items()
        for choice, problems in outcomes
        if problems
    }
    assert wrong == {}


def test_as_many_are_proven_as_promised(proven, capsys):
    models = sum(any(wrong is not None for _, wrong in x) for x in proven.values())
    run = sum(wrong is not None for x in proven.values() for _, wrong in x)
    refused = sum(wrong is None for x in proven.values() for _, wrong in x)
    with capsys.disabled():
        print(f"\nproven: {models} node models, {run} choices of axes; {refused} more do not run")
    assert models >= FLOOR_MODELS
    assert run >= FLOOR_CHOICES
