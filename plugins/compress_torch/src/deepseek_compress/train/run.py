"""Where and how a training runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs


def _quiet(_done: int, _of: int, _text: str) -> None:
    """Report no progress."""


@attrs.frozen(kw_only=True, eq=False)
class Run:
    """A training's surroundings: `step` is its name in messages.

    With a `checkpoint` path, a state is kept there after each epoch, and gone on from if it is
    of the same model, data and options.
    """

    step: str
    seed: int = 0
    threads: int = 1
    checkpoint: Path | None = None
    progress: Callable[[int, int, str], None] = _quiet
