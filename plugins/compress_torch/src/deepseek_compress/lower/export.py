"""Exports torch modules as float ONNX files, and checks them against the module."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import math
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from deepseek_compress.nesting import leaves
from deepseek_compress.onnx_graph.graph import Names
from deepseek_compress.samples.example import example_inputs
from deepseek_core import compression, errors

OPSET: Final = 20
TOLERANCE: Final = 1e-3
"""Largest difference from the module, relative to its largest output, that is let through."""


def export_onnx(
    model: Any,
    inputs: Mapping[str, Sequence[int]],
    path: Path,
    *,
    example: Mapping[str, Any] | None = None,
) -> float:
    """Write the module as float32 ONNX of a free batch; the largest relative difference from it.

    `inputs` are shapes by name, the batch first; `example` are two real samples of them, noise
    where there are none. Batch normalization is folded by the exporter.

    Raises:
        InputError: torch can't export it, or the file computes something else.
        WriteError: no space, or no permission.
    """
    import torch

    from deepseek_compress.modules import arguments_of, call, evaluating, in_order
    from deepseek_compress.onnx_graph.files import write_whole

    whole = _in_float32(model)
    given = in_order(whole, _tensors_of(whole, inputs, example))
    args, kwargs = arguments_of(whole, given)
    with evaluating(whole):
        output = call(whole, given)
        check_outputs(output)
        try:
            with _quiet(), _plain_outputs(whole):
                program = torch.onnx.export(
                    whole,
                    args,
                    kwargs=kwargs,
                    input_names=list(given),
                    dynamic_shapes=_free_batch(whole, args, kwargs),
                    opset_version=OPSET,
                    dynamo=True,
                    verbose=False,
                )
        except Exception as error:
            raise errors.InputError(
                f"torch can't export {type(model).__name__} to ONNX: {_first_cause(error)}",
                remedy="rewrite that part of the model, or give an ONNX file as model.path",
            ) from error
    _name_outputs(program, output)
    difference = _checked(program.model_proto, output, given)
    write_whole(path, program.model_proto.SerializeToString())
    return difference


def check_outputs(output: Any) -> None:
    """Refuse what a file can't hold.

    Raises:
        InputError: something beside tensors; names it.
    """
    for name, value in leaves(output):
        if not (hasattr(value, "shape") and hasattr(value, "dtype")):
            place = f"{name!r} of what the model gives" if name else "what the model gives"
            raise errors.InputError(
                f"{place} is a {type(value).__name__}, and a file has tensors alone",
                remedy="let the model give tensors, in a dict or a tuple if there are several",
            )


def _in_float32(model: Any) -> Any:
    """The model; a copy where its weights are of another precision."""
    import torch

    from deepseek_compress.modules import copied, place_of

    place, dtype = place_of(model)
    if dtype == torch.float32 and place.type == "cpu":
        return model
    return copied(model).float().cpu()


def _tensors_of(
    model: Any, inputs: Mapping[str, Sequence[int]], example: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Tensors of two samples: with one the exporter takes the batch for a constant."""
    from deepseek_compress.train.batches import as_tensors

    found = example_inputs(None, inputs, 2) if example is None else dict(example)
    return dict(as_tensors(compression.Batch(inputs=found), model).inputs)


@contextlib.contextmanager
def _plain_outputs(model: Any) -> Iterator[None]:
    """Let a model give a dict for a mapping of its own kind, which torch can't follow."""

    def plain(_module: Any, _args: Any, output: Any) -> Any:
        own = isinstance(output, Mapping) and type(output) not in (dict, OrderedDict)
        return dict(output) if own else output

    handle = model.register_forward_hook(plain)
    try:
        yield
    finally:
        handle.remove()


def _free_batch(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The first axis of each argument, under the parameter that takes it."""
    import torch

    batch = torch.export.Dim("batch", min=1)

    def free(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: free(part) for name, part in value.items()}
        return tuple(map(free, value)) if isinstance(value, tuple) else {0: batch}

    bound = inspect.signature(model.forward).bind(*args, **kwargs).arguments
    return {name: free(value) for name, value in bound.items()}


def _name_outputs(program: Any, output: Any) -> None:
    """Call outputs as a model's own mapping or named tuple does, each as nothing else is called.

    The exporter gives an output that hands an input on the input's name, and does not see that a
    name is a weight's, too.
    """
    own = isinstance(output, Mapping) or hasattr(output, "_fields")
    names, inputs = Names.of(program.model_proto), {v.name for v in program.model.graph.inputs}
    for value, (name, _) in zip(program.model.graph.outputs, leaves(output), strict=True):
        wanted = name if own else value.name
        if wanted != value.name or wanted in inputs:
            taken = wanted in names.taken
            value.name = names.fresh(f"{wanted}__output" if taken else wanted)


def _checked(proto: Any, output: Any, given: Mapping[str, Any]) -> float:
    """The largest difference of an output, relative to that output's largest value."""
    from deepseek_compress.onnx_graph.running import open_session

    expected = [tensor.double().numpy() for _, tensor in leaves(output)]
    feeds = {i.name: a.numpy() for i, a in zip(proto.graph.input, given.values(), strict=True)}
    session = open_session(proto)
    try:
        found = session.run(None, feeds)
    except Exception as error:
        raise errors.InputError(
            f"ONNX Runtime does not run the exported file: {_first_cause(error)}",
            remedy="let the model give float32 or whole numbers",
        ) from error
    worst = max(map(_difference, expected, found), default=0.0)
    if worst > TOLERANCE:
        raise errors.InputError(
            f"the exported file differs from the model by {worst:.2g} of its largest "
            f"output ({TOLERANCE:g} is let through)",
            remedy="look for operations that depend on the values or on the batch's size",
        )
    return worst


def _difference(expected: Any, found: Any) -> float:
    """Infinity where only one of the two is no finite number; never NaN, which hides in a max."""
    if expected.shape != found.shape:
        return math.inf
    found = found.astype(np.float64)
    differ = ~((expected == found) | (np.isnan(expected) & np.isnan(found)))
    gap = np.abs(expected[differ] - found[differ]).max(initial=0.0)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    return math.inf if np.isnan(gap) else float(gap / (largest or 1.0))


def _first_cause(error: BaseException) -> str:
    """The last line that says something, of the error at the root of a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason given'}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's advertisements, logs and warnings to itself."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
