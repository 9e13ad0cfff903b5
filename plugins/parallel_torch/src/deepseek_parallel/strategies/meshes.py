"""The processes of this run as a mesh of torch, each axis with a process group of its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from deepseek_core import errors
from deepseek_parallel.ending import end_after_gloo
from deepseek_parallel.errors import MeshMismatch
from deepseek_parallel.lost import rank_errors

AXES: Final = ("pp", "dp", "tp")
"""Slowest first, where a plan does not say otherwise: ranks that share a layer are neighbors."""


def device_mesh(sizes: Mapping[str, int], device: str) -> DeviceMesh:
    """A mesh of these sizes over all processes; its groups wait no longer than the default one.

    Raises:
        ConfigError: there is no process group.
        MeshMismatch: the sizes do not make the number of processes.
        RankLost: another rank does not answer.
    """
    if not dist.is_initialized():
        raise errors.ConfigError(
            "no process group: the ranks do not know each other",
            remedy="call torch.distributed.init_process_group() first, under torchrun",
        )
    axes = (*sizes, *(axis for axis in AXES if axis not in sizes))
    shape = tuple(sizes.get(axis, 1) for axis in axes)
    world = dist.get_world_size()
    if torch.Size(shape).numel() != world:
        listed = " x ".join(f"{axis} {size}" for axis, size in zip(axes, shape, strict=True))
        raise MeshMismatch(
            f"{listed} are {torch.Size(shape).numel()} ranks, and there are {world} processes",
            dimension="world",
            remedy="start as many processes as the plan has ranks, or plan for those here",
        )
    end_after_gloo()
    limit, ranks = _limit(dist.group.WORLD, device), torch.arange(world).view(shape)
    with rank_errors("making the mesh"):
        groups = [_group(ranks.movedim(place, -1), limit) for place in range(len(axes))]
        return DeviceMesh.from_group(groups, device, mesh=ranks, mesh_dim_names=axes)


def _group(ranks: Tensor, limit: timedelta) -> Any:
    """Mine of the groups along the last dimension; never that of all ranks, by which they tell."""
    rows = ranks.reshape(-1, ranks.shape[-1]).tolist()
    return dist.new_subgroups_by_enumeration(rows, timeout=limit)[0]


def _limit(group: Any, device: str) -> timedelta:
    """How long collectives of a group may wait."""
    limit: timedelta = group._get_backend(torch.device(device)).options._timeout
    return limit


def align(model: nn.Module) -> None:
    """Give all ranks the parameters and buffers of rank 0.

    Raises:
        MeshMismatch: another rank has another model.
        RankLost: another rank does not answer.
    """
    held = [*model.named_parameters(), *model.named_buffers()]
    mine = [(name, tuple(one.shape), str(one.dtype)) for name, one in held]
    with rank_errors("comparing the models"):
        told: list[Any] = [mine if dist.get_rank() == 0 else None]
        dist.broadcast_object_list(told, src=0)
        number = 0 if told[0] == mine else dist.get_rank() + 1
        differs = torch.tensor(number, device=held[0][1].device)
        dist.all_reduce(differs, dist.ReduceOp.MAX)
        if differs:
            raise MeshMismatch(
                f"rank {int(differs) - 1} has another model than rank 0",
                dimension="model",
                remedy="build the same model on all ranks",
            )
        for _, one in held:
            dist.broadcast(one.detach(), src=0)


def draw_alike(mesh: DeviceMesh) -> None:
    """Let ranks that share layers draw the same numbers, as dropout of what they all hold needs.

    Raises:
        RankLost: another rank does not answer.
    """
    group = mesh.get_group("tp")
    if group.size() == 1:
        return
    state = torch.get_rng_state().to(mesh.device_type)
    with rank_errors("making the mesh"):
        dist.broadcast(state, dist.get_global_rank(group, 0), group=group)
    torch.set_rng_state(state.cpu())
    if mesh.device_type != "cpu":
        torch.get_device_module(mesh.device_type).manual_seed(int(state[:8].sum()))
