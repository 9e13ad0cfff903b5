"""A trained stack as one ONNX file, and the check that it says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from deepseek_apps.ctr.export.forest import write_trees
from deepseek_apps.ctr.export.networks import WRITERS
from deepseek_apps.ctr.export.preprocessing import CATEGORIES, NUMBERS, write_preprocessing
from deepseek_apps.ctr.export.writer import IR_VERSION, ML, ML_OPSET, OPSET, GraphWriter
from deepseek_apps.ctr.fitted import Stack
from deepseek_apps.ctr.stack.calibration import Calibration
from deepseek_apps.ctr.table import Columns, Inputs
from deepseek_core import console, errors

FILE: Final = "click.onnx"
OUTPUT: Final = "probability"
COLUMNS_KEY: Final = "deepseek.ctr.columns"
"""Metadata of a file: the names of its columns of numbers and of categories, as JSON."""
_BATCH_KEY: Final = "deepseek.batch_axis"
_TOLERANCE: Final = 1e-5


def model_proto(stack: Stack) -> Any:
    """The graph: `numbers` (N, M) and `categories` (N, C) in, `probability` (N) out."""
    from onnx import TensorProto, helper

    writer, features = GraphWriter(), stack.features
    given = write_preprocessing(writer, features)
    logits = {
        kind: WRITERS[kind](writer, given, network.weights)
        for kind, network in stack.networks.items()
    }
    if stack.trees is not None:
        logits["trees"] = write_trees(writer, given, features, stack.trees)
    _write_end(writer, stack, logits)
    inputs = []
    if features.numbers:
        shape = ["N", len(features.numbers)]
        inputs.append(helper.make_tensor_value_info(NUMBERS, TensorProto.FLOAT, shape))
    if features.categories:
        shape = ["N", len(features.categories)]
        inputs.append(helper.make_tensor_value_info(CATEGORIES, TensorProto.STRING, shape))
    output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N"])
    graph = helper.make_graph(writer.nodes, "click", inputs, [output], writer.constants)
    return _described(graph, features.columns, features.fingerprint)


def _described(graph: Any, columns: Columns, fingerprint: str) -> Any:
    from onnx import helper

    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)],
        ir_version=IR_VERSION,
        producer_name="deepseek-apps",
    )
    told = {"numbers": columns.numbers, "categories": columns.categories}
    metadata = {
        COLUMNS_KEY: json.dumps(told),
        "deepseek.ctr.features": fingerprint,
        _BATCH_KEY: "N",
    }
    helper.set_model_props(model, metadata)
    return model


def _write_end(writer: GraphWriter, stack: Stack, logits: dict[str, str]) -> None:
    """Combine the log odds (N, 1) of the models, and calibrate: the output (N)."""
    slope, shift = stack.calibration.slope, stack.calibration.shift
    # a line over a line is one line
    parts = [
        writer.add("Mul", logits[model], writer.constant(slope * weight))
        for model, weight in stack.combination.weights.items()
    ]
    total = writer.constant([[slope * stack.combination.bias + shift]])
    for part in parts:
        total = writer.add("Add", part, total)
    if stack.calibration.points:
        found = _interpolated(writer, total, stack.calibration)
    else:
        found = writer.add("Sigmoid", total)
    writer.add("Squeeze", found, writer.integers(1), name=OUTPUT)


def _interpolated(writer: GraphWriter, logits: str, calibration: Calibration) -> str:
    """The curve through points, (N, 1): the segment is found by counting points below."""
    points = np.array(calibration.points, np.float32)
    levels = np.array(calibration.levels, np.float32)
    first, last = writer.constant(points[0]), writer.constant(points[-1])
    held = writer.add("Clip", logits, first, last)
    above = writer.add("GreaterOrEqual", held, writer.constant(points[None, 1:-1]))
    segment = writer.add(
        "ReduceSum", writer.add("Cast", above, to=7), writer.integers(1), keepdims=1
    )
    start = writer.add("Gather", writer.constant(points[:-1]), segment)
    level = writer.add("Gather", writer.constant(levels[:-1]), segment)
    rises = np.diff(levels.astype(np.float64)) / np.diff(points.astype(np.float64))
    slope = writer.add("Gather", writer.constant(rises), segment)
    return writer.add("Add", level, writer.add("Mul", slope, writer.add("Sub", held, start)))


def export_stack(stack: Stack, path: Path, sample: Inputs) -> Path:
    """Write the file, and run it on `sample` to see that it says the same.

    Raises:
        InputError: it does not, to 1e-5.
        WriteError: it can't be written.
    """
    import onnx

    model = model_proto(stack)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    apart = largest_difference(content, stack, sample)
    if not apart <= _TOLERANCE:
        raise errors.InputError(
            f"the exported model differs from the trained one by {apart:.2g}",
            remedy="train again with another rate: log odds this large lose digits in float32",
        )
    with console.whole_file(path) as partial:
        partial.write_bytes(content)
    return path


def largest_difference(content: bytes, stack: Stack, inputs: Inputs) -> float:
    """The largest difference of a probability in ONNX Runtime from the stack's own."""
    from deepseek_apps.shared.ort import ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (found,) = session.run([OUTPUT], feeds_of(inputs))
    return float(np.abs(found - stack.probabilities(inputs)).max())


def feeds_of(inputs: Inputs) -> dict[str, Any]:
    """What an exported model is given: numbers in float32, texts as objects."""
    feeds: dict[str, Any] = {}
    if inputs.columns.numbers:
        feeds[NUMBERS] = inputs.numbers
    if inputs.columns.categories:
        feeds[CATEGORIES] = inputs.categories.astype(object)
    return feeds
