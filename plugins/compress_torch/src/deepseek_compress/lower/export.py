"""Exports torch modules as float ONNX files, and checks them against the module."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from deepseek_core import errors

OPSET: Final = 20
TOLERANCE: Final = 1e-3
"""Largest difference from the module, relative to its largest output, that is let through."""


def export_onnx(model: Any, inputs: Mapping[str, Sequence[int]], path: Path) -> float:
    """Write the module as float32 ONNX of a free batch; the largest relative difference from it.

    `inputs` are shapes by name, the batch first. Batch normalization is folded by the exporter.

    Raises:
        InputError: torch can't export it, or the file computes something else.
        WriteError: no room, or no permission.
    """
    import torch

    draw = torch.Generator().manual_seed(0)
    # Two samples: with one the exporter takes the batch for a constant.
    arguments = tuple(torch.randn((2, *shape[1:]), generator=draw) for shape in inputs.values())
    whole = model.eval()
    try:
        with _quiet():
            batch = torch.export.Dim("batch", min=1)
            program = torch.onnx.export(
                whole,
                arguments,
                input_names=list(inputs),
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:
        raise errors.InputError(
            f"torch can't export {type(model).__name__} to ONNX: {_first_cause(error)}",
            remedy="rewrite that part of the model, or give an ONNX file as model.path",
        ) from error
    return _checked(program, whole, arguments, path)


def _checked(program: Any, model: Any, arguments: tuple[Any, ...], path: Path) -> float:
    import torch

    from deepseek_compress.onnx_graph.files import write_whole
    from deepseek_compress.onnx_graph.running import open_session

    proto = program.model_proto
    write_whole(path, proto.SerializeToString())
    with torch.no_grad():
        given = model(*arguments)
    expected = [t.numpy() for t in _tensors(given)]
    feeds = {i.name: a.numpy() for i, a in zip(proto.graph.input, arguments, strict=True)}
    found = open_session(proto).run(None, feeds)
    worst = max((_difference(a, b) for a, b in zip(expected, found, strict=False)), default=0.0)
    if len(expected) != len(found) or not worst <= TOLERANCE:
        path.unlink()
        raise errors.InputError(
            f"the exported file differs from {type(model).__name__} by {worst:.2g} of its largest "
            f"output ({TOLERANCE:g} is let through)",
            remedy="look for operations that depend on the values or on the batch's size",
        )
    return worst


def _tensors(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
    elif value is not None:
        yield value


def _difference(expected: Any, found: Any) -> float:
    if expected.shape != found.shape:
        return float("inf")
    largest = float(np.abs(expected).max(initial=0.0))
    return float(np.abs(expected - found).max(initial=0.0)) / (largest or 1.0)


def _first_cause(error: BaseException) -> str:
    """The last line that says something, of the error at the root of a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's advertisements, logs and warnings to itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
