"""The port to a database: transactions of SQL text with named parameters."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Final, TypeVar

from deepseek_store.errors import ReadOnlyStore

T = TypeVar("T")
Params = Mapping[str, Any]
NAMED: Final = re.compile(r"(?<!:):(\w+)")
"""A parameter in a statement."""


class Transaction(ABC):
    """One transaction under way."""

    @abstractmethod
    def run(self, sql: str, params: Params | None = None) -> Sequence[Sequence[Any]]:
        """Run a statement; all rows that it gives."""

    def batches(self, sql: str, *, most: int) -> Iterator[Sequence[Sequence[Any]]]:
        """All rows of a statement, at most so many at a time."""
        rows = self.run(sql)
        for start in range(0, len(rows), most):
            yield rows[start : start + most]

    @abstractmethod
    def run_many(self, sql: str, rows: Sequence[Params]) -> None:
        """Run a statement once for each of `rows`."""

    def run_rows(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """The same with values in the order of the statement's parameters, each named once."""
        names = NAMED.findall(sql)
        self.run_many(sql, [dict(zip(names, row, strict=True)) for row in rows])


class Database(ABC):
    """An open database; safe to use from several threads, not across a fork."""

    url: str
    """Names it in errors; without anything secret."""
    remote: ClassVar[bool]
    """Whether a commit may have happened although its caller got an error."""
    words: ClassVar[Mapping[str, str]]
    """What its dialect calls things in the schema."""
    read_only: ReadOnlyStore | None = None
    """What is told to who wants a change, where it was opened to be read and nothing else."""

    frozen: bool = False
    """Whether it reads what was there when it was opened, whatever others write meanwhile."""

    @abstractmethod
    def open(self, *, create: bool) -> None:
        """Connect.

        Raises:
            ForeignStore: there is none, and it is not to be made; or it is something else.
            IndexUnavailable: it does not answer.
        """

    @abstractmethod
    def write(self, work: Callable[[Transaction, bool], T], *, durable: bool = False) -> T:
        """Run `work` in a transaction, again where it failed for a passing reason.

        The second argument of `work` is True once an earlier run of it may have been committed.

        Raises:
            IndexUnavailable: it still does not answer.
            TierFull: no space.
            TierUnavailable: it can't be written to.
            ForeignStore: it is damaged.
        """

    @abstractmethod
    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, all of whose statements see the same moment.

        Raises:
            IndexUnavailable: it does not answer.
            ForeignStore: it is damaged.
        """

    @abstractmethod
    def exclusive(self, slots: Sequence[int]) -> AbstractContextManager[None]:
        """Keep all other processes out of these slots, numbers of 31 bits in rising order."""

    def shrink(self, *, wholly: bool = False) -> None:
        """Give free space back to the file system; a server does so by itself."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Let go of it; idempotent."""
