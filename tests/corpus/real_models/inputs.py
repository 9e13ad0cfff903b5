"""Inputs that look like real ones: sounds, pictures, ids within a vocabulary, masks of ones.

Each maker takes what a model needs and gives a function of a generator and a number of items.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from corpus_kit.case import MakeInputs

Maker = Callable[[np.random.Generator, int], Any]  # one input of so many items


def together(**makers: Maker) -> MakeInputs:
    """Several inputs by name."""
    return lambda rng, items: {name: make(rng, items) for name, make in makers.items()}


def named(name: str, make: Maker) -> MakeInputs:
    """One input, whose name may be no name of Python."""
    return lambda rng, items: {name: make(rng, items)}


def sound(length: int) -> Maker:
    """A tone with noise in -1..1 for each item, 16000 values a second."""
    return lambda rng, items: np.stack([_tone(rng, length) for _ in range(items)])


def _tone(rng: np.random.Generator, length: int) -> np.ndarray:
    time_s = np.arange(length) / 16000
    tone = 0.4 * np.sin(2 * np.pi * rng.uniform(80, 400) * time_s)
    return (tone + 0.02 * rng.standard_normal(length)).astype(np.float32)


def picture(*sizes: int) -> Maker:
    """Pixels in 0..1 that change slowly, with noise; any order of axes."""
    return lambda rng, items: _smooth(rng, (items, *sizes))


def _smooth(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    base = rng.random(shape[:2] + (1,) * (len(shape) - 2))
    return np.clip(base + 0.1 * rng.standard_normal(shape), 0, 1).astype(np.float32)


def normal(*sizes: int, dtype: str = "float32") -> Maker:
    """Normal numbers, an item in each row."""
    return lambda rng, items: rng.standard_normal((items, *sizes)).astype(dtype)


def ids(vocabulary: int, length: int, dtype: str = "int64") -> Maker:
    """Numbers of tokens, none of them 0, which is padding nearly everywhere."""
    return lambda rng, items: rng.integers(1, vocabulary, (items, length)).astype(dtype)


def ones(*sizes: int, dtype: str = "int64") -> Maker:
    """A mask that keeps everything, or lengths that are full."""
    return lambda _, items: np.ones((items, *sizes), dtype)


def full(value: float, dtype: str) -> Maker:
    """The same number for each item."""
    return lambda _, items: np.full(items, value, dtype)


def always(value: Any) -> Maker:
    """An input that has no items."""
    return lambda _, __: value


def state(*shape: int, axis: int | None = None) -> Maker:
    """A state as the step before left it; items stand on `axis`, if at all."""

    def make(rng: np.random.Generator, items: int) -> np.ndarray:
        sizes = [items if place == axis else size for place, size in enumerate(shape)]
        return (0.1 * rng.standard_normal(sizes)).astype(np.float32)

    return make


def fixed(make: Maker, items: int = 1) -> Maker:
    """A maker for a model whose first size is given once for all."""
    return lambda rng, _: make(rng, items)


def longer(make: Callable[[int], Maker], start: int, step: int) -> Maker:
    """One item whose length grows with the number that is asked for."""
    return lambda rng, items: make(start + step * items)(rng, 1)
