"""The index of a store on one machine: SQLite, shared by its processes.

In WAL mode a killed process loses nothing. A power failure may take the last commits that were not
`durable`; they are in the log, from which the index catches up.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Final, TypeVar

from deepseek_core import errors
from deepseek_store import from_os_error
from deepseek_store.errors import ForeignStore, IndexUnavailable, ReadOnlyStore, StoreClosed
from deepseek_store.index.base import Index
from deepseek_store.index.port import NAMED, Database, Params, Transaction
from deepseek_store.index.slot_locks import SlotLocks
from deepseek_store.index.source import rebuild_it

T = TypeVar("T")

APPLICATION_ID: Final = 0x64735831  # "dsX1"
_BUSY_S: Final = 20.0
_SHRINK_BUSY_S: Final = 0.1
_FEW_PAGES: Final = 64  # free ones, of 4 KiB: not worth a copy of the file
_WAL_NBYTES: Final = 4 << 20  # a longer WAL is folded into the file, and cut
_LEAST_WAL_NBYTES: Final = 64 << 10
_WAL_DISK_PART: Final = 256  # of the disk, at most one part of so many
_PAGE_NBYTES: Final = 4096
_LOCKS: Final = ".locks"
_WRITER_CACHE_KIB: Final = 16 << 10
# It reads everything once, or single keys: the rest of its pages would only be kept.
_READER_CACHE_KIB: Final = 4 << 10

_ROOM: Final = (
    "delete objects and run `ds-sdk store gc HOME`, or free space on the disk of the home"
)

_MEANING: Final[Sequence[tuple[frozenset[int], type[errors.StorageError], str]]] = (
    (
        # SQLITE_ERROR: a table or column that ought to be there is not.
        frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)),
        ForeignStore,
        "",  # how to make it again: by its URL
    ),
    (frozenset((sqlite3.SQLITE_FULL,)), errors.TierFull, _ROOM),
    (
        frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)),
        IndexUnavailable,
        "try again; another process is writing",
    ),
    (
        frozenset((sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN))
        | {sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOLFS},
        errors.TierUnavailable,
        "check that the store's home is there and may be written to",
    ),
)


# What a later try may find otherwise.
_LATER: Final = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL))


class SqliteIndex(Index):
    """An index in one SQLite file; see `Index`."""

    def __init__(
        self,
        path: Path,
        store_id: bytes,
        *,
        create: bool = False,
        read_only: ReadOnlyStore | None = None,
    ) -> None:
        super().__init__(SqliteDatabase(path, read_only=read_only), store_id, create=create)


class SqliteDatabase(Database):
    """One file, with a connection for writing and one for reading.

    `read_only`: one for reading alone. Where even SQLite's own files beside it can't be made or
    read, it reads a private copy.
    """

    remote = False
    words: ClassVar[dict[str, str]] = {
        "text": "TEXT",
        "blob": "BLOB",
        # Rows in the order of their key: they load sorted, and no second tree is kept.
        "clustered": "WITHOUT ROWID",
    }

    def __init__(self, path: Path, *, read_only: ReadOnlyStore | None = None) -> None:
        self._path = path
        self.read_only = read_only
        # a private copy, where the file itself can't be opened
        self._copied: TemporaryDirectory[str] | None = None
        self.url = f"sqlite:{path}"
        self._process = 0  # the process that opened it; a fork may not use its connections
        self._locks: SlotLocks | None = None  # numbered locks, made when first needed
        self._writer: sqlite3.Connection | None = None
        self._level: str | None = None  # `PRAGMA synchronous` as it was last set; None: not known
        self._reader: sqlite3.Connection | None = None
        self._writing = threading.Lock()
        self._reading = threading.Lock()

    def open(self, *, create: bool) -> None:
        """Open the file; with `create` also one that is missing or empty."""
        if not create and (not self._path.exists() or not self._path.stat().st_size):
            state = "is empty" if self._path.exists() else "is not there"
            raise ForeignStore(
                f"the index {self._path} {state}", url=self.url, remedy=rebuild_it(self.url)
            )
        try:
            with self._translated():
                if self.read_only is not None:
                    self._reader = self._look()
                    self._process = os.getpid()
                    return
                self._writer = self._connect(create=create, cache_kib=_WRITER_CACHE_KIB)
                self._reader = self._connect(create=False, cache_kib=_READER_CACHE_KIB)
                self._locks = SlotLocks(self._path.with_name(self._path.name + _LOCKS))
        except BaseException:
            self.close()
            raise
        self._process = os.getpid()

    def write(self, work: Callable[[Transaction, bool], T], *, durable: bool = False) -> T:
        """Run `work` in a transaction; others wait up to 20 s for their turn."""
        with self._writing, self._translated():
            connection = self._usable(self._writer)
            # An interrupt may fall anywhere: what it left is put right by the next one.
            _roll_back(connection)
            level = "FULL" if durable else "NORMAL"
            if level != self._level:
                self._level = None
                connection.execute(f"PRAGMA synchronous={level}")
                self._level = level
            connection.execute("BEGIN IMMEDIATE")
            return _finish(connection, lambda: work(_SqliteTransaction(connection), False))

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on one moment of the file; writers go on."""
        with self._reading, self._translated():
            connection = self._usable(self._reader)
            _roll_back(connection)
            connection.execute("BEGIN")
            return _finish(connection, lambda: work(_SqliteTransaction(connection)))

    def shrink(self, *, wholly: bool = False) -> None:
        """Copy the file where half of it is free, and empty the WAL; not if others are busy.

        `wholly`: copy it wherever that has space; pages of which a part was deleted are half empty.
        """
        with self._writing, self._translated():
            connection = self._usable(self._writer)
            _roll_back(connection)
            try:
                _set_busy(connection, _SHRINK_BUSY_S)
                free, pages = (
                    connection.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("freelist_count", "page_count")
                )
                if (wholly and self._has_room(pages)) or (free > _FEW_PAGES and 2 * free > pages):
                    connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _LATER:
                    raise
            finally:
                _set_busy(connection, _BUSY_S)

    def _has_room(self, pages: int) -> bool:
        """Whether a copy of so many pages fits, which goes through the WAL."""
        found = os.statvfs(self._path.parent)
        return found.f_bavail * found.f_frsize > pages * _PAGE_NBYTES

    @contextmanager
    def exclusive(self, slots: Sequence[int]) -> Iterator[None]:
        """Locks in a file beside: the database's own would keep all commits out."""
        locks = self._locks
        if locks is None:
            raise self._closed()
        with ExitStack() as stack:
            for slot in slots:
                stack.enter_context(locks.hold(slot))
            yield

    def close(self) -> None:
        """Close the file; the last one to do so folds the WAL into it."""
        with self._writing, self._reading:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._reader = self._writer = None
            if self._locks is not None:
                self._locks.close()
                self._locks = None
            if self._copied is not None:
                self._copied.cleanup()
                self._copied = None

    def _look(self) -> sqlite3.Connection:
        """A connection that can't change anything, however little may be written here."""
        try:
            return self._looking(self._path, "mode=ro")
        except sqlite3.OperationalError:
            self.frozen = True
            wal = self._path.with_name(f"{self._path.name}-wal")
            if not wal.exists() or not wal.stat().st_size:
                return self._looking(self._path, "mode=ro&immutable=1")
            # What is in the WAL alone can only be had by one who may write beside it.
            self._copied = TemporaryDirectory(prefix="ds-index-")
            for path in (self._path, wal):
                shutil.copy(path, self._copied.name)
            return self._looking(Path(self._copied.name, self._path.name), "mode=rw")

    def _looking(self, path: Path, mode: str) -> sqlite3.Connection:
        connection = _connected(path, mode)
        try:
            self._identify(connection, create=False)
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, *, create: bool, cache_kib: int) -> sqlite3.Connection:
        connection = _connected(self._path, f"mode={'rwc' if create else 'rw'}")
        try:
            self._identify(connection, create=create)
            # No mmap: a file that is cut off under a map kills the process (SIGBUS).
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA cache_size=-{cache_kib}")
            wal_nbytes = _most_wal_nbytes(self._path.parent)
            connection.execute(f"PRAGMA wal_autocheckpoint={wal_nbytes // _PAGE_NBYTES}")
            connection.execute(f"PRAGMA journal_size_limit={wal_nbytes}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _identify(self, connection: sqlite3.Connection, *, create: bool) -> None:
        found = connection.execute("PRAGMA application_id").fetchone()[0]
        empty = not connection.execute("PRAGMA schema_version").fetchone()[0]
        if create and empty and not found:
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        elif found != APPLICATION_ID:
            raise ForeignStore(
                f"{self._path} is a database, but not of a store",
                url=self.url,
                remedy=rebuild_it(self.url),
            )

    def _usable(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is None:
            raise self._closed()
        if self._process != os.getpid():
            raise StoreClosed(
                f"{self.url} was opened by another process",
                url=self.url,
                remedy="open the store after the fork",
            )
        return connection

    def _closed(self) -> StoreClosed:
        return StoreClosed(f"{self.url} is closed", url=self.url, remedy="open the store again")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            found = translate(error, self.url)
            if isinstance(found, errors.TierUnavailable) and (
                why := from_os_error.why_full(self._path)
            ):
                what = f"{found.message}: its disk has no space left"
                raise errors.TierFull(what, url=self.url, remedy=why) from error
            raise found from error
        except UnicodeDecodeError as error:
            # SQLite's message quotes the damaged file.
            raise ForeignStore(
                f"{self.url}: database disk image is malformed",
                url=self.url,
                remedy=rebuild_it(self.url),
            ) from error
        except errors.TierUnavailable:  # an OSError, and it says all already
            raise
        except OSError as error:
            raise from_os_error.typed(error, self.url, self.url) from error


def _most_wal_nbytes(folder: Path) -> int:
    found = os.statvfs(folder)
    part = found.f_blocks * found.f_frsize // _WAL_DISK_PART
    return min(_WAL_NBYTES, max(_LEAST_WAL_NBYTES, part))


def _connected(path: Path, options: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{options}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )


class _SqliteTransaction(Transaction):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, params: Params | None = None) -> Sequence[Sequence[Any]]:
        return self._connection.execute(sql, params or {}).fetchall()

    def batches(self, sql: str, *, most: int) -> Iterator[Sequence[Sequence[Any]]]:
        cursor = self._connection.execute(sql)
        while rows := cursor.fetchmany(most):
            yield rows

    def run_many(self, sql: str, rows: Sequence[Params]) -> None:
        self._connection.executemany(sql, rows)

    def run_rows(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        # By position: SQLite asks for each name again with each row, a third of an insert's time.
        self._connection.executemany(_by_position(sql), rows)


@cache
def _by_position(sql: str) -> str:
    return NAMED.sub("?", sql)


def _set_busy(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout={int(seconds * 1000)}")


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _finish(connection: sqlite3.Connection, work: Callable[[], T]) -> T:
    """Run what stands in an open transaction, and commit it; roll back if it fails."""
    try:
        result = work()
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(connection)
        raise
    return result


def translate(error: sqlite3.Error, url: str) -> errors.DeepSeekError:
    """The SDK's error for one of SQLite."""
    code = getattr(error, "sqlite_errorcode", None)
    text = f"{url}: {error}"
    if code is None and isinstance(error, sqlite3.OperationalError):
        # Python's own: the file holds a text that is not UTF-8.
        return ForeignStore(text, url=url, remedy=rebuild_it(url))
    for kinds, kind, remedy in _MEANING:
        if code is not None and code & 0xFF in kinds:
            return kind(text, url=url, remedy=remedy or rebuild_it(url))
    return errors.StorageError(text, url=url)
