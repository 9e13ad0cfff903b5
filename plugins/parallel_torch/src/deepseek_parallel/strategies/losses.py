"""What a user's loss gave, as a sum and a count."""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor

from deepseek_core import errors

_REMEDY: Final = (
    "return the mean over the items of the batch as a tensor of one number, or (sum, count)"
)


def check_loss(loss: Any) -> None:
    """Refuse what is no function of a model and a batch.

    Raises:
        ConfigError: it is something else, as a criterion of outputs and targets.
    """
    if not callable(loss):
        raise errors.ConfigError(
            f"the loss is a {type(loss).__name__}", remedy="give a function of (model, batch)"
        )
    home = getattr(loss, "__module__", None) or ""
    if home.startswith("torch.nn") or type(loss).__module__.startswith("torch.nn"):
        name = getattr(loss, "__name__", type(loss).__name__)
        raise errors.ConfigError(
            f"the loss is torch's {name}, which takes outputs and targets",
            remedy="give a function of (model, batch): "
            "lambda model, batch: criterion(model(batch[0]), batch[1])",
        )


def summed(answer: Any, items: int) -> tuple[Tensor, float | Tensor]:
    """The sum of the loss, and over how many it goes; `items` of a batch have a mean.

    Raises:
        InputError: it is neither a mean nor (sum, count).
    """
    if isinstance(answer, tuple) and len(answer) == 2:
        total, count = answer
        return _scalar(total), _count(count)
    mean = _scalar(answer)
    return mean * items, items


def _scalar(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        has = (isinstance(value, dict) and "loss" in value) or hasattr(value, "loss")
        raise errors.InputError(
            f"the loss gave a {kind}, not a tensor",
            remedy=f"return its loss: output[{'loss'!r}]" if has else _REMEDY,
        )
    if value.numel() != 1:
        raise errors.InputError(
            f"the loss gave a tensor of shape {list(value.shape)}", remedy=_REMEDY
        )
    if not value.is_floating_point():
        raise errors.InputError(f"the loss is of {value.dtype}", remedy="return it as a float")
    return value.reshape(())


def _count(value: Any) -> float | Tensor:
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.detach().reshape(())
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_count(value):
        raise errors.InputError(f"the loss gave {value!r} as its count", remedy=_REMEDY)
    return value


def _is_count(value: float) -> bool:
    return math.isfinite(value) and value >= 0


def check_gradient(total: Tensor) -> None:
    """Refuse a loss that no parameter can be trained by.

    Raises:
        InputError: it does not hang on any.
    """
    if not total.requires_grad:
        raise errors.InputError(
            "the loss does not hang on any parameter that is trained",
            remedy="compute it from model(...) without detach(), item() or torch.no_grad()",
        )


def as_float(value: float | Tensor) -> float:
    """A number of the host."""
    return float(value.detach()) if isinstance(value, torch.Tensor) else float(value)
