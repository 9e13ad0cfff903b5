"""Random numbers that hang on the seed and the position alone, not on who computes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def begin_at(seed: int, position: int, stage: int = 0) -> None:
    """Seed torch, numpy and Python for the microbatch at a position.

    So a dropout mask is the same whatever the number of ranks, and after a resume. Stages of a
    pipeline draw other numbers each.
    """
    entropy = [seed, position, *([stage] if stage else [])]
    words = np.random.SeedSequence(entropy).generate_state(2)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[0])
    random.seed(int(words[1]))


@contextmanager
def kept() -> Iterator[None]:
    """Put the generators of the host back as they were."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
