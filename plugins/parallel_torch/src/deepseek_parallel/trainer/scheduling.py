"""Learning rates: torch's schedulers, checked, stepped and kept in checkpoints."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from deepseek_core import errors


class Rates:
    """Steps a scheduler after each step; one that looks at a loss, after each evaluation."""

    def __init__(self, scheduler: Any, optimizer: Optimizer, *, evaluated: bool) -> None:
        if isinstance(scheduler, Callable) and not isinstance(scheduler, LRScheduler):  # type: ignore[arg-type]
            scheduler = scheduler(optimizer)
        if scheduler is not None:
            _check(scheduler, optimizer, evaluated=evaluated)
        self._scheduler = scheduler
        self._by_loss = isinstance(scheduler, ReduceLROnPlateau)

    def after_step(self) -> None:
        """One step is done."""
        if self._scheduler is not None and not self._by_loss:
            with warnings.catch_warnings():  # it does not know the optimizer that has stepped
                warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
                self._scheduler.step()

    def after_evaluation(self, loss: float) -> None:
        """The loss was evaluated."""
        if self._by_loss:
            self._scheduler.step(loss)

    def state(self) -> Any:
        """What a checkpoint holds, as JSON."""
        return None if self._scheduler is None else as_json(self._scheduler.state_dict())

    def restore(self, state: Any) -> None:
        """Go on from what `state()` gave."""
        if self._scheduler is not None and state is not None:
            self._scheduler.load_state_dict(of_json(state))


def _check(scheduler: Any, optimizer: Optimizer, *, evaluated: bool) -> None:
    if not isinstance(scheduler, LRScheduler):
        raise errors.ConfigError(
            f"the scheduler is a {type(scheduler).__name__}",
            remedy="give one of torch.optim.lr_scheduler, or a function that makes it: "
            "lambda optimizer: CosineAnnealingLR(optimizer, 1000)",
        )
    if scheduler.optimizer is not optimizer:
        raise errors.ConfigError(
            "the scheduler is of another optimizer",
            remedy="make it of the optimizer that the trainer is given",
        )
    if isinstance(scheduler, ReduceLROnPlateau) and not evaluated:
        raise errors.ConfigError(
            "ReduceLROnPlateau looks at an evaluated loss, and nothing is evaluated",
            remedy="give evaluate=, or another scheduler",
        )
    try:
        as_json(scheduler.state_dict())
    except TypeError as error:
        raise errors.ConfigError(
            f"the state of {type(scheduler).__name__} can't be kept in a checkpoint: {error}",
            remedy="let LambdaLR have functions, not objects with a state of their own",
        ) from error


def as_json(value: Any) -> Any:
    """A value of numbers, texts, lists, tuples and maps with any keys as JSON.

    Raises:
        TypeError: something else is in it.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [as_json(item) for item in value]}
    if isinstance(value, dict):
        kind = "counter" if isinstance(value, Counter) else "map"
        return {kind: [[as_json(k), as_json(v)] for k, v in value.items()]}
    if getattr(value, "ndim", None) == 0:  # a number of numpy or torch
        return as_json(value.item())
    raise TypeError(f"it has a {type(value).__name__}")


def of_json(value: Any) -> Any:
    """What `as_json` was given."""
    if isinstance(value, list):
        return [of_json(item) for item in value]
    if not isinstance(value, dict):
        return value
    kind, held = next(iter(value.items()))
    if kind == "float":
        return float(held)
    if kind == "tuple":
        return tuple(of_json(item) for item in held)
    made = {of_json(k): of_json(v) for k, v in held}
    return Counter(made) if kind == "counter" else made
