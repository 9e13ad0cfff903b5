"""What a trainer is given, looked at before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from deepseek_core import errors
from deepseek_parallel.ranks import Ranks, StaticRanks
from deepseek_parallel.sgd import CompressedSGD
from deepseek_parallel.trainer.choice import Choice


def check_whole(name: str, value: Any, least: int = 1) -> None:
    """Refuse what is no whole number of `least` or more.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise errors.ConfigError(
            f"{name} is {value!r}", remedy=f"give a whole number of {least} or more"
        )


def check_positive(name: str, value: Any) -> None:
    """Refuse what is not above zero.

    Raises:
        ConfigError: it is something else.
    """
    fine = isinstance(value, int | float) and not isinstance(value, bool)
    if not fine or not math.isfinite(value) or value <= 0:
        raise errors.ConfigError(f"{name} is {value!r}", remedy="give a number above 0")


def check_model(model: Any) -> None:
    """Refuse what is no plain module with parameters to train.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(model, nn.Module):
        raise errors.ConfigError(
            f"the model is a {type(model).__name__}", remedy="give an object of torch.nn.Module"
        )
    if type(model).__name__ in ("DistributedDataParallel", "DataParallel"):
        raise errors.ConfigError(
            f"the model is wrapped in {type(model).__name__}, which exchanges gradients by itself",
            remedy="give the module inside: model.module",
        )
    for name, param in model.named_parameters():
        if hasattr(param, "device_mesh"):
            raise errors.ConfigError(
                f"parameter {name} is spread over a mesh (DTensor)",
                remedy="give the module before fully_shard or parallelize_module",
            )
        if param.is_meta or isinstance(param, nn.UninitializedParameter):
            raise errors.ConfigError(
                f"parameter {name} has no values yet",
                remedy="run the model once on a batch, or model.to_empty and its initialization",
            )
    if not any(param.requires_grad for param in model.parameters()):
        raise errors.ConfigError(
            "the model has no parameter that is trained",
            remedy="let some have requires_grad=True",
        )


def check_optimizer(optimizer: Any, model: nn.Module) -> list[tuple[str, Tensor]]:
    """The parameters of an optimizer by their names in the model, in the optimizer's order.

    Raises:
        ConfigError: it is no optimizer, or one of other parameters.
    """
    if not isinstance(optimizer, Optimizer):
        remedy = "give it made: torch.optim.SGD(model.parameters(), lr=0.1)"
        if hasattr(optimizer, "last_epoch"):
            remedy = "give the optimizer here, and this one as scheduler="
        name = getattr(optimizer, "__name__", type(optimizer).__name__)
        raise errors.ConfigError(f"{name} is no optimizer", remedy=remedy)
    if isinstance(optimizer, LBFGS):
        raise errors.ConfigError(
            "LBFGS computes the loss several times in a step", remedy="use another optimizer"
        )
    names = {id(param): name for name, param in model.named_parameters()}
    held = [param for group in optimizer.param_groups for param in group["params"]]
    strange = [number for number, param in enumerate(held) if id(param) not in names]
    if strange:
        raise errors.ConfigError(
            f"parameter {strange[0]} of the optimizer is none of the model's ({len(strange)} of "
            f"{len(held)} are not)",
            remedy="make the optimizer of model.parameters(), after the model has moved or "
            "changed; a loss with weights of its own belongs into the model",
        )
    return [(names[id(param)], param) for param in held]


def check_sparse(params: Sequence[tuple[str, Tensor]], optimizer: Any, size: int) -> None:
    """Refuse an optimizer that wants sparse gradients, where they are added as dense ones.

    Raises:
        ConfigError: it is one.
    """
    if size > 1 and type(optimizer).__name__ == "SparseAdam":
        raise errors.ConfigError(
            f"SparseAdam wants sparse gradients, and ranks add dense ones ({params[0][0]})",
            remedy="use torch.optim.Adam or Adagrad on several ranks",
        )


def check_choice(
    choice: Choice, optimizer: Optimizer, ranks: Ranks, *, batch: int, compressed: bool,
    balance: bool,
) -> None:  # fmt: skip
    """Refuse what does not go with a divided model.

    Raises:
        ConfigError: elastic ranks, compressed gradients, balanced shares, a used optimizer, or
            microbatches that are not all of one size.
    """
    what = f"the strategy {choice.name}"
    if not isinstance(ranks, StaticRanks):
        choice.refuse_elastic()
    if compressed or isinstance(optimizer, CompressedSGD):
        raise errors.ConfigError(
            f"{what} can't be had with compressed gradients, which are of whole models",
            remedy='leave compress out and give torch.optim.SGD, or use strategy="ddp"',
        )
    if balance:
        raise errors.ConfigError(
            f"{what} can't be had with balance: ranks of a mesh wait for each other at each layer",
            remedy='leave balance out, or use strategy="ddp"',
        )
    if batch % choice.options.get("micro", 1):
        raise errors.ConfigError(
            f"{what} needs microbatches of one size, and {choice.options['micro']} does not divide "
            f"the batch of {batch}",
            remedy="give a microbatch that does, or leave it out",
        )
    if any(optimizer.state.values()):
        raise errors.ConfigError(
            f"this {type(optimizer).__name__} has a state already, which can't be divided",
            remedy="give a new one, of a kind that makes its state in the first step: AdamW, SGD; "
            "a training goes on from a checkpoint by fit(..., resume=True)",
        )
