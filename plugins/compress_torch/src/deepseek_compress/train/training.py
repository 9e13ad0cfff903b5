"""One training from its first epoch, or from a checkpoint, to its last."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import torch

from deepseek_compress.modules import evaluating, place_of
from deepseek_compress.samples.subsets import indexed
from deepseek_compress.train.batches import TensorBatch, as_tensors
from deepseek_compress.train.checkpoint import write_checkpoint
from deepseek_compress.train.guard import Diverged, Guard
from deepseek_compress.train.objectives import Objective, Step
from deepseek_compress.train.optimizers import make_optimizer, rate_at
from deepseek_compress.train.options import FitOptions
from deepseek_compress.train.precision import computing
from deepseek_compress.train.run import Run
from deepseek_compress.train.surroundings import seed_all
from deepseek_compress.train.weights import put_back, snapshot
from deepseek_core import compression, errors


@attrs.frozen(kw_only=True)
class EpochRow:
    """One epoch: mean loss, accuracy in its second half; `validation` is higher if better."""

    loss: float
    accuracy: float | None
    validation: float | None


@attrs.frozen(kw_only=True, eq=False)
class Attempt:
    """A try at a training: its number, and what the one before it `failed` by.

    `fingerprint` tells the training, so that checkpoints of another one are not gone on from.
    """

    options: FitOptions
    run: Run
    fingerprint: str
    number: int = 0
    failed: Diverged | None = None


class Training:
    """A model with its data and objective; `run` is one try.

    `notes` are sentences about the last try; `_rows` its epochs; `_best` the weights of its best
    epoch, if there is held-out data to tell.
    """

    def __init__(
        self,
        *,
        model: Any,
        samples: compression.Samples,
        held_out: compression.Samples | None,
        objective: Objective,
        stop: Callable[[], None],
    ) -> None:
        self.model = model
        self.notes: tuple[str, ...] = ()
        self._samples, self._held_out = samples, held_out
        self._objective, self._stop = objective, stop
        self._rows: list[EpochRow] = []
        self._best: dict[str, Any] = {}

    def own_state(self) -> dict[str, Any]:
        """Copies of what the objective trains along."""
        return {name: tensor.detach().clone() for name, tensor in self._objective.tensors().items()}

    def put_back(self, own: dict[str, Any]) -> None:
        """Give the objective its state back."""
        for name, tensor in self._objective.tensors().items():
            tensor.detach().copy_(own[name])

    def run(self, attempt: Attempt, kept: dict[str, Any]) -> tuple[EpochRow, ...]:
        """Train to the end, from a checkpoint that may be empty.

        Raises:
            Diverged: it went wrong.
        """
        options = attempt.options
        optimizer = make_optimizer(self.model, self._objective.parameters(), options)
        guard = self._restore(kept, optimizer)
        pace = _Pace.of(attempt, len(self._samples), len(self._rows))
        for epoch in range(len(self._rows), options.epochs):
            if self._waited(options):
                break
            self._rows.append(self._epoch(epoch, optimizer, guard, pace))
            self._judge()
            self._keep(attempt, optimizer, guard)
        return self._finished(guard)

    def _restore(self, kept: dict[str, Any], optimizer: Any) -> Guard:
        """Begin where a checkpoint left off, or from the model as it is."""
        self._rows = [EpochRow(**row) for row in kept.get("epochs", [])]
        self._best = kept.get("best", {})
        if "weights" not in kept:
            return Guard()
        put_back(self.model, kept["weights"])
        self.put_back(kept["own"])
        optimizer.load_state_dict(kept["optimizer"])
        return Guard(**kept["guard"])

    def _keep(self, attempt: Attempt, optimizer: Any, guard: Guard) -> None:
        path = attempt.run.checkpoint
        if path is None:
            return
        state = {
            "fingerprint": attempt.fingerprint,
            "epoch": len(self._rows),
            "epochs": [attrs.asdict(row) for row in self._rows],
            "weights": snapshot(self.model),
            "own": self.own_state(),
            "best": self._best,
            "optimizer": optimizer.state_dict(),
            "guard": guard.state(),
            "attempt": attempt.number,
            "reason": attempt.failed.reason if attempt.failed else "",
            "at": attempt.failed.at if attempt.failed else 0,
        }
        write_checkpoint(path, state)

    def _epoch(self, epoch: int, optimizer: Any, guard: Guard, pace: _Pace) -> EpochRow:
        seed = seed_all(pace.attempt.run.seed, pace.attempt.number, epoch)
        _train_mode(self.model)
        total, done = 0.0, 0
        for at, batch in self._batches(pace, seed):
            self._stop()
            step = self._update(batch, optimizer, guard, pace, at + epoch * pace.batches)
            if 2 * at >= pace.batches:
                guard.note_answers(step)
            total, done = total + float(step.loss), done + 1
            pace.report(epoch, at, total / done)
        accuracy = guard.end_epoch(
            (epoch + 1) * pace.batches, last=epoch + 1 == pace.attempt.options.epochs
        )
        return EpochRow(loss=total / done, accuracy=accuracy, validation=self._validation(pace))

    def _batches(self, pace: _Pace, seed: int) -> Iterator[tuple[int, TensorBatch]]:
        """Whole batches only, if there is one: of a small rest, statistics are of no use."""
        at = 0
        for rows, batch in indexed(self._samples, pace.attempt.options.batch_size, seed):
            if at < pace.batches:
                yield at, as_tensors(batch, self.model, rows)
            at += 1
        if at < pace.batches:
            raise errors.InputError(
                f"the training data gave {at} batches of {pace.batches}: it ended early",
                remedy="give a data set that can be gone through again",
            )

    def _update(
        self, batch: TensorBatch, optimizer: Any, guard: Guard, pace: _Pace, at: int
    ) -> Step:
        options = pace.attempt.options
        for group in optimizer.param_groups:
            group["lr"] = rate_at(at, pace.batches * options.epochs, options)
        optimizer.zero_grad(set_to_none=True)
        with computing(options.precision, place_of(self.model)[0]):
            step = self._objective.step(self.model, batch)
        guard.check_loss(step, at)
        step.loss.backward()
        if options.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm)
        optimizer.step()
        return Step(step.loss.detach(), step.logits, step.labels)

    def _validation(self, pace: _Pace) -> float | None:
        """Accuracy on the held-out share, or the negative loss where there are no classes."""
        if self._held_out is None:
            return None
        hits, answers, count, loss = 0, 0, 0, 0.0
        with evaluating(self.model):
            for batch in self._held_out.batches(pace.attempt.options.batch_size):
                tensors = as_tensors(batch, self.model)
                step = self._objective.measured(self.model, tensors)
                count += len(tensors)
                if step.logits is None:
                    loss += float(step.loss) * len(tensors)
                else:
                    right = step.logits.argmax(1) == step.labels
                    hits, answers = hits + int(right.sum()), answers + right.numel()
        return hits / answers if step.logits is not None else -loss / count

    def _judge(self) -> None:
        """Keep the weights of the best epoch."""
        scores = [row.validation for row in self._rows if row.validation is not None]
        if scores and _first_best(scores) == len(scores) - 1:
            self._best = snapshot(self.model)

    def _waited(self, options: FitOptions) -> bool:
        """Whether the last `patience` epochs were no better than one before them."""
        scores = [row.validation for row in self._rows if row.validation is not None]
        return bool(scores) and len(scores) - 1 - _first_best(scores) >= options.patience

    def _finished(self, guard: Guard) -> tuple[EpochRow, ...]:
        self.notes = guard.notes
        scores = [row.validation for row in self._rows if row.validation is not None]
        if scores:
            put_back(self.model, self._best)
            self.notes += (
                f"epoch {_first_best(scores) + 1} of {len(scores)} was best on held-out "
                "training data and is kept",
            )
        return tuple(self._rows)


def _first_best(scores: list[float]) -> int:
    return scores.index(max(scores))


def _train_mode(model: Any) -> None:
    """Training mode; normalizations whose weights are frozen keep their statistics."""
    model.train()
    for part in model.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            own = list(part.parameters(recurse=False))
            if own and not any(parameter.requires_grad for parameter in own):
                part.eval()


@attrs.frozen(kw_only=True, eq=False)
class _Pace:
    """How much there is to do in an epoch; `begun` epochs were done before `start_s`."""

    attempt: Attempt
    batches: int
    begun: int
    start_s: float

    @classmethod
    def of(cls, attempt: Attempt, count: int, begun: int) -> _Pace:
        batches = max(1, count // attempt.options.batch_size)
        return cls(attempt=attempt, batches=batches, begun=begun, start_s=time.monotonic())

    def report(self, epoch: int, at: int, loss: float) -> None:
        done, of = epoch * self.batches + at + 1, self.batches * self.attempt.options.epochs
        spent_s = time.monotonic() - self.start_s
        left_s = math.ceil(spent_s / (done - self.begun * self.batches) * (of - done))
        text = f"epoch {epoch + 1}/{self.attempt.options.epochs}, loss {loss:.3f}, {left_s} s left"
        self.attempt.run.progress(done, of, text)
