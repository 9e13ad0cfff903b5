"""Notices that training goes wrong: no number, a loss that explodes, a fall to chance."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

import torch
from torch.nn import functional

from deepseek_compress.train.objectives import Step

_WINDOW: Final = 20  # batches that a mean is taken over
_EXPLODED: Final = 4.0  # times what training began with, or chance
_SIGMAS: Final = 4.0  # of a fall that is no accident
_CHANCE_SIGMAS: Final = 2.0  # above chance is better than chance
_ASTRAY: Final = 1.2  # times the loss of one who knows nothing but how frequent classes are
_JUMPED: Final = 2.0  # times that loss, in one of the first batches
_TELLABLE: Final = 100  # answers; of fewer, chance and knowledge look alike


class Diverged(Exception):
    """Training went wrong in batch number `at`; `untouched` if no weight was changed before."""

    def __init__(self, reason: str, *, at: int, untouched: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.at, self.untouched = reason, at, untouched


class Guard:
    """Watches the batches of one training.

    `_first` is the highest mean loss that is normal, `_early` the highest cross-entropy of one of
    the first batches; `_losses` are the last ones; `_best` is the best accuracy of an epoch;
    `_late` what was answered and asked in the second half of this one, at which cross-entropy, and
    for how many samples. `notes` are sentences about what is odd and no divergence.
    """

    def __init__(self, *, best: float = 0.0, first: float = 0.0, early: float = 0.0) -> None:
        self._first, self._early = first, early
        self._losses: deque[float] = deque(maxlen=_WINDOW)
        self._best = best
        self._late: list[tuple[Any, Any, float, int]] = []
        self.notes: tuple[str, ...] = ()

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps of it: arguments of its next life."""
        return {"best": self._best, "first": self._first, "early": self._early}

    def check_loss(self, step: Step, at: int) -> float:
        """Look at the loss of batch number `at` before weights are changed by it; the loss.

        Raises:
            Diverged: it is not a number, or far above what it was.
        """
        loss = float(step.loss.detach())
        if not math.isfinite(loss):
            raise Diverged(f"the loss became {loss}", at=at, untouched=at == 0)
        self._losses.append(loss)
        mean = sum(self._losses) / len(self._losses)
        if at < _WINDOW:
            chance = math.log(step.logits.shape[1]) if step.logits is not None else 0.0
            self._first = max(self._first, mean, chance)
            self._early = max(self._early, _surprise(step))
        elif mean > _EXPLODED * self._first:
            raise Diverged(f"the loss rose from {self._first:.3g} to {mean:.3g}", at=at)
        return loss

    def note_answers(self, step: Step) -> None:
        """Remember a batch of the epoch's second half, where the objective tells classes apart."""
        if step.logits is not None:
            given = step.logits.argmax(1)
            labels = step.labels.reshape(-1)
            self._late.append((given.reshape(-1), labels, _surprise(step), len(given)))

    def end_epoch(self, at: int, *, last: bool) -> float | None:
        """Accuracy in the second half of an epoch; None where there are no classes.

        Raises:
            Diverged: it is at chance after it was better, or it is so in the end and answers are
                worse than none.
        """
        answers, self._late = self._late, []
        if not answers:
            return None
        given, asked = (torch.cat(parts) for parts in list(zip(*answers, strict=True))[:2])
        found = float((given == asked).double().mean())
        frequent = float(asked.bincount().max()) / len(asked)  # what one fixed answer would get
        # Positions of one sample are alike: they are no independent answers.
        samples = sum(count for *_, count in answers)
        if self._at_chance(found, frequent, samples, at):
            surprise = sum(each for _, _, each, _ in answers) / len(answers)
            self._check_end(found, surprise, asked, at, last=last)
        self._best = max(self._best, found)
        return found

    def _at_chance(self, found: float, frequent: float, count: int, at: int) -> bool:
        """Whether answers are no better than always the most frequent one."""
        sigma = math.sqrt(max(frequent * (1 - frequent), 0.25 / count) / count)
        if count < _TELLABLE or found > frequent + _CHANCE_SIGMAS * sigma:
            return False
        if self._best - found > _SIGMAS * math.sqrt(2) * sigma:
            raise Diverged(f"accuracy fell from {self._best:.1%} to chance ({found:.1%})", at=at)
        return True

    def _check_end(self, found: float, surprise: float, asked: Any, at: int, *, last: bool) -> None:
        """Tell a model that went astray from one that has not learned yet."""
        shares = asked.bincount().double() / len(asked)
        silence = float(-(shares * shares.clamp_min(1e-12).log()).sum())  # of knowing shares only
        astray = surprise > _ASTRAY * silence or self._early > _JUMPED * silence
        if last and astray and float(shares.max()) < 0.5:
            raise Diverged(f"accuracy is at chance ({found:.1%})", at=at)
        if last:
            only = float(shares.max()) == 1.0
            self.notes = (
                f"all labels of the training data are {int(asked[0])}"
                if only
                else f"accuracy on training data is at chance ({found:.1%}): more epochs, another "
                "learning rate, or check that labels fit their samples",
            )


def _surprise(step: Step) -> float:
    """Cross-entropy of the answers, whatever the loss is made of; 0 where there are no classes."""
    return 0.0 if step.logits is None else float(functional.cross_entropy(step.logits, step.labels))


def untouched_reason(model: Any) -> str:
    """What is wrong with a model whose very first loss is not a number."""
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            return f"weight {name} holds NaN or infinity"
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point() and not bool(buffer.isfinite().all()):
            return f"{name} holds NaN or infinity"
    return "the model or the loss function gives NaN or infinity for finite data"
