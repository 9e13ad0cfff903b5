"""What a proof promises, put to the test: pieces of a batch, run alone, are pieces of the whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from deepseek_onnx.batching import Verdict

Array = np.ndarray[Any, np.dtype[Any]]

# Of integers and strings each bit counts; of floats what rounding leaves.
RTOL, ATOL = 1e-3, 1e-4


class Refused(Exception):
    """The runtime does not load or run the model."""


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # the runtime has a class for each refusal
        raise Refused(str(error)) from error


def run(opened: ort.InferenceSession, feeds: Mapping[str, Array]) -> dict[str, Any]:
    names = [value.name for value in opened.get_outputs()]
    try:
        return dict(zip(names, opened.run(names, dict(feeds)), strict=True))
    except Exception as error:  # the runtime has a class for each refusal
        raise Refused(str(error)) from error


def take(array: Array, axis: int, start: int, stop: int) -> Array:
    return np.ascontiguousarray(np.take(array, range(start, stop), axis=axis))


def cuts(n: int) -> list[list[int]]:
    """Borders of pieces: one by one, and uneven."""
    single = list(range(n + 1))
    uneven = sorted({0, 1, n // 2 + 1, n}) if n > 2 else single
    return [single] if uneven == single else [single, uneven]


def violations(
    model: onnx.ModelProto, verdict: Verdict, feeds: Mapping[str, Array]
) -> Iterator[str]:
    """Each output that differs between the whole batch and its pieces.

    `feeds` holds all inputs; those in `verdict.axes` are cut.
    """
    opened = session(model)
    whole = run(opened, feeds)
    batched = {name: verdict.axes[name] for name in feeds if name in verdict.axes}
    n = next(feeds[name].shape[axis] for name, axis in batched.items())
    for borders in cuts(n):
        pieces = []
        for start, stop in itertools.pairwise(borders):
            part = {
                k: take(v, batched[k], start, stop) if k in batched else v for k, v in feeds.items()
            }
            try:
                pieces.append(run(opened, part))
            except Refused as error:
                yield f"pieces {borders}: {error}"
                return
        yield from compare(whole, pieces, verdict.axes, n, borders)


def compare(
    whole: Mapping[str, Any],
    pieces: Sequence[Mapping[str, Any]],
    axes: Mapping[str, int],
    n: int,
    borders: Sequence[int],
) -> Iterator[str]:
    for name, expected in whole.items():
        parts = [np.asarray(piece[name]) for piece in pieces]
        if len({part.ndim for part in parts}) > 1 or not parts[0].ndim > axes[name]:
            yield f"{name}: ranks {[part.shape for part in parts]}"
        elif [part.shape[axes[name]] for part in parts] != list(np.diff(borders)):
            yield f"{name}: pieces of sizes {[part.shape for part in parts]}"
        elif expected.shape[axes[name]] != n:
            yield f"{name}: whole of size {expected.shape}"
        elif not equal(expected, np.concatenate(parts, axis=axes[name])):
            yield f"{name}: values differ between the whole and {list(borders)}"


def equal(a: Array, b: Array) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind in "fc":
        return np.allclose(a, b, rtol=RTOL, atol=ATOL, equal_nan=True)
    return bool(np.array_equal(a, b))
