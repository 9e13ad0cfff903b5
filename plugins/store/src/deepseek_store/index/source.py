"""The versions in a database: single ones, pages of keys, or all of them packed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deepseek_store.commands import command
from deepseek_store.errors import ForeignStore
from deepseek_store.index import reads, schema
from deepseek_store.index.chains import Chain
from deepseek_store.index.packed import CHUNK, PackedVersions
from deepseek_store.index.port import Database, Transaction

# So few are loaded in the time of some hundred questions.
_FEW: Final = 10_000
# No key has as many characters, so this one comes after all that begin with what is in front of it.
_LAST: Final = "\U0010ffff" * 4097


class DatabaseSource:
    """Reads versions; each call sees one moment of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def head(self) -> tuple[int, int, bool]:
        """The last sequence number, the highest generation, and whether there are few versions."""

        def work(transaction: Transaction) -> tuple[int, int, bool]:
            _, _, seq, clock, _ = transaction.run(schema.HEAD)[0]
            return seq, clock, not transaction.run(schema.ANY_VERSION_PAST, {"count": _FEW})

        return self._database.read(work)

    def chain(self, key: str) -> Chain:
        """The versions of a key, the current one first."""
        rows = self._database.read(lambda s: s.run(schema.VERSIONS_OF, {"key": key}))
        with sound(self._database.url):
            return tuple(reads.read_versions(rows))

    def live_keys(self, start: str, *, after: bool, prefix: str, most: int) -> list[str]:
        """Keys of objects in order, from `start` on (or `after` it), that begin with a prefix."""
        sql = schema.LIVE_KEYS_AFTER if after else schema.LIVE_KEYS_FROM
        bounds = {"start": start, "beyond": prefix + _LAST, "most": most}
        return [str(row[0]) for row in self._database.read(lambda s: s.run(sql, bounds))]

    def packed(self) -> tuple[PackedVersions, int]:
        """All versions, and the highest generation that was ever used."""
        _, clock, packed = self.all_at()
        return packed, clock

    def all_at(self) -> tuple[int, int, PackedVersions]:
        """The last sequence number, the highest generation, and all versions of that moment."""

        def work(transaction: Transaction) -> tuple[int, int, PackedVersions]:
            _, _, seq, clock, _ = transaction.run(schema.HEAD)[0]
            packed = PackedVersions()
            for rows in transaction.batches(schema.VERSIONS, most=CHUNK):
                packed.add_rows(rows)
            return seq, clock, packed

        with sound(self._database.url):
            return self._database.read(work)


def rebuild_it(url: str) -> str:
    """The remedy for an index that can't be used; a SQLite file lies in the home that it is of."""
    kind, _, path = url.partition(":")
    home = Path(path).parent if kind == "sqlite" else "HOME"
    return f"rebuild the index from the log with `{command('rebuild', home)}`"


@contextmanager
def sound(url: str) -> Iterator[None]:
    """Rows that can't be what we wrote: the file is damaged where the database can't see it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ForeignStore(
            f"{url} holds a damaged row: {error}", url=url, remedy=rebuild_it(url)
        ) from error
