"""Trains the LSTM by steps on what was requested.

`train` is pure: requests and a seed in, weights out. `python -m deepseek_store.prefetch.training`
runs it on files, as `trainer.Trainer` does in a process of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np

from deepseek_store.prefetch.gradients import Adam, Forward, fresh, gradients
from deepseek_store.prefetch.lstm import PARTS, SHARE, Ints, Weights, classes_of, vocabulary_of

FEWEST_REQUESTS = 2_000  # of which something can be learned
_TAIL = 0.15  # of the history, held back to judge


@attrs.frozen(kw_only=True)
class Training:
    """How to train. Steps, not epochs: three epochs of a short trace teach nothing sure."""

    steps: int = 600
    batch: int = 32
    window: int = 40
    warm_up: int = 8
    rate: float = 5e-3
    ahead: int = 1
    seed: int = 0


def train(
    blocks: Ints,
    training: Training | None = None,
    old: Weights | None = None,
) -> Weights | None:
    """Weights for the requests to come, learned from `blocks` in the order of their use.

    None: too few requests, or the old weights, if they look as far ahead, do better on the tail
    that is held back.
    """
    training = training or Training()
    blocks = blocks[np.concatenate([[True], np.diff(blocks) != 0])] if len(blocks) else blocks
    if len(blocks) < FEWEST_REQUESTS:
        return None
    cut = int(len(blocks) * (1.0 - _TAIL))
    new = _fit(blocks[:cut], training)
    tail = blocks[cut:]
    if old is not None and old.ahead == new.ahead and score(old, tail) > score(new, tail):
        return None
    return new


def _fit(blocks: Ints, training: Training) -> Weights:
    rng = np.random.default_rng(training.seed)
    ahead = training.ahead
    seen = np.diff(blocks)[: len(blocks) - 1 - ahead]
    wanted = (blocks[1 + ahead :] - blocks[1:-ahead])[: len(seen)]
    inputs, targets = vocabulary_of(seen), vocabulary_of(wanted)
    seen_class, wanted_class = classes_of(seen, inputs), classes_of(wanted, targets)
    arrays = fresh(len(inputs) + 1, len(targets) + 1, rng)
    adam = Adam(arrays, training.rate, training.steps)
    offsets = np.arange(training.window)
    for step in range(training.steps):
        starts = rng.integers(0, len(seen) - training.window, training.batch)
        at = starts[:, None] + offsets
        _, found = gradients(arrays, seen_class[at], wanted_class[at], training.warm_up)
        adam.step(step, found)
    return Weights(inputs=inputs, targets=targets, ahead=ahead, **arrays)


def score(weights: Weights, blocks: Ints, share: float = SHARE) -> float:
    """Share of the requests that the weights would have announced rightly."""
    ahead = weights.ahead
    if len(blocks) <= 1 + ahead:
        return 0.0
    seen = classes_of(np.diff(blocks), weights.inputs)[: len(blocks) - 1 - ahead]
    wanted = classes_of((blocks[1 + ahead :] - blocks[1:-ahead]), weights.targets)
    arrays = {name: getattr(weights, name) for name in PARTS}
    hidden = Forward(arrays, seen[None]).hidden[1:, 0]
    logits = hidden @ arrays["output_hc"] + arrays["offset_c"]
    best = logits.argmax(axis=1)
    peak = logits[np.arange(len(best)), best]
    likely = np.exp(logits - peak[:, None]).sum(axis=1) <= 1.0 / share
    return float(np.mean((best == wanted) & (best != 0) & likely))


def main(arguments: Sequence[str] | None = None) -> int:
    """Read requests (.npy), write weights (.npz); nothing is written when the old are better."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requests", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--old", type=Path)
    parser.add_argument("--ahead", type=int, default=1)
    parser.add_argument("--steps", type=int, default=Training().steps)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    training = Training(steps=given.steps, ahead=given.ahead, seed=given.seed)
    old = Weights.load(given.old) if given.old is not None else None
    new = train(np.load(given.requests, allow_pickle=False), training, old)
    if new is not None:
        new.save(given.weights)
    return 0


if __name__ == "__main__":
    sys.exit(main())
