"""Notices that training goes wrong: no number, a loss that explodes, a fall to chance."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

import torch

from deepseek_compress.train.objectives import Step

_WINDOW: Final = 20  # batches that a mean is taken over
_EXPLODED: Final = 4.0  # times what training began with, or chance
_SIGMAS: Final = 4.0  # of a fall that is no accident
_CHANCE_SIGMAS: Final = 2.0  # above chance is better than chance
_TELLABLE: Final = 100  # answers; of fewer, chance and knowledge look alike


class Diverged(Exception):
    """Training went wrong in batch number `at`; `untouched` if no weight was changed before."""

    def __init__(self, reason: str, *, at: int, untouched: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.at, self.untouched = reason, at, untouched


class Guard:
    """Watches the batches of one training.

    `_first` is the highest mean loss that is normal; `_losses` are the last ones; `_best` is the
    best accuracy of an epoch; `_late` what was answered and asked in the second half of this one.
    """

    def __init__(self, *, best: float = 0.0, first: float = 0.0) -> None:
        self._first = first
        self._losses: deque[float] = deque(maxlen=_WINDOW)
        self._best = best
        self._late: list[tuple[Any, Any]] = []

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps of it: arguments of its next life."""
        return {"best": self._best, "first": self._first}

    def check_loss(self, step: Step, at: int) -> float:
        """Look at the loss of batch number `at` before weights are changed by it; the loss.

        Raises:
            Diverged: it is no number, or far above what it was.
        """
        loss = float(step.loss.detach())
        if not math.isfinite(loss):
            raise Diverged(f"the loss became {loss}", at=at, untouched=at == 0)
        self._losses.append(loss)
        mean = sum(self._losses) / len(self._losses)
        if at < _WINDOW:
            chance = math.log(step.logits.shape[1]) if step.logits is not None else 0.0
            self._first = max(self._first, mean, chance)
        elif mean > _EXPLODED * self._first:
            raise Diverged(f"the loss rose from {self._first:.3g} to {mean:.3g}", at=at)
        return loss

    def note_answers(self, step: Step) -> None:
        """Remember a batch of the epoch's second half, where the objective tells classes apart."""
        if step.logits is not None:
            self._late.append((step.logits.argmax(1).reshape(-1), step.labels.reshape(-1)))

    def end_epoch(self, at: int, *, last: bool) -> float | None:
        """Accuracy in the second half of an epoch; None where there are no classes.

        Raises:
            Diverged: it is at chance, after it was better or in the last epoch.
        """
        answers, self._late = self._late, []
        if not answers:
            return None
        given, asked = (torch.cat(parts) for parts in zip(*answers, strict=True))
        found = float((given == asked).double().mean())
        frequent = float(asked.bincount().max()) / len(asked)  # what one fixed answer would get
        self._check_chance(found, frequent, len(asked), at, last=last)
        self._best = max(self._best, found)
        return found

    def _check_chance(
        self, found: float, frequent: float, count: int, at: int, *, last: bool
    ) -> None:
        sigma = math.sqrt(max(frequent * (1 - frequent), 0.25 / count) / count)
        if count < _TELLABLE or found > frequent + _CHANCE_SIGMAS * sigma:
            return
        fell = self._best - found > _SIGMAS * math.sqrt(2) * sigma
        learned_nothing = last and frequent < 0.5  # one frequent class may be all there is to say
        if fell or learned_nothing:
            raise Diverged(f"accuracy is at chance ({found:.1%})", at=at)


def untouched_reason(model: Any) -> str:
    """What is wrong with a model whose very first loss is no number."""
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            return f"weight {name} holds NaN or infinity"
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point() and not bool(buffer.isfinite().all()):
            return f"{name} holds NaN or infinity"
    return "the model or the loss function gives NaN or infinity for finite data"
