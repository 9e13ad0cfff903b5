"""Trains a model: epochs, guards, checkpoints; one more try at a lower rate if it diverges."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

import attrs
import torch

from deepseek_compress.errors import TrainingDiverged
from deepseek_compress.modules import copied
from deepseek_compress.samples.subsets import fingerprint, split
from deepseek_compress.train import precision
from deepseek_compress.train.checkpoint import read_checkpoint
from deepseek_compress.train.guard import Diverged, untouched_reason
from deepseek_compress.train.layout import laid_out, plain
from deepseek_compress.train.objectives import Objective
from deepseek_compress.train.options import FitOptions
from deepseek_compress.train.run import Run
from deepseek_compress.train.surroundings import (
    fixed_threads,
    kept_random_state,
    stopping_between_batches,
)
from deepseek_compress.train.training import Attempt, EpochRow, Training
from deepseek_compress.train.weights import put_back, snapshot, weight_hash
from deepseek_core import compression, errors

RETRY_SHARE: Final = 0.2
"""Of the learning rate, for the second try."""


@attrs.frozen(kw_only=True, eq=False)
class FitResult:
    """The trained model, in evaluation mode, and how it went; `notes` are for people."""

    model: Any
    epochs: tuple[EpochRow, ...]
    learning_rate: float
    notes: tuple[str, ...]

    @property
    def figures(self) -> dict[str, float]:
        """Numbers for a report."""
        last = self.epochs[-1]
        found = {"loss": last.loss, "epochs": float(len(self.epochs))}
        found |= {"learning_rate": self.learning_rate}
        more = {"train_accuracy": last.accuracy, "validation": last.validation}
        return found | {name: value for name, value in more.items() if value is not None}


def fit(
    model: Any, samples: compression.Samples, objective: Objective, options: FitOptions, run: Run
) -> FitResult:
    """Train a copy of the model; at one thread, equal arguments give equal bytes.

    Raises:
        TrainingDiverged: it did so twice, the second time at a fifth of the learning rate; or
            the very first loss is not a number.
        InputError: data, model and objective do not fit each other.
        WriteError: the checkpoint can't be written.
        KeyboardInterrupt: after Ctrl-C, between two batches.
    """
    with torch.inference_mode(False), torch.enable_grad():  # whatever the caller has switched off
        return _fit(copied(model), samples, objective, options, run)


def _fit(
    trained: Any, samples: compression.Samples, objective: Objective, options: FitOptions, run: Run
) -> FitResult:
    precision.check_dtype(trained)
    arithmetic, why = precision.resolved(options.precision)
    options = attrs.evolve(options, precision=arithmetic)
    seen, held_out = samples, None
    if options.validation_share:
        seen, held_out = split(samples, options.validation_share, run.seed)
    trained, where = laid_out(trained, options.layout, samples)
    first = Attempt(
        options=options,
        run=run,
        fingerprint=_fingerprint(trained, samples, objective, options, run),
    )
    kept, notes = _kept(first)
    with fixed_threads(run.threads), kept_random_state(), stopping_between_batches() as stop:
        training = Training(
            model=trained, samples=seen, held_out=held_out, objective=objective, stop=stop
        )
        return _tried(
            training, first, kept, (*filter(None, (why, where, _of_program(trained))), *notes)
        )


def _tried(
    training: Training, first: Attempt, kept: dict[str, Any], notes: tuple[str, ...]
) -> FitResult:
    """Train, and once more from the start at a lower rate if that diverges."""
    start, own = snapshot(training.model), training.own_state()
    attempt = first
    if kept.get("attempt"):
        attempt = _again(first, Diverged(kept["reason"], at=kept["at"]))
    try:
        return _result(training, attempt, training.run(attempt, kept), notes)
    except Diverged as error:
        if error.untouched:
            raise _never_began(first.run, error, untouched_reason(training.model)) from error
        if attempt.failed is not None:
            raise _twice(attempt, error) from error
        attempt = _again(first, error)
    put_back(training.model, start)
    training.put_back(own)
    try:
        return _result(training, attempt, training.run(attempt, {}), notes)
    except Diverged as error:
        raise _twice(attempt, error) from error


def _again(first: Attempt, failed: Diverged) -> Attempt:
    lower = first.options.learning_rate * RETRY_SHARE
    options = attrs.evolve(first.options, learning_rate=lower)
    return attrs.evolve(first, options=options, number=1, failed=failed)


def _result(
    training: Training, attempt: Attempt, rows: tuple[EpochRow, ...], notes: tuple[str, ...]
) -> FitResult:
    rate, failed = attempt.options.learning_rate, attempt.failed
    if failed is not None:
        notes += (
            f"{failed.reason} in batch {failed.at}: trained again at a learning rate of {rate:g} "
            f"instead of {rate / RETRY_SHARE:g}",
        )
    notes += training.notes
    model = plain(training.model.eval())
    return FitResult(model=model, epochs=rows, learning_rate=rate, notes=notes)


def _twice(attempt: Attempt, error: Diverged) -> TrainingDiverged:
    rate, first = attempt.options.learning_rate, attempt.failed
    assert first is not None
    return TrainingDiverged(
        f"{attempt.run.step}: {first.reason} in batch {first.at}; at a learning rate of {rate:g}, "
        f"{error.reason} in batch {error.at}",
        step=attempt.run.step,
        at=error.at,
        remedy=f"learning_rate = {rate * RETRY_SHARE:g}; or check that labels fit their samples",
    )


def _never_began(run: Run, error: Diverged, reason: str) -> TrainingDiverged:
    return TrainingDiverged(
        f"{run.step}: {error.reason} in the first batch, before any training: {reason}",
        step=run.step,
        at=0,
        remedy="give a model with finite weights, and a loss that is finite for its outputs",
    )


def _of_program(model: Any) -> str:
    """What to say of a program of torch.export, whose operators have no training mode; else ""."""
    if not isinstance(model, torch.fx.GraphModule):
        return ""
    if not any(isinstance(node.target, torch._ops.OpOverload) for node in model.graph.nodes):
        return ""
    return "an exported program: its normalizations keep their statistics, dropout stays as it is"


def _fingerprint(
    model: Any, samples: compression.Samples, objective: Objective, options: FitOptions, run: Run
) -> str:
    parts = (
        weight_hash(model),
        fingerprint(samples),
        objective.name,
        repr(options),
        f"{run.step} {run.seed} {run.threads}",
    )
    return sha256("\n".join(parts).encode()).hexdigest()


def _kept(attempt: Attempt) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The checkpoint to go on from, if there is one of this very training, and what to say."""
    path = attempt.run.checkpoint
    if path is None:
        return {}, ()
    try:
        kept = read_checkpoint(path)
    except errors.ArtifactError as error:
        return {}, (f"{error.message}: training started again",)
    if kept is None:
        return {}, ()
    if kept["fingerprint"] != attempt.fingerprint:
        return {}, ("the checkpoint is of other options, data or weights: training started again",)
    return kept, (f"gone on after epoch {kept['epoch']}",)
