"""Writes an encoder as an ONNX file: state goes in by name, and comes out for the next chunk."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from deepseek_core import TensorSpec, errors
from deepseek_fusion.export.files import check_folder, write_whole
from deepseek_fusion.export.layout import INPUT, StreamLayout
from deepseek_fusion.export.parity import largest_difference
from deepseek_fusion.protocol import Encoder, begin_state, dtype_name, frame_of
from deepseek_fusion.states import BATCH

OPSET: Final = 20
MOST_NBYTES: Final = 2_000_000_000
"""Of weights in one file: a protocol buffer ends at 2 GiB, with the graph."""
TOLERANCE: Final = 1e-5
"""Largest difference from the module, by its largest token where that is above 1."""


class _Step(nn.Module):
    """An `encoder` whose state is a list of arguments and of results, in the order of `names`."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.names = [spec.name for spec in encoder.state_specs]

    def forward(self, x: Tensor, mask: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Encode one chunk."""
        given = dict(zip(self.names, states, strict=True))
        tokens, there, state = self.encoder.encode(x, mask, given)
        return (tokens, there.clone(), *(state[name].clone() for name in self.names))


def export_encoder(encoder: Encoder, example: Tensor, path: str | Path) -> float:
    """Write an encoder as ONNX, and give the largest difference of the file from it.

    `example` is a real input; two rows and two frames of it or more. The batch is free in the
    file, and so are the steps of an encoder with state; pictures keep the example's size. The
    file was compared with the encoder before it was written, at other sizes than the
    example's. What the encoder was (training or not) it is afterwards.

    Raises:
        InputError: torch can't export it, or the file computes something else.
        WriteError: no space, or no permission.
    """
    if not isinstance(encoder, nn.Module) or not isinstance(encoder, Encoder):
        raise errors.InputError(
            f"{type(encoder).__name__} is not an encoder, a torch module with `width`, "
            "`state_specs` and `encode`",
            remedy="see deepseek_fusion.protocol.Encoder",
        )
    _check_weights(encoder)
    check_folder(Path(path))
    example = _enough(encoder, example)
    layout = layout_of(encoder, example)
    with _evaluating(encoder), torch.no_grad():
        program = _program(encoder, example, layout)
        proto = program.model_proto
        for key, value in layout.metadata().items():
            proto.metadata_props.add(key=key, value=value)
        content = proto.SerializeToString()
        difference = largest_difference(encoder, content, example)
    if difference > TOLERANCE:
        raise errors.InputError(
            f"the file of {layout.encoder} would differ from it by {difference:.2g}, "
            f"more than {TOLERANCE:g}",
            remedy="look for parts whose result depends on the size of the input",
        )
    write_whole(Path(path), content)
    return difference


def layout_of(encoder: Encoder, example: Tensor) -> StreamLayout:
    """Describe how a file streams for inputs like this one; pictures have no axis of steps."""
    sizes = tuple(example.shape)
    shape = (BATCH, "steps", *sizes[2:]) if encoder.state_specs else (BATCH, *sizes[1:])
    return StreamLayout(
        encoder=type(encoder).__name__,
        frame=frame_of(encoder),
        width=encoder.width,
        x=TensorSpec(name=INPUT, dtype=dtype_name(example), shape=shape, batch_axis=0),
        states=encoder.state_specs,
        vocabulary=getattr(encoder, "vocabulary", 0),
    )


def _enough(encoder: Encoder, example: Tensor) -> Tensor:
    """Check an example, and double what a graph would take for a constant."""
    encoder.encode(example)
    example = example.float() if example.is_floating_point() else example
    if 0 in example.shape:
        raise errors.InputError(
            f"an example of {list(example.shape)} is empty", remedy="give one real input"
        )
    example = example.detach()
    if example.shape[0] == 1:
        example = torch.cat([example] * 2)
    if encoder.state_specs and example.shape[1] == frame_of(encoder):
        example = torch.cat([example] * 2, 1)
    return example


def _check_weights(encoder: nn.Module) -> None:
    nbytes = sum(p.numel() * p.element_size() for p in encoder.parameters())
    if nbytes > MOST_NBYTES:
        raise errors.InputError(
            f"{nbytes:,} bytes of weights do not fit into one ONNX file of {MOST_NBYTES:,}",
            remedy="export a smaller encoder",
        )
    found = {dtype_name(p) for p in encoder.parameters() if p.is_floating_point()}
    if found - {"float32"}:
        raise errors.InputError(
            f"the weights are {', '.join(sorted(found))}; a file has float32, as its state has",
            remedy="export a copy: `copy.deepcopy(encoder).float()`",
        )


def _program(encoder: Any, example: Tensor, layout: StreamLayout) -> Any:
    step = _Step(encoder)
    state = begin_state(encoder.state_specs, example)
    mask = encoder.encode(example).mask.new_ones(_mask_shape(encoder, example))
    try:
        with _quiet():
            return torch.onnx.export(
                step,
                (example, mask, *(state[name] for name in step.names)),
                input_names=list(layout.inputs),
                output_names=list(layout.outputs),
                dynamic_shapes=_free_axes(encoder, len(step.names)),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter's own, of many classes
        raise errors.InputError(
            f"torch can't export {layout.encoder} to ONNX: {_first_cause(error)}",
            remedy="rewrite that part of the encoder",
        ) from error


def _mask_shape(encoder: Any, example: Tensor) -> tuple[int, ...]:
    return tuple(example.shape[: 2 if encoder.state_specs else 1])


def _free_axes(encoder: Any, states: int) -> dict[str, Any]:
    batch = torch.export.Dim(BATCH, min=1)
    free: dict[int, Any] = {0: batch}
    if encoder.state_specs:
        frame = frame_of(encoder)
        frames = torch.export.Dim("frames", min=1)
        free = {0: batch, 1: frames if frame == 1 else frame * frames}
    found: dict[str, Any] = {"x": free, "mask": dict(free)}
    if states:
        found["states"] = tuple({0: batch} for _ in range(states))
    return found


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextlib.contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Put a module into evaluation, and every part back as it was."""
    was = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in was:
            part.training = training


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what torch's exporter prints and warns of."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [one.level for one in loggers]
    try:
        for one in loggers:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
