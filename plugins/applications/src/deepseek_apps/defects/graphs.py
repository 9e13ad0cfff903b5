"""ONNX files of the three parts that ship, and of all of them joined.

Legend: C colors, V views, K classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_apps.defects.deployed import INPUT, OUTPUTS, SAID, SEEN
from deepseek_core import errors

if TYPE_CHECKING:
    from torch import Tensor, nn

_HEIGHT, _WIDTH = 120, 100  # px of the picture that is traced; any other size fits as well
_MOST_APART: Final = 1e-4  # of a probability, between torch and the file


@attrs.frozen(kw_only=True)
class Names:
    """Inputs and outputs of a graph; `free` are axes of the first input that may be of any size."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    free: Sequence[tuple[int, str]] = ()


def write_before(before: nn.Module, colors: int, path: Path) -> None:
    """Write what is before the network; it takes a picture of any size."""
    import torch

    picture = torch.randint(0, 256, (_HEIGHT, _WIDTH, colors), dtype=torch.uint8)
    names = Names(inputs=[INPUT], outputs=[SEEN], free=((0, "H"), (1, "W")))
    _write(before, (picture,), names, path)


def write_network(network: nn.Module, example: Tensor, path: Path) -> None:
    """Write the network; `example` is what it takes of two pictures or more."""
    _write(network, (example,), Names(inputs=[SEEN], outputs=SAID, free=((0, "N"),)), path)


def write_after(after: nn.Module, said: tuple[Tensor, Tensor], path: Path) -> None:
    """Write what follows the network; `said` is what it says of all views of a picture."""
    _write(after, said, Names(inputs=SAID, outputs=OUTPUTS), path)


def _write(module: nn.Module, example: tuple[Tensor, ...], names: Names, path: Path) -> None:
    import torch

    shapes: Any = None
    if names.free:
        shapes = ({axis: torch.export.Dim(name, min=1) for axis, name in names.free},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own, about its own modules
        program = torch.onnx.export(
            module.eval(), example, dynamo=True, verbose=False, dynamic_shapes=shapes,
            input_names=list(names.inputs), output_names=list(names.outputs),
        )  # fmt: skip
    if program is None:
        raise errors.GraphError(
            f"torch exported nothing to {path.name}", remedy="pip install -U torch"
        )
    program.save(str(path))


def join(before: Path, network: Path, after: Path, path: Path) -> None:
    """Write one graph of all three: from the camera's pixels to the answers.

    What the network takes and gives may have any names; its outputs are in the order of `SAID`.
    """
    import onnx
    from onnx import compose

    parts = [onnx.load(each) for each in (before, network, after)]
    version = max(part.ir_version for part in parts)
    for part, prefix in zip(parts, ("before_", "network_", "after_"), strict=True):
        part.ir_version = version
        compose.add_prefix(part, prefix, rename_inputs=False, rename_outputs=False, inplace=True)
    seen, said = parts[1].graph.input[0].name, [each.name for each in parts[1].graph.output]
    whole = compose.merge_models(parts[0], parts[1], [(SEEN, seen)])
    whole = compose.merge_models(whole, parts[2], list(zip(said, SAID, strict=True)))
    onnx.checker.check_model(whole)
    onnx.save(whole, path)


def check_parity(path: Path, pictures: Sequence[Any], expected: Sequence[Any]) -> float:
    """The largest difference between a file's answers and those of torch.

    Raises:
        GraphError: the file does not say what the network says.
    """
    import numpy as np

    from deepseek_apps.shared.ort import ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    apart = max(
        float(np.abs(one - other).max())
        for picture, answers in zip(pictures, expected, strict=True)
        for one, other in zip(session.run(None, {INPUT: picture}), answers, strict=True)
    )
    if not apart <= _MOST_APART:
        raise errors.GraphError(
            f"{path.name} differs from the trained network by {apart:.2g}",
            remedy="pip install -U torch onnx onnxruntime",
        )
    return apart
