"""Optimizers and the course of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import torch

from deepseek_compress.train.options import FitOptions
from deepseek_core import errors

_ONECYCLE_RISE: Final = 0.3  # share of the steps, as in Smith 2018 (1803.09820)
_START: Final = 0.04  # of the highest rate


def make_optimizer(model: Any, more: Iterable[Any], options: FitOptions) -> Any:
    """An optimizer of all that is not frozen; biases and normalizations do not decay.

    Raises:
        InputError: everything is frozen.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not trained:
        raise errors.InputError(
            "all parameters of the model are frozen", remedy="call model.requires_grad_(True)"
        )
    trained += list(more)
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=options.learning_rate)
    nesterov = options.momentum > 0
    return torch.optim.SGD(
        groups, lr=options.learning_rate, momentum=options.momentum, nesterov=nesterov
    )


def rate_at(step: int, steps: int, options: FitOptions) -> float:
    """Learning rate of a step, counted from 0: a rise, then down to zero along a cosine."""
    highest = options.learning_rate
    if options.schedule == "constant" and step >= options.warmup * steps:
        return highest
    share = _ONECYCLE_RISE if options.schedule == "onecycle" else options.warmup
    rise = round(share * steps)
    if step < rise:
        return highest * (_START + (1 - _START) * (step + 1) / (rise + 1))
    return highest * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
