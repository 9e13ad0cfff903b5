"""A disk of the log that is not there: the others, or the tiers, do without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from deepseek_core import errors
from deepseek_store.log.disk import Disk
from deepseek_store.log.records import Buffer


class MissingDisk(Disk):
    """Refuses every call with the reason why it is not there."""

    def __init__(self, url: str, why: str, *, remedy: str) -> None:
        self.url, self.why, self._remedy = url, why, remedy

    def create(self, name: str, nbytes: int) -> None:
        """Refuse it."""
        self._refuse()

    def write_at(self, name: str, offset: int, parts: Sequence[Buffer]) -> None:
        """Refuse it."""
        self._refuse()

    def sync(self, name: str) -> None:
        """Refuse it."""
        self._refuse()

    def sync_dir(self) -> None:
        """Refuse it."""
        self._refuse()

    def read_at(self, name: str, offset: int, nbytes: int) -> bytes:
        """Refuse it."""
        self._refuse()

    def view(self, name: str) -> memoryview:
        """Refuse it."""
        self._refuse()

    def size(self, name: str) -> int:
        """Refuse it."""
        self._refuse()

    def truncate(self, name: str, nbytes: int) -> None:
        """Refuse it."""
        self._refuse()

    def rename(self, old: str, new: str) -> None:
        """Refuse it."""
        self._refuse()

    def replace(self, old: str, new: str) -> None:
        """Refuse it."""
        self._refuse()

    def remove(self, name: str) -> None:
        """Refuse it."""
        self._refuse()

    def list(self) -> list[str]:
        """Refuse it."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise errors.TierUnavailable(
            f"{self.url}: {self.why}",
            url=self.url,
            remedy=self._remedy,
        )
