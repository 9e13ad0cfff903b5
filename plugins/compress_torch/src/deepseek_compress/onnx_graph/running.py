"""Models on ONNX Runtime's CPU: outputs for samples, and how two models differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
import numpy as np
from onnx import ModelProto, ValueInfoProto, helper

from deepseek_compress.onnx_graph.feeding import Fed, Feeder, as_samples
from deepseek_core import errors

Array = np.ndarray[Any, Any]


def open_session(model: ModelProto, *, level: str = "ALL", saved_to: str = "") -> Any:
    """A session of one thread; `level` of optimization is NONE, BASIC, EXTENDED or ALL.

    Raises:
        ArtifactError: ONNX Runtime does not open the model.
    """
    from deepseek_compress.onnx_graph.ort import options_for, ort

    options = options_for(model.metadata_props)
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(
        ort.GraphOptimizationLevel, "ORT_DISABLE_ALL" if level == "NONE" else f"ORT_ENABLE_{level}"
    )
    options.optimized_model_filepath = saved_to
    try:
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise errors.ArtifactError(f"ONNX Runtime does not open the model: {error}") from error


def with_outputs(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """A copy whose outputs are these tensors."""
    copied = ModelProto()
    copied.CopyFrom(model)
    known = {v.name: v for v in (*model.graph.output, *model.graph.value_info)}
    del copied.graph.output[:]
    copied.graph.output.extend(known.get(name, ValueInfoProto(name=name)) for name in names)
    for value in copied.graph.output:
        if not value.HasField("type"):
            value.CopyFrom(helper.make_empty_tensor_value_info(value.name))
    return copied


def run_calls(
    model: ModelProto, samples: Any, *, level: str = "ALL"
) -> Iterator[tuple[Fed, list[Array]]]:
    """Each call of the samples, with the model's outputs.

    Raises:
        BadCalibration: samples do not fit the model.
        ArtifactError: ONNX Runtime does not open or run it.
    """
    feeder, session = Feeder.of(model), open_session(model, level=level)
    for fed in feeder.calls(as_samples(samples, model)):
        try:
            yield fed, session.run(None, dict(fed.inputs))
        except Exception as error:
            raise errors.ArtifactError(
                f"ONNX Runtime does not run the model on sample {fed.first}: {error}"
            ) from error


@attrs.frozen(kw_only=True)
class Difference:
    """How far a model's outputs are from those of another on the same samples.

    `relative_error` is the root of (sum of squared differences / sum of squares), of all float
    outputs together; `agreement` is the share of samples whose largest entry along the last axis
    of the first output is the same; `samples` is how many there were.
    """

    relative_error: float
    agreement: float
    samples: int


def compare(reference: ModelProto, other: ModelProto, samples: Any) -> Difference:
    """Run both on the samples.

    Raises:
        BadCalibration: samples do not fit the models.
    """
    squares = off = 0.0
    same = rows = count = 0
    pairs = zip(run_calls(reference, samples), run_calls(other, samples), strict=True)
    for (fed, expected), (_, found) in pairs:
        count += fed.count
        for a, b in zip(expected, found, strict=True):
            if getattr(a, "dtype", np.dtype("O")).kind == "f":
                squares += float(np.square(a.astype(np.float64)).sum())
                off += float(np.square(a.astype(np.float64) - b).sum())
        agreeing = _same_winner(expected[0], found[0], fed)
        same, rows = same + int(agreeing.sum()), rows + agreeing.size
    error = float(np.sqrt(off / squares)) if squares else float(np.sqrt(off))
    return Difference(relative_error=error, agreement=same / max(rows, 1), samples=count)


def _same_winner(expected: Any, found: Any, fed: Fed) -> Array:
    if not isinstance(expected, np.ndarray) or expected.ndim == 0 or expected.size == 0:
        return np.zeros(0, bool)
    if (
        len(expected) >= fed.count and expected.ndim > 1
    ):  # what fills up a last batch is not a sample
        expected, found = expected[: fed.count], found[: fed.count]
    return np.asarray(expected.argmax(-1) == found.argmax(-1)).reshape(-1)
