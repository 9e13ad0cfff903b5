"""Random numbers of a user's functions: by the recipe's seed, so that they can be repeated."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np


@contextmanager
def seeded(seed: int, *, load_torch: bool = False) -> Iterator[None]:
    """Seed Python, numpy and torch for the block; the process gets its own numbers back.

    Torch only where it is loaded, or has to be: files need none.
    """
    if load_torch:
        with suppress(ImportError):  # whoever needs it says so
            importlib.import_module("torch")
    torch = sys.modules.get("torch")
    python, arrays = random.getstate(), np.random.get_state()
    tensors = None if torch is None else torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if torch is not None:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)
        if torch is not None:
            torch.set_rng_state(tensors)
