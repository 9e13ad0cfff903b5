"""Layers whose weights are divided over the ranks of the axis `tp`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    RowwiseParallel,
    parallelize_module,
)

from deepseek_core import errors
from deepseek_parallel.errors import MeshMismatch

HOW: Final = ("column", "row", "vocabulary")


def divide(model: nn.Module, how: Mapping[str, str], mesh: DeviceMesh) -> None:
    """Divide the layers of these names, in place: a "column" before its "row" gives one sum.

    Raises:
        InputError: a name that is not of the model, or a way that its layer does not have.
        MeshMismatch: the axis `tp` does not divide a layer's width.
    """
    styles = {name: _style(model, name, way, mesh.size()) for name, way in how.items()}
    if styles:
        parallelize_module(model, mesh, styles)
    for name in styles:  # torch gives views, which the model could not change in place
        model.get_submodule(name).register_forward_hook(_copied)


def _copied(_layer: nn.Module, _given: Any, output: Tensor) -> Tensor:
    return output.clone()


def _style(model: nn.Module, name: str, way: str, ranks: int) -> ParallelStyle:
    try:
        layer: Any = model.get_submodule(name)
    except AttributeError:
        raise errors.InputError(
            f"the model has no layer {name!r} to be divided",
            remedy="give names as model.named_modules() has them",
        ) from None
    if way not in HOW or not isinstance(layer, _kind(way)):
        raise errors.InputError(
            f"the layer {name!r}, a {type(layer).__name__}, can't be divided by {way!r}",
            remedy='give "column" or "row" for nn.Linear and "vocabulary" for nn.Embedding',
        )
    if way == "vocabulary":
        return RowwiseParallel(input_layouts=Replicate(), output_layouts=Replicate())
    width = layer.out_features if way == "column" else layer.in_features
    if width % ranks:
        raise MeshMismatch(
            f"tp {ranks} does not divide the width {width} of the layer {name!r}",
            dimension="tp",
            remedy="choose a tp that divides it, or leave this layer and its pair whole",
        )
    return ColwiseParallel() if way == "column" else RowwiseParallel()


def _kind(way: str) -> Any:
    return nn.Embedding if way == "vocabulary" else nn.Linear
