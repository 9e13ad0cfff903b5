"""Which sample comes at which position of a training, whatever the number of ranks.

A position is how many samples came before it, so it says all that a checkpoint must hold. Each
epoch has its own permutation, computed for the positions that are asked for; none is stored.

Sources: a Feistel network over Z_a x Z_b with cycle walking (Black and Rogaway, "Ciphers with
arbitrary finite domains", CT-RSA 2002); the rounds mix with the finalizer of SplitMix64 (Steele,
Lea and Flood, OOPSLA 2014).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors
from deepseek_parallel.errors import StateMismatch

_ROUNDS: Final = 8
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_END: Final = 2**62  # of positions and lengths: sums of two stay in 64 bits
_Words = NDArray[np.uint64]


@attrs.frozen
class Order:
    """Samples 0 to `length` - 1 once in each epoch, in an order that `seed` chooses.

    Without `shuffle` they come as they are numbered. Equal values give the same order on any
    machine and with any version.

    Raises:
        InputError: a length below 1, or a seed that is no whole number from 0 to 2**64 - 1.
    """

    length: int = attrs.field()
    seed: int = 0
    shuffle: bool = True

    def __attrs_post_init__(self) -> None:
        _check("length", self.length, 1, _END)
        _check("seed", self.seed, 0, 2**64 - 1)

    def indices(self, position: int, count: int) -> NDArray[np.int64]:
        """Samples at `position` and after it, int64 [count]; positions run on over epochs.

        Raises:
            InputError: a negative position or count.
        """
        _check("position", position, 0, _END)
        _check("count", count, 0, _END - position)
        epoch, begin = divmod(position, self.length)
        more, at = np.divmod(np.arange(begin, begin + count, dtype=np.int64), self.length)
        if not self.shuffle:
            return at
        keys = _mixed((np.uint64(epoch) + more.astype(np.uint64)) ^ _mixed(_words(self.seed)))
        return self._permuted(at.astype(np.uint64), keys).astype(np.int64)

    def _permuted(self, at: _Words, keys: _Words) -> _Words:
        """Where each position of its epoch goes; what falls outside is permuted again."""
        rows = math.isqrt(self.length - 1) + 1
        sides = np.uint64(rows), np.uint64(-(-self.length // rows))
        found = _feistel(at, keys, *sides)
        while (outside := np.flatnonzero(found >= self.length)).size:
            found[outside] = _feistel(found[outside], keys[outside], *sides)
        return found

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it, beside the position."""
        return attrs.asdict(self)

    @classmethod
    def resumed(cls, state: Mapping[str, Any], length: int) -> Order:
        """The order that a checkpoint holds, over a dataset that has `length` samples now.

        Raises:
            StateMismatch: the dataset has shrunk or grown, or this is no state of an order.
        """
        if set(state) != {"length", "seed", "shuffle"}:
            raise StateMismatch(
                f"{sorted(state)} are no fields of an order of samples",
                remedy="give what Order.state() gave",
            )
        if state["length"] != length:
            raise StateMismatch(
                f"the dataset has {length} samples and had {state['length']} when this was saved",
                remedy="give the dataset as it was, or begin at position 0 with Order(length)",
            )
        return cls(**state)


def _feistel(x: _Words, keys: _Words, rows: np.uint64, columns: np.uint64) -> _Words:
    """A permutation of the numbers below `rows` * `columns`, by key; uint64 [n] each."""
    left, right = np.divmod(x, columns)
    for number in range(_ROUNDS):
        salt = keys + _words(number) * _GOLDEN
        if number % 2:
            right = (right + _mixed(np.bitwise_xor(left, salt)) % columns) % columns
        else:
            left = (left + _mixed(np.bitwise_xor(right, salt)) % rows) % rows
    return left * columns + right


def _mixed(words: _Words) -> _Words:
    words = words + _GOLDEN
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _words(number: int) -> _Words:
    """An array, which wraps around without a warning where a scalar would warn."""
    return np.array([number], np.uint64)


def _check(name: str, value: int, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise errors.InputError(f"{name} must be a whole number, got {value!r}")
    if not least <= value <= most:
        raise errors.InputError(f"{name} must be from {least} to {most}, got {value}")
