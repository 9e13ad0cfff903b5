"""What a run of a recipe tells plugins that listen: each step as it begins and ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypedDict

from deepseek_core import compression, emit, events


class Which(TypedDict):
    """Which step of which recipe an event is about."""

    recipe: str
    step: str
    number: int
    steps: int


@contextmanager
def told(which: Which) -> Iterator[None]:
    """Tell that a step begins, and what stops it; `tell_ended` is for one that ends well."""
    emit(events.RecipeStepBegan(**which))
    start_s = time.monotonic()
    try:
        yield
    except BaseException as error:
        seconds, text = time.monotonic() - start_s, f"{type(error).__name__}: {error}"
        emit(events.RecipeStepEnded(**which, seconds=seconds, error=text))
        raise


def tell_ended(which: Which, row: compression.StepRow, metric: str) -> None:
    """Tell that a step has ended well, and what its model is like."""
    ended = events.RecipeStepEnded(
        **which,
        seconds=row.seconds or 0.0,
        nbytes=row.profile.nbytes,
        metric=metric,
        quality=None if row.accuracy is None else row.accuracy.value,
    )
    emit(ended)
