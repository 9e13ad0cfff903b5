"""A recipe's schedule: what it makes of the rate, and how it follows another batch or rate."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Final

import attrs
import torch

from deepseek_core import errors

_COUNTS: Final = (
    "T_max", "T_0", "total_iters", "total_steps", "step_size", "milestones", "steps_per_epoch",
    "step_size_up", "step_size_down",
)  # fmt: skip
"""Arguments of torch's schedulers that are numbers of steps."""
_WARMED: Final = "deepseek_observe.tune.schedule:warmed"
_BY_LOSS: Final = "ReduceLROnPlateau"
_OWN_RATES: Final = {"OneCycleLR": "max_lr", "CyclicLR": "max_lr"}
"""Schedules that go by a rate of their own, and not by the optimizer's: the argument with it."""
_MOST_STEPS: Final = 100_000
"""Of a training whose schedule is gone through; some 10 us each."""


@attrs.frozen(kw_only=True)
class Tuned:
    """What a recipe is set to; `micro` samples are computed at once on each process.

    It is None where a process can compute its part of the batch at once, on any number of them.
    """

    batch: int
    micro: int | None
    rate: float
    warmup_steps: int
    warmup_start: float


def takes_warmup(table: Mapping[str, Any]) -> bool:
    """Whether a warm-up can stand before this schedule."""
    name = (after_warmup(table) or {}).get("name")
    return name != _BY_LOSS and name not in _OWN_RATES


def own_rate(table: Mapping[str, Any]) -> float | None:
    """The highest rate of a schedule that goes by its own; None for others."""
    given = after_warmup(table) or {}
    key = _OWN_RATES.get(str(given.get("name")))
    found = given.get("kwargs", {}).get(key) if key else None
    return float(found) if isinstance(found, int | float) else None


def rate_factors(table: Mapping[str, Any], rate: float, steps: int) -> tuple[float, ...]:
    """What a schedule makes of the rate in each step, by the highest; its warm-up is left out.

    None for a schedule of the user's own, one that goes by the loss, and very long trainings:
    those are taken as constant.

    Raises:
        ConfigError: torch has no such schedule, or its arguments do not fit.
    """
    given = after_warmup(table)
    name = (given or {}).get("name")
    if given is None or name is None or name == _BY_LOSS or not 0 < steps <= _MOST_STEPS:
        return ()
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=rate, momentum=0.9)
    kind = getattr(torch.optim.lr_scheduler, str(name), None)
    if not isinstance(kind, type):
        raise errors.ConfigError(
            f"torch.optim.lr_scheduler has no {name!r}",
            remedy='give one of it: name = "CosineAnnealingLR"',
        )
    try:
        schedule = kind(optimizer, **given.get("kwargs", {}))
        rates = [_next(optimizer, schedule) for _ in range(steps)]
    except (TypeError, ValueError) as error:
        raise errors.ConfigError(
            f"scheduler {name} over {steps} steps: {error}", remedy="correct its kwargs"
        ) from error
    peak = max(rates)
    return tuple(one / peak for one in rates) if peak > 0 else ()


def _next(optimizer: Any, schedule: Any) -> float:
    """The rate of this step; the schedule stands at the next one then."""
    now = float(optimizer.param_groups[0]["lr"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no optimizer steps here
        schedule.step()
    return now


def scheduled(
    given: Mapping[str, Any] | None, tuned: Tuned, old: int | None
) -> dict[str, Any] | None:
    """The recipe's schedule for a tuned batch and rate, with a warm-up before it; None for none.

    `old` is the batch that it counts its steps by.
    """
    warm = {
        "start_factor": max(tuned.warmup_start / tuned.rate, 1e-6),
        "total_iters": tuned.warmup_steps,
    }
    given = after_warmup(given)
    if given is None:
        return {"name": "LinearLR", "kwargs": warm} if tuned.warmup_steps else None
    after = dict(given)
    if "name" in after:
        after["kwargs"] = _followed(str(after["name"]), after.get("kwargs", {}), tuned, old)
        if not after["kwargs"]:
            del after["kwargs"]
    if not tuned.warmup_steps or not takes_warmup(after):
        return after
    return {"factory": _WARMED, "kwargs": {"warm": warm, "then": after}}


def _followed(name: str, kwargs: Mapping[str, Any], tuned: Tuned, old: int | None) -> Any:
    found = dict(kwargs)
    if old is not None:
        for key in _COUNTS:
            if key in found:
                found[key] = rescaled(found[key], old, tuned.batch)
        if name == "ExponentialLR" and isinstance(found.get("gamma"), float):
            found["gamma"] **= tuned.batch / old
    own = _OWN_RATES.get(name)
    if own is not None and isinstance(found.get(own), int | float) and found[own]:
        if isinstance(found.get("base_lr"), int | float):
            found["base_lr"] *= tuned.rate / found[own]
        found[own] = tuned.rate
    return found


def rescaled(count: Any, old: int, new: int) -> Any:
    """A number of steps, or a list of them, for as many samples with another batch."""
    if isinstance(count, list):
        return [rescaled(one, old, new) for one in count]
    return max(1, round(count * old / new)) if isinstance(count, int) else count


def after_warmup(given: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """A schedule without the warm-up before it, which another one replaces; None for none."""
    if not given:
        return None
    kwargs = given.get("kwargs", {})
    if given.get("factory") == _WARMED:
        then: Mapping[str, Any] = kwargs["then"]
        return then
    rises = set(kwargs) <= {"start_factor", "total_iters"} and kwargs.get("start_factor", 1) <= 1
    return None if given.get("name") == "LinearLR" and rises else given
