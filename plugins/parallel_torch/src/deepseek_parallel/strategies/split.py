"""A model as this rank holds it, whatever the mesh: stages, tensors and replicas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from deepseek_core import errors, training
from deepseek_parallel.lost import rank_errors
from deepseek_parallel.strategies import batches
from deepseek_parallel.strategies.norm import gradient_norm, local, scale
from deepseek_parallel.strategies.pipeline import Pipeline

_BUCKET_NBYTES: Final = 25 * 2**20
"""What is summed at once: as torch's DDP, so that sums and copies overlap."""


class Split(training.SplitModel):
    """Modules of this rank (one, or the stages of a pipeline) on a mesh of the axes pp, dp, tp.

    `sharded` modules hold a part of each parameter on each rank of `dp`, and sum their own
    gradients; else each replica has them whole and they are summed here.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        mesh: DeviceMesh,
        *,
        pipeline: Pipeline | None = None,
        sharded: bool = False,
    ) -> None:
        self.modules, self.mesh = tuple(modules), mesh
        self._pipeline, self.is_sharded = pipeline, sharded

    @property
    def num_replicas(self) -> int:
        """Ranks of the axis `dp`."""
        return int(self.mesh.get_group("dp").size())

    @property
    def replica(self) -> int:
        """Which replica this rank is of: its batches are those of no other one."""
        return int(self.mesh.get_local_rank("dp"))

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """What this rank holds, under the names that the whole model has for it."""
        for module in self.modules:
            yield from module.named_parameters()

    def backward(self, microbatches: Sequence[Any], loss: training.Loss) -> training.Sums:
        """Leave the gradient of the sum of losses in `.grad`; the sums of this replica.

        Raises:
            InputError: no microbatch, or such as do not fit a pipeline.
            RankLost: another rank does not answer.
        """
        _check_some(microbatches)
        with rank_errors("a pass over microbatches"):
            if self._pipeline is None:
                sums = self._one_by_one(microbatches, loss)
            else:
                sums = self._added(self._pipeline.backward(microbatches, loss), "pp")
            for _, parameter in self.named_parameters():
                _place(parameter)
            return sums

    def evaluate(self, microbatches: Sequence[Any], loss: training.Loss) -> training.Sums:
        """The sums of this replica without a gradient, the modules in evaluation mode.

        Raises:
            InputError: no microbatch, or such as do not fit a pipeline.
            RankLost: another rank does not answer.
        """
        _check_some(microbatches)
        with rank_errors("an evaluation"), _evaluating(self.modules):
            if self._pipeline is not None:
                return self._added(self._pipeline.evaluate(microbatches, loss), "pp")
            (model,) = self.modules
            found = [batches.summed(loss(model, batch), batch) for batch in microbatches]
        return training.Sums(
            sum(float(value) for value, _ in found), sum(items for _, items in found)
        )

    def _one_by_one(self, microbatches: Sequence[Any], loss: training.Loss) -> training.Sums:
        (model,) = self.modules
        total = count = 0.0
        for number, batch in enumerate(microbatches, 1):
            if isinstance(model, FSDPModule):
                model.set_requires_gradient_sync(number == len(microbatches))
            value, items = batches.summed(loss(model, batch), batch)
            value.backward()
            total, count = total + float(value.detach()), count + items
        for module in model.modules():
            if isinstance(module, FSDPModule):  # what was kept whole between microbatches
                module.reshard()
        return training.Sums(total, count)

    def reduce(self, sums: training.Sums) -> training.Sums:
        """Make `.grad` the gradient of the mean over all items of all replicas; their sums.

        Raises:
            RankLost: another rank does not answer.
        """
        with rank_errors("the sum of gradients"):
            parameters = [p for _, p in self.named_parameters() if p.requires_grad]
            total, used = self._told(sums, parameters)
            if not total.items:
                raise errors.InputError("the loss counted no item", remedy="leave such batches out")
            gradients = []
            for parameter, is_used in zip(parameters, used, strict=True):
                if is_used:
                    if parameter.grad is None:  # used by other replicas alone
                        parameter.grad = torch.zeros_like(parameter)
                    gradients.append(local(parameter.grad))
            if self.is_sharded:  # torch gave the mean over the ranks
                factor = self.num_replicas / total.items
            else:
                self._sum(gradients)
                factor = 1 / total.items
            for gradient in gradients:
                gradient.mul_(factor)
        return total

    def _told(
        self, sums: training.Sums, parameters: Sequence[Tensor]
    ) -> tuple[training.Sums, list[bool]]:
        """Sums of all replicas, and which parameters have a gradient on one of them."""
        has = [float(parameter.grad is not None) for parameter in parameters]
        loss, count, *used = self._all_added([*sums, *has], "dp")
        return training.Sums(loss, count), [number > 0 for number in used]

    def clip(self, max_norm: float) -> float:
        """Scale the gradient to this norm at most; its norm before, over all parts of the model.

        Raises:
            RankLost: another rank does not answer.
        """
        parameters = [parameter for _, parameter in self.named_parameters()]
        with rank_errors("the norm of the gradient"):
            norm = gradient_norm(parameters, self.mesh)
        if norm > max_norm:
            scale(parameters, max_norm / (norm + 1e-6))
        return norm

    def _added(self, sums: training.Sums, axis: str) -> training.Sums:
        return training.Sums(*self._all_added(sums, axis))

    def _all_added(self, numbers: Sequence[float], axis: str) -> Sequence[float]:
        group = self.mesh.get_group(axis)
        if group.size() == 1:
            return numbers
        told = torch.tensor(numbers, dtype=torch.float64, device=self.mesh.device_type)
        dist.all_reduce(told, group=group)
        return [float(number) for number in told.cpu()]

    def _sum(self, gradients: Sequence[Tensor]) -> None:
        """Over all replicas, some MiB at once while others are copied."""
        group = self.mesh.get_group("dp")
        if group.size() == 1:
            return
        waiting = []
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            waiting.append((bucket, flat, dist.all_reduce(flat, group=group, async_op=True)))
        for bucket, flat, work in waiting:
            work.wait()
            parts = flat.split([gradient.numel() for gradient in bucket])
            for gradient, part in zip(bucket, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


def _check_some(microbatches: Sequence[Any]) -> None:
    if not microbatches:
        raise errors.InputError(
            "no microbatch for this replica", remedy="give each replica one or more"
        )


@contextmanager
def _evaluating(modules: Sequence[nn.Module]) -> Iterator[None]:
    """No gradient, and evaluation mode where a module is not in it already."""
    modes = {part: part.training for module in modules for part in module.modules()}
    for module in modules:
        module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _place(parameter: Tensor) -> None:
    """Let a gradient lie as its parameter does: dense, and with the same part on each rank."""
    gradient = parameter.grad
    if gradient is None:
        return
    if gradient.layout != torch.strided:
        gradient = gradient.to_dense()
    if isinstance(parameter, DTensor) and gradient.placements != parameter.placements:
        gradient = gradient.redistribute(parameter.device_mesh, parameter.placements)
    parameter.grad = gradient


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbors of one dtype, up to the size of a bucket."""
    bucket: list[Tensor] = []
    nbytes = 0
    for gradient in gradients:
        is_full = nbytes + gradient.nbytes > _BUCKET_NBYTES
        if bucket and (is_full or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, nbytes = [], 0
        bucket.append(gradient)
        nbytes += gradient.nbytes
    if bucket:
        yield bucket
