"""The norm of a gradient whose parts lie on several ranks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from deepseek_core import errors


def local(tensor: Tensor) -> Tensor:
    """What this rank holds of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gradient_norm(parameters: Iterable[Tensor], mesh: DeviceMesh) -> float:
    """Norm over all parts on all ranks, each counted once however many ranks hold it.

    An axis of the mesh that a parameter is not split over holds copies of it, but for `pp`, whose
    ranks hold different parameters.
    """
    first = torch.zeros((), dtype=torch.float64)
    for parameter in parameters:
        if parameter.grad is not None:
            squares = local(parameter.grad).detach().double().square().sum().cpu()
            first += squares / _num_copies(parameter, mesh)
    total = first.to(mesh.device_type)
    for axis in mesh.mesh_dim_names or ():
        dist.all_reduce(total, group=mesh.get_group(axis))
    return float(total.sqrt())


def scale(parameters: Iterable[Tensor], factor: float) -> None:
    """Multiply all gradients; plain and spread ones, one by one."""
    for parameter in parameters:
        if parameter.grad is not None:
            local(parameter.grad).mul_(factor)


def _num_copies(parameter: Any, mesh: DeviceMesh) -> int:
    names = set(mesh.mesh_dim_names or ()) - {"pp"}
    if isinstance(parameter, DTensor):
        axes = zip(parameter.device_mesh.mesh_dim_names or (), parameter.placements, strict=True)
        names -= {axis for axis, placement in axes if placement.is_shard()}
    copies = 1
    for name in names:
        copies *= mesh.get_group(name).size()
    return copies


def fit_optimizer(optimizer: Optimizer) -> None:
    """Let an optimizer take parameters one by one where some are divided and some are not.

    Raises:
        ConfigError: it was told to take many at once, which fails on such a mix.
    """
    for options in optimizer.param_groups:
        if len({isinstance(one, DTensor) for one in options["params"]}) < 2:
            continue
        for name in ("foreach", "fused"):
            if options.get(name):
                raise errors.ConfigError(
                    f"{type(optimizer).__name__} has {name}=True over plain and divided parameters",
                    remedy=f"leave {name} out, or give {name}=False",
                )
            if name in options:
                options[name] = False
