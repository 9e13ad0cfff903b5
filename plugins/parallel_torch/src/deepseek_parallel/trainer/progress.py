"""How far a training has come: what a checkpoint holds of it beside the tensors."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.define(kw_only=True)
class Progress:
    """`position` is how many samples were taken, `turns` how many steps and evaluations were done.

    `evaluated` and `saved` are the steps at which that was done last. `best` is the best value of
    the metric of an early stop, and `waited` how many evaluations have passed since.
    """

    step: int = 0
    position: int = 0
    turns: int = 0
    evaluated: int = -1
    saved: int = -1
    best: float | None = None
    waited: int = 0
    stopped: str = ""

    def state(self) -> dict[str, Any]:
        """Values for JSON."""
        return attrs.asdict(self)

    def restore(self, state: dict[str, Any]) -> None:
        """Be what `state()` gave."""
        for name, value in state.items():
            setattr(self, name, value)


@attrs.frozen(kw_only=True)
class Goal:
    """Where a training ends: after so many steps, or so many samples. `batch` is of a step."""

    batch: int
    length: int
    steps: int | None = None
    epochs: int | None = None

    def count(self, progress: Progress) -> int:
        """Samples of the next step; the last one may be smaller, 0 is the end."""
        if self.steps is not None:
            return self.batch if progress.step < self.steps else 0
        assert self.epochs is not None
        return max(0, min(self.batch, self.epochs * self.length - progress.position))

    def ends_epoch(self, progress: Progress) -> bool:
        """Whether the last step has come to the end of an epoch, or beyond it."""
        before = max(0, progress.position - self.batch)
        return progress.position > 0 and progress.position // self.length > before // self.length

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return -(-self.epochs * self.length // self.batch)
