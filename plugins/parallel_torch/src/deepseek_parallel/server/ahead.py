"""The weights that a worker gets: as they will be, as far as is known, when its gradient comes.

A gradient of old weights adds to the momentum: where a share f of the gradients is one step old, it
acts as momentum + f * rate * curvature, and steep directions swing up. So a worker that will come
late gets weights that are taken ahead along the momentum and what has been collected of the next
step. After Chen et al., "Efficient and robust parallel DNN training through model parallelism on
multi-GPU platform" (2018), and Hakimi et al., "Taming momentum in a distributed asynchronous
environment" (2019), who do the first of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from torch import Tensor
from torch.optim import SGD, Optimizer

_FADING: Final = 0.8  # weight of what was known of a worker's staleness


class Ahead:
    """Takes weights ahead for SGD with momentum; for another optimizer they stay as they are."""

    def __init__(self, params: Sequence[Tensor], optimizer: Optimizer) -> None:
        self._params, self._optimizer = params, optimizer
        self._before: Tensor | None = None
        self._moved: Tensor | None = None  # by the last step, float32 [elements]
        self._staleness: dict[int, float] = {}  # of each worker, on average

    def note_step(self, weights: Tensor) -> None:
        """Take notice of the weights, float32 [elements], that a step has made."""
        if self._before is not None:
            self._moved = weights - self._before
        self._before = weights

    def note_staleness(self, worker: int, steps: int) -> None:
        """Take notice of how old a gradient was."""
        known = self._staleness.get(worker, float(steps))
        self._staleness[worker] = _FADING * known + (1 - _FADING) * steps

    def forget(self, worker: int) -> None:
        """Know nothing of a worker that is gone."""
        self._staleness.pop(worker, None)

    def weights(self, worker: int, now: Tensor, collected: Tensor | None) -> Tensor:
        """What a worker gets: `collected` is the mean of gradients of the next step, if any."""
        late = self._staleness.get(worker, 0.0)
        if not late or self._moved is None or not isinstance(self._optimizer, SGD):
            return now
        sizes = [param.numel() for param in self._params]
        taken = now.clone()
        parts = zip(taken.split(sizes), self._moved.split(sizes), strict=True)
        rules = self._rules()
        gradients = (None,) * len(sizes) if collected is None else collected.split(sizes)
        for (part, moved), (rate, momentum), gradient in zip(parts, rules, gradients, strict=True):
            if momentum:
                # the next step, and what momentum makes of it in those after
                times = min(late, 1.0)
                if late > 1:
                    times += momentum * (1 - momentum ** (late - 1)) / (1 - momentum)
                part.add_(moved, alpha=times * momentum)
                if gradient is not None:
                    part.add_(gradient, alpha=-times * rate)
        return taken

    def _rules(self) -> list[tuple[float, float]]:
        """Rate and momentum of each parameter."""
        found = {
            id(param): (float(group["lr"]), float(group["momentum"]))
            for group in self._optimizer.param_groups
            for param in group["params"]
        }
        return [found[id(param)] for param in self._params]
