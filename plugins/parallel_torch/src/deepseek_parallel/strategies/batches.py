"""What a user's `loss(model, batch)` gives, and what it hands to the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from deepseek_core import errors, training
from deepseek_parallel.strategies import losses


def tensors(batch: Any) -> list[Tensor]:
    """All tensors of a batch, in order."""
    if isinstance(batch, Tensor):
        return [batch]
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, Sequence) and not isinstance(batch, str | bytes):
        return [tensor for part in batch for tensor in tensors(part)]
    return []


def num_items(batch: Any) -> int:
    """Items of a batch: the first size of its first tensor.

    Raises:
        InputError: it holds no tensor with a first size.
    """
    for tensor in tensors(batch):
        if tensor.dim():
            return int(tensor.shape[0])
    raise errors.InputError(
        f"a batch of type {type(batch).__name__} holds no tensor of items",
        remedy="give tensors whose first dimension counts items, in a tuple, list or dict",
    )


def summed(value: Any, batch: Any) -> tuple[Tensor, float]:
    """Sum of losses, which has a gradient, and their count, of what a loss gave.

    Raises:
        InputError: it is neither a mean nor (sum, count).
    """
    is_sum = isinstance(value, tuple) and len(value) == 2
    total, count = losses.summed(value, 0 if is_sum else num_items(batch))
    return total, losses.as_float(count)


@attrs.frozen(kw_only=True, eq=False)
class Given:
    """What a loss hands to the model: arguments by position and by name."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def to(self, model: nn.Module) -> Any:
        """What a model gives for it."""
        return model(*self.args, **self.kwargs)

    def by_position(self) -> tuple[Tensor, ...]:
        """The arguments, if they are what a stage of a pipeline can take.

        Raises:
            InputError: there are others than tensors by position.
        """
        if self.kwargs or not self.args or not all(isinstance(a, Tensor) for a in self.args):
            raise errors.InputError(
                "in a pipeline the loss must call the model with tensors by position",
                remedy="call model(x), and let a layer make what else is needed of it",
            )
        return self.args


class _Asked(BaseException):
    """Carries what a loss hands to the model; no `except Exception` of a user catches it."""

    def __init__(self, given: Given) -> None:
        super().__init__()
        self.given = given


class _Asks(nn.Module):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise _Asked(Given(args=args, kwargs=kwargs))


class _Answers(nn.Module):
    def __init__(self, output: Any) -> None:
        super().__init__()
        self.output = output
        self.calls = 0

    def forward(self, *_given: Any, **_named: Any) -> Any:
        self.calls += 1
        return self.output


def given_by(loss: training.Loss, batch: Any) -> Given:
    """What a loss would hand to the model.

    Raises:
        InputError: it does not call the model.
    """
    try:
        loss(_Asks(), batch)
    except _Asked as asked:
        return asked.given
    raise errors.InputError(
        "the loss does not call the model", remedy="write it as loss(model, batch): model(x) in it"
    )


def loss_of(loss: training.Loss, output: Any, batch: Any) -> tuple[Tensor, float]:
    """Sum and count of a batch for which the model gave this output.

    Raises:
        InputError: the loss calls the model again, whose stages have run once.
    """
    model = _Answers(output)
    value = loss(model, batch)
    if model.calls > 1:
        raise errors.InputError(
            f"the loss calls the model {model.calls} times, and a pipeline runs it once for a "
            "microbatch",
            remedy="call it once, on all inputs together (torch.cat), or use no pipeline: pp=1",
        )
    return summed(value, batch)


def check_equal(microbatches: Sequence[Sequence[Tensor]]) -> None:
    """See that all microbatches are of one size.

    Raises:
        InputError: they are not.
    """
    first = [tuple(one.shape) for one in microbatches[0]]
    for number, inputs in enumerate(microbatches):
        shapes = [tuple(one.shape) for one in inputs]
        if shapes != first:
            raise errors.InputError(
                f"microbatch {number} has shapes {shapes} and microbatch 0 {first}: "
                "a pipeline needs equal ones",
                remedy="choose a microbatch size that divides the batch, or drop what remains",
            )


def joined(microbatches: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """Each input of all microbatches as one tensor."""
    return tuple(torch.cat(list(parts)) for parts in zip(*microbatches, strict=True))
