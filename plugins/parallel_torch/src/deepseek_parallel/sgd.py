"""Stochastic gradient descent whose ranks exchange 1 % of their gradients."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from deepseek_core import errors
from deepseek_parallel.codec.compressor import RATIO
from deepseek_parallel.codec.packet import Sparse
from deepseek_parallel.codec.select import Vector
from deepseek_parallel.errors import NotFiniteGradient, StateMismatch
from deepseek_parallel.exchange import Exchange, Layout
from deepseek_parallel.feedback import Feedback

_KEPT: Final = ("velocity", "residual", "left")


class CompressedSGD(Optimizer):
    """SGD with momentum for data-parallel ranks; `step` takes the place of DDP's all-reduce.

    Give it the parameters of a plain module: of one that is not wrapped, so that `backward` leaves
    each rank its own gradient. Every rank has the same module and steps as often; the loss of each
    is the mean over its items, as with DDP. Parameters begin as those of rank 0 and stay equal to
    the bit. What a step does not send waits and is sent later, so nothing is lost.

    `ratio` is the share of values that a rank sends of its own gradient, and `ratio_of_sum` that
    of their sum (`ratio` by default): a larger one costs bytes and follows more ranks better.
    Momentum acts less where values wait, so the best rate is about twice that of plain SGD.
    `group` is a process group; its timeout is how long a step may wait for another rank.

    Raises:
        ConfigError: a rate, momentum or ratio that can't be, or parameters that are no floats.
        StateMismatch: the other ranks have another model or other ratios.
        RankLost: another rank does not answer.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        ratio: float = RATIO,
        ratio_of_sum: float | None = None,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        _check("lr", lr, 0 <= lr < float("inf"))
        _check("momentum", momentum, 0 <= momentum < 1)
        _check("weight_decay", weight_decay, 0 <= weight_decay < float("inf"))
        shares = ratio, ratio if ratio_of_sum is None else ratio_of_sum
        for name, share in zip(("ratio", "ratio_of_sum"), shares, strict=True):
            _check(name, share, 0 < share <= 1)
        if not dist.is_initialized():
            raise errors.ConfigError(
                "no process group: the ranks do not know each other",
                remedy="call torch.distributed.init_process_group() first, under torchrun",
            )
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self._params: list[Tensor] = [p for g in self.param_groups for p in g["params"]]
        _check_parameters(self._params)
        ends = np.cumsum([0, *(p.numel() for p in self._params)])
        self._parts = [slice(a, b) for a, b in pairwise(ends)]
        layout = Layout(
            length=int(ends[-1]), ranks=dist.get_world_size(group),
            ratio=shares[0], ratio_of_sum=shares[1],
        )  # fmt: skip
        self._group, self._exchange = group, Exchange(layout, group)
        self._feedback = Feedback(layout, self._exchange.rank, momentum)
        self._update: Vector = np.zeros(layout.length, np.float32)
        self._agree()
        self._keep()

    @property
    def wire_nbytes(self) -> int:
        """Bytes that all ranks together send in a step, with the headers of gloo and TCP."""
        return self._exchange.layout.wire_nbytes

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take a group of parameters, as long as nothing was exchanged.

        Raises:
            ConfigError: it is too late.
        """
        if hasattr(self, "_exchange"):
            raise errors.ConfigError(
                "the ranks have agreed on their parameters already",
                remedy="give all groups at once: CompressedSGD([{'params': ...}, {...}], lr=...)",
            )
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Exchange the gradients of all ranks and take one step; what the closure gave.

        After an error nothing of this rank has changed. After `RankLost` another rank may have
        taken the step: go on from a checkpoint.

        Raises:
            NotFiniteGradient: the gradient of a rank holds NaN or infinity; on all ranks at once.
            RankLost: another rank does not answer.
            InputError: another rank sent something else.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            self._exchanged()
        return loss

    def _exchanged(self) -> None:
        self._read()
        offered = self._exchange.to_owners(self._feedback.offer(self._update))
        self._check_finite(offered, "the gradient of parameter {} on rank {}")
        sums = self._exchange.to_all(self._feedback.own(offered))
        self._check_finite(sums, "the sum of the gradients of parameter {}, on its owner {},")
        change = self._feedback.finish(sums)
        for param, part in zip(self._params, self._parts, strict=True):
            param.sub_(torch.from_numpy(change[part]).view(param.shape).to(param))

    def state_dict(self) -> dict[str, Any]:
        """The state of this rank, which differs from that of others: save one for each."""
        layout = self._exchange.layout
        told = {"rank": self._exchange.rank, "ranks": layout.ranks, "length": layout.length}
        return {**super().state_dict(), "compression": told}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of this rank.

        Raises:
            StateMismatch: it is of another model, rank or number of ranks.
        """
        mine, given = self.state_dict()["compression"], state_dict.get("compression")
        if given != mine:
            raise StateMismatch(
                f"this state is of {_told(given)}, and this is {_told(mine)}",
                remedy="load the state of this rank; deepseek_parallel.resharded makes one of all",
            )
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "compression"})
        # As it was given: torch would round it to the dtype of the parameter.
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        for number, part in zip(numbers, self._parts, strict=True):
            for name in _KEPT:
                getattr(self._feedback, name)[part] = _flat(state_dict["state"][number][name])
        self._keep()

    def _keep(self) -> None:
        """Let the state of each parameter be its part of the vectors."""
        for param, part in zip(self._params, self._parts, strict=True):
            self.state[param] = {
                name: torch.from_numpy(getattr(self._feedback, name)[part]).view(param.shape)
                for name in _KEPT
            }

    def _read(self) -> None:
        """Write the update of this step."""
        number = 0
        for options in self.param_groups:
            for param in options["params"]:
                update = self._update[self._parts[number]]
                if param.grad is None:
                    update[:] = 0
                else:
                    update[:] = _flat(param.grad)
                if options["weight_decay"]:
                    update += np.float32(options["weight_decay"]) * _flat(param)
                update *= np.float32(options["lr"])
                number += 1

    def _check_finite(self, packets: Sequence[Sparse], which: str) -> None:
        """Raise on all ranks what one has told instead of values."""
        for rank, one in enumerate(packets):
            if one.bad is not None:
                number = next(n for n, part in enumerate(self._parts) if one.bad < part.stop)
                raise NotFiniteGradient(
                    f"{which.format(number, rank)} holds NaN or infinity",
                    rank=rank,
                    parameter=number,
                    remedy="lower the learning rate, clip the gradient, or skip this batch",
                )

    def _agree(self) -> None:
        """See that all ranks have the same layout, and take the parameters of rank 0."""
        layout = self._exchange.layout
        shapes = [tuple(param.shape) for param in self._params]
        mine = zlib.crc32(repr((shapes, layout, self._feedback.momentum)).encode())
        told: list[Any] = [None] * layout.ranks
        dist.all_gather_object(told, mine, group=self._group)
        others = [rank for rank, one in enumerate(told) if one != told[0]]
        if others:
            raise StateMismatch(
                f"ranks {_listed(others)} have other parameters or settings than rank 0",
                remedy="build the same model and optimizer on all ranks",
            )
        first = dist.get_global_rank(self._group, 0) if self._group is not None else 0
        for param in self._params:
            dist.broadcast(param.data, first, group=self._group)


def _check_parameters(params: Sequence[Tensor]) -> None:
    for number, param in enumerate(params):
        if not param.is_floating_point() or hasattr(param, "device_mesh"):
            what = "spread over a mesh (DTensor)" if hasattr(param, "device_mesh") else param.dtype
            raise errors.ConfigError(
                f"parameter {number} is {what}, and only whole parameters of floats are exchanged",
                remedy="give CompressedSGD the others, and this one another optimizer",
            )


def _flat(tensor: Tensor) -> Vector:
    if tensor.layout != torch.strided:  # the gradient of a sparse embedding
        tensor = tensor.to_dense()
    flat = tensor.detach().to("cpu", torch.float32).reshape(-1).numpy()
    return cast(Vector, flat)


def _listed(ranks: Sequence[int]) -> str:
    return ", ".join(map(str, ranks))


def _told(compression: Any) -> str:
    if not isinstance(compression, dict):
        return "another optimizer"
    return "rank {rank} of {ranks} with {length} values".format(**compression)


def _check(name: str, value: float, is_fine: bool) -> None:
    if not is_fine:
        raise errors.ConfigError(f"{name} can't be {value}")
