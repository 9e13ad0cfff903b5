"""Characters as numbers: those of the training part alone.

0 stands for nothing (padding), 1 for a character that the training part did not have.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

NOTHING: Final = 0
UNKNOWN: Final = 1
_FIRST: Final = 2


def _plain(text: str) -> str:
    """Compose accents and fold case: the same word is the same characters."""
    return unicodedata.normalize("NFC", text).casefold()


@attrs.frozen
class Alphabet:
    """Characters in the order of their numbers."""

    characters: str

    @classmethod
    def of(cls, texts: Iterable[str]) -> Alphabet:
        """Make the alphabet of these texts."""
        return cls("".join(sorted({char for text in texts for char in _plain(text)})))

    @property
    def count(self) -> int:
        """How many numbers there are, those of nothing and the unknown included."""
        return len(self.characters) + _FIRST

    def encode(self, text: str, longest: int) -> npt.NDArray[np.int64]:
        """Return the numbers of a text [longest], its end padded or cut."""
        place = {char: at + _FIRST for at, char in enumerate(self.characters)}
        ids = [place.get(char, UNKNOWN) for char in _plain(text)][:longest]
        return np.array(ids + [NOTHING] * (longest - len(ids)), np.int64)
