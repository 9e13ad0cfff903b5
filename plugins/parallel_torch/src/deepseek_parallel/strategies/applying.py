"""A plan made true in this process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from deepseek_core import errors, training
from deepseek_parallel.errors import MeshMismatch
from deepseek_parallel.strategies.meshes import align, device_mesh, draw_alike
from deepseek_parallel.strategies.pipeline import Pipeline, check_number
from deepseek_parallel.strategies.split import Split
from deepseek_parallel.strategies.stage import layer_names, stages
from deepseek_parallel.strategies.tensor import divide


def apply(plan: training.TrainingPlan, model: Any, *, sharded: bool = False) -> Split:
    """The model as this rank of the plan holds it; the model given is taken apart for it.

    `sharded`: each replica holds a part of each parameter.

    Raises:
        ConfigError: there is no process group.
        InputError: the model is no `nn.Module`, or its layers are not those of the plan.
        MeshMismatch: the plan fits neither the processes nor the model, by its dimension.
        RankLost: another rank does not answer.
    """
    if not isinstance(model, nn.Module):
        raise errors.InputError(
            f"a {type(model).__name__} is no nn.Module", remedy="give the module to be trained"
        )
    held = [*model.parameters()]
    if isinstance(model, DistributedDataParallel) or any(isinstance(p, DTensor) for p in held):
        raise errors.InputError(
            "the model is wrapped or divided already",
            remedy="give the plain module, as each process builds it",
        )
    _check(plan)
    if not held:
        raise errors.InputError("the model has no parameter", remedy="give one that can be trained")
    _check_divisible(model, plan.options.get("split", {}), sharded=sharded)
    mesh = device_mesh(plan.mesh.sizes, held[0].device.type)
    align(model)
    divide(model, plan.options.get("split", {}), mesh["tp"])
    draw_alike(mesh)
    if plan.mesh.sizes.get("pp", 1) > 1:
        return _piped(plan, model, mesh)
    if sharded:
        return _sharded(plan, model, mesh)
    return Split([model], mesh)


def _check_divisible(model: nn.Module, layers: Iterable[str], *, sharded: bool) -> None:
    """Refuse parameters that can't be divided, or that torch's parts would not stand for."""
    layers = {*layers}
    dtypes = {p.dtype: name for name, p in model.named_parameters() if p.requires_grad}
    if sharded and len(dtypes) > 1:
        listed = ", ".join(f"{name} is of {dtype}" for dtype, name in dtypes.items())
        raise errors.InputError(
            f"parts of one dtype alone can be sent together, and {listed}",
            remedy="give the model one dtype: model.float(); or use the strategy ddp",
        )
    for name, parameter in model.named_parameters():
        if not sharded and name.rpartition(".")[0] not in layers:
            continue
        if parameter.dim() == 0 or not parameter.numel():
            what = "is one number" if parameter.numel() else "has no elements"
            raise errors.InputError(
                f"the parameter {name} {what}, which can't be divided",
                remedy="give it a dimension: torch.ones(1); or use the strategy ddp",
            )
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            raise errors.InputError(
                f"the parameter {name} has a hook, and its parts would have none",
                remedy="do in the model or the optimizer what it does, or use the strategy ddp",
            )


def _check(plan: training.TrainingPlan) -> None:
    """What does not depend on the processes."""
    sizes: Mapping[str, int] = plan.mesh.sizes
    replicas, pp = sizes.get("dp", 1), sizes.get("pp", 1)
    if len(plan.shares) != replicas:
        raise MeshMismatch(
            f"{len(plan.shares)} shares of microbatches for dp {replicas}",
            dimension="dp",
            remedy="give each replica a share",
        )
    interleave = len(plan.cut) // pp
    if len(plan.cut) != pp * max(interleave, 1):
        raise MeshMismatch(
            f"{len(plan.cut)} stages do not fit pp {pp}",
            dimension="pp",
            remedy="cut the model into a multiple of pp stages",
        )
    for share in plan.shares if pp > 1 else ():
        check_number(schedule_of(plan), pp, share)


def schedule_of(plan: training.TrainingPlan) -> str:
    """The plan's schedule: 1f1b, or of several chunks a rank interleaved or zero_bubble."""
    default = "interleaved" if len(plan.cut) > plan.mesh.sizes.get("pp", 1) else "1f1b"
    return str(plan.options.get("schedule", default))


def _piped(plan: training.TrainingPlan, model: nn.Module, mesh: DeviceMesh) -> Split:
    pp, rank = plan.mesh.sizes["pp"], mesh.get_local_rank("pp")
    names = layer_names(model, plan.options.get("layers"))
    if schedule_of(plan) == "zero_bubble":
        _check_trained(model, names[: plan.cut[0]])
    mine = stages(model, names, plan.cut, range(rank, len(plan.cut), pp))
    pipeline = Pipeline(mine, mesh.get_group("pp"), schedule_of(plan))
    return Split(mine, mesh, pipeline=pipeline)


def _check_trained(model: nn.Module, names: Sequence[str]) -> None:
    """Refuse what torch's zero bubble leaves without a gradient and without a word."""
    held = [p for name in names for p in model.get_submodule(name).parameters()]
    if not any(parameter.requires_grad for parameter in held):
        raise MeshMismatch(
            f"the first stage ({', '.join(names)}) has nothing to be trained, and zero bubble "
            "would leave out gradients of the next one",
            dimension="layers",
            remedy="use the schedule 1f1b or interleaved",
        )


def _sharded(plan: training.TrainingPlan, model: nn.Module, mesh: DeviceMesh) -> Split:
    """Layers one by one, then what is outside of them.

    Replicas with unequal numbers of microbatches gather the parameters once a step, else they
    would wait for each other at each microbatch.
    """
    is_even = len(set(plan.shares)) == 1
    for layer in _blocks(model):
        fully_shard(layer, mesh=mesh["dp"], reshard_after_forward=is_even)
    whole: Any = fully_shard(model, mesh=mesh["dp"], reshard_after_forward=is_even)
    if not is_even:
        whole.set_reshard_after_backward(False)
    return Split([whole], mesh, sharded=True)


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The members of the model's lists and sequences that hold parameters, none in another."""
    found: list[nn.Module] = []
    for module in model.modules():
        if isinstance(module, nn.ModuleList | nn.Sequential):
            inside = {id(part) for block in found for part in block.modules()}
            found += [
                block for block in module.children()
                if id(block) not in inside
                and not isinstance(block, nn.ModuleList | nn.Sequential)
                and next(block.parameters(), None) is not None
            ]  # fmt: skip
    return found
