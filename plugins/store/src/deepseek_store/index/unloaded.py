"""Stands for the versions in a database until they are read into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from deepseek_store.index.chains import EMPTY, Chain
from deepseek_store.index.packed import PackedVersions

# One question costs what reading 15 rows does; so many of them cost as much as a store of 50,000.
_MOST_QUESTIONS: Final = 4000
_FIRST_PAGE: Final = 16
_LONGEST_PAGE: Final = 4096


class VersionSource(Protocol):
    """A database that can be asked for versions."""

    def chain(self, key: str) -> Chain:
        """The versions of a key, the current one first."""

    def live_keys(self, start: str, *, after: bool, prefix: str, most: int) -> list[str]:
        """Keys of objects in order, from `start` on (or `after` it), that begin with a prefix."""

    def packed(self) -> tuple[PackedVersions, int]:
        """All versions, and the highest generation that was ever used."""


class Unloaded:
    """Asks a database for single keys, until that has been done so often that loading pays.

    `alone`: nobody else changes it. Else what it says of a key may be ahead of what this process
    knows of segments, so keys are only listed.
    """

    def __init__(self, source: VersionSource, *, alone: bool) -> None:
        self._source = source
        self._left = _MOST_QUESTIONS if alone else 0

    @property
    def is_tired(self) -> bool:
        """Whether it is time to load all."""
        return self._left <= 0

    def chain(self, key: str) -> Chain:
        """The versions of a key; to be asked only as long as it is not tired."""
        self._left -= 1
        return self._source.chain(key) if key else EMPTY

    def pages(self, start: str, *, after: bool, prefix: str) -> Iterator[list[str]]:
        """Keys of objects in order, page by page, each as they are when it is asked for."""
        most = _FIRST_PAGE
        while page := self._source.live_keys(start, after=after, prefix=prefix, most=most):
            yield page
            if len(page) < most:
                return
            start, after = page[-1], True
            most = min(_LONGEST_PAGE, 4 * most)

    def load(self) -> tuple[PackedVersions, int]:
        """All versions, and the highest generation that was ever used."""
        return self._source.packed()

    def __contains__(self, key: str) -> bool:
        return True  # it may be: what is gone has to be remembered
