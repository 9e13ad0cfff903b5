"""Events of compressions."""

from __future__ import annotations

import attrs

from deepseek_core.contracts.events.base import Event, maybe_line, one_line


@attrs.frozen(kw_only=True)
class RecipeStepBegan(Event):
    """A step of a compression recipe began.

    `recipe` names the recipe; `step` is the name of the step, the `number`-th of `steps` from 1.
    """

    recipe: str = attrs.field(converter=one_line)
    step: str = attrs.field(converter=one_line)
    number: int
    steps: int


@attrs.frozen(kw_only=True)
class RecipeStepEnded(Event):
    """A step of a compression recipe ended after `seconds`.

    `recipe`, `step`, `number` and `steps` are those of its `RecipeStepBegan`. `nbytes` is the size
    of the model then, and `quality` what `metric` measured on it; None where it was not measured.
    `error` is None if the step did what it was asked to; else it says what stopped it.
    """

    recipe: str = attrs.field(converter=one_line)
    step: str = attrs.field(converter=one_line)
    number: int
    steps: int
    seconds: float
    nbytes: int | None = None
    metric: str | None = attrs.field(default=None, converter=maybe_line)
    quality: float | None = None
    error: str | None = attrs.field(default=None, converter=maybe_line)
