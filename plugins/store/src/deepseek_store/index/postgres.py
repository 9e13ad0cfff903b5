"""The index of a store that several machines share: PostgreSQL.

Every commit is on the server's disk before it counts: numbers that readers saw never go back.
A server that restarts is waited for; a commit is found out and never done twice.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeVar

from deepseek_core import errors
from deepseek_store.errors import ForeignStore, IndexUnavailable, ReadOnlyStore, StoreClosed
from deepseek_store.index.base import Index
from deepseek_store.index.port import Database, Params, Transaction
from deepseek_store.index.postgres_url import PostgresUrl
from deepseek_store.index.source import rebuild_it

T = TypeVar("T")

RETRY_S: Final = 20.0
_LOCK_S: Final = 10.0
_INT4: Final = 0x7FFFFFFF
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
# A machine that vanished without a word is noticed after 10 s, not after two hours.
_LIBPQ: Final = {
    "connect_timeout": "5",
    "application_name": "deepseek-store",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
# Of appendix A of PostgreSQL's manual: what may succeed when it is tried again.
_PASSING: Final = ("08", "53300", "57P01", "57P02", "57P03", "40001", "40P01", "55P03")
_DAMAGED: Final = ("42P01", "42703", "3F000", "XX001", "XX002")
_READ_ONLY: Final = ("25006", "42501")


class PostgresIndex(Index):
    """An index in one schema of a PostgreSQL database; see `Index`.

    `url` is `postgresql://user@host/database?schema=name&password=env:NAME`. `retry_s` is how long
    a server that went away is waited for.

    Raises:
        ConfigError: the URL has another form, or holds a password.
    """

    def __init__(
        self,
        url: str,
        store_id: bytes,
        *,
        create: bool = False,
        read_only: ReadOnlyStore | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        database = PostgresDatabase(PostgresUrl.parse(url), retry_s=retry_s)
        database.read_only = read_only
        super().__init__(database, store_id, create=create)


class PostgresDatabase(Database):
    """One schema of a database, through a pool of connections."""

    remote = True
    words: ClassVar[dict[str, str]] = {
        # The order of code points, as Python and SQLite have it, not that of some language.
        "text": 'TEXT COLLATE "C"',
        "blob": "BYTEA",
        "clustered": "",
    }

    def __init__(self, where: PostgresUrl, *, retry_s: float = RETRY_S) -> None:
        self._where = where
        self._retry_s = retry_s
        self.url = where.shown
        self._process = 0
        self._engine: Any = None
        self._texts: dict[str, Any] = {}

    def open(self, *, create: bool) -> None:
        """Connect once, without waiting; with `create`, make the schema."""
        try:
            from sqlalchemy import create_engine
        except ImportError as error:
            from deepseek_core import console  # only a remedy needs it

            raise errors.ConfigError(
                f"{self.url}: SQLAlchemy is not installed",
                remedy=console.install_command("deepseek-store", extra="postgres"),
            ) from error
        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            hide_parameters=True,
            pool_size=4,
            # No limit: locks hold connections, and those who hold them have to commit.
            max_overflow=-1,
        )
        self._process = os.getpid()
        try:
            self._once(self._make_schema if create else _nothing, {})
        except BaseException:
            self.close()
            raise

    def write(self, work: Callable[[Transaction, bool], T], *, durable: bool = False) -> T:
        """Run `work` in a transaction; always durable."""
        again = False

        def attempt() -> T:
            nonlocal again
            was, again = again, True
            return self._once(lambda transaction: work(transaction, was), {})

        return self._patiently(attempt)

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on one snapshot of the database."""
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        return self._patiently(lambda: self._once(work, options))

    @contextmanager
    def exclusive(self, slots: Sequence[int]) -> Iterator[None]:
        """Advisory locks, on a connection of their own; they fall if the server restarts."""
        with contextlib.ExitStack() as stack:
            if slots:
                self._patiently(lambda: self._lock(stack, slots))
            yield

    def close(self) -> None:
        """Close all connections."""
        if self._engine is not None:
            self._engine.dispose(close=self._process == os.getpid())
            self._engine = None

    def _connect(self) -> Any:
        import psycopg

        settings: dict[str, Any] = {**_LIBPQ, **self._where.settings}
        settings["options"] = f"-c search_path={self._where.schema} -c lock_timeout={_LOCK_S}s"
        failure = ""
        try:
            # The password stands in no variable, for traceback printers show those.
            return psycopg.connect(**settings, **self._where.credentials())
        except psycopg.Error as error:
            failure = self._first_line(error)
        # Outside of the except: psycopg's own traceback has the password in its variables.
        raise IndexUnavailable(
            f"{self.url}: {failure}",
            url=self.url,
            remedy="see that PostgreSQL runs there and lets this user in",
        )

    def _once(self, work: Callable[[Transaction], T], options: dict[str, Any]) -> T:
        from sqlalchemy.exc import DBAPIError

        engine = self._usable()
        try:
            with engine.execution_options(**options).begin() as connection:
                return work(_PostgresTransaction(connection, self._texts))
        except DBAPIError as error:
            raise self._translated(error) from error

    def _patiently(self, attempt: Callable[[], T]) -> T:
        """Try until it succeeds, fails for good, or `retry_s` are over."""
        end_s = time.monotonic() + self._retry_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return attempt()
            except IndexUnavailable:
                if time.monotonic() + pause_s > end_s:
                    raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _lock(self, stack: contextlib.ExitStack, slots: Sequence[int]) -> None:
        from sqlalchemy.exc import DBAPIError

        family = zlib.crc32(self._where.schema.encode()) & _INT4
        try:
            connection = self._usable().connect()
            stack.callback(_let_go, connection)
            connection.begin()
            for slot in slots:
                # Of a transaction: whatever ends it, a lost connection too, lets go of the lock.
                _PostgresTransaction(connection, self._texts).run(
                    "SELECT pg_advisory_xact_lock(:family, :slot)",
                    {"family": family, "slot": slot},
                )
        except DBAPIError as error:
            stack.close()
            raise self._translated(error) from error

    def _make_schema(self, transaction: Transaction) -> None:
        # Under a lock: two that create it at once fail on PostgreSQL's own catalog.
        transaction.run("SELECT pg_advisory_xact_lock(7236837201)")
        transaction.run(f"CREATE SCHEMA IF NOT EXISTS {self._where.schema}")

    def _usable(self) -> Any:
        if self._engine is None:
            raise StoreClosed(f"{self.url} is closed", url=self.url, remedy="open the store again")
        if self._process != os.getpid():
            raise StoreClosed(
                f"{self.url} was opened by another process",
                url=self.url,
                remedy="open the store after the fork",
            )
        return self._engine

    def _translated(self, error: Any) -> errors.DeepSeekError:
        cause = error.orig
        state = getattr(cause, "sqlstate", None) or ""
        text = f"{self.url}: {self._first_line(cause)}"
        if state.startswith(_DAMAGED):
            return ForeignStore(text, url=self.url, remedy=rebuild_it(self.url))
        if state == "53100":
            return errors.TierFull(text, url=self.url, remedy="free space on the database's disk")
        if state.startswith(_READ_ONLY):
            return errors.TierUnavailable(
                text, url=self.url, remedy="give this user the right to write, on the primary"
            )
        if _is_passing(error, state):
            return IndexUnavailable(text, url=self.url, remedy="see that PostgreSQL runs there")
        return errors.StorageError(text, url=self.url)

    def _first_line(self, error: BaseException) -> str:
        lines = str(error).strip().splitlines()
        text = lines[0] if lines else type(error).__name__
        secret = self._where.password
        return text if secret is None else text.replace(secret.reveal(), "****")


def _let_go(connection: Any) -> None:
    from sqlalchemy.exc import DBAPIError

    # Of a server that went away meanwhile: the locks are gone with it.
    with contextlib.suppress(DBAPIError):
        connection.close()


def _nothing(_transaction: Transaction) -> None:
    """Being connected is all."""


def _is_passing(error: Any, state: str) -> bool:
    from sqlalchemy.exc import InterfaceError, OperationalError

    if state:
        return state.startswith(_PASSING)
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


class _PostgresTransaction(Transaction):
    def __init__(self, connection: Any, texts: dict[str, Any]) -> None:
        self._connection = connection
        self._texts = texts

    def run(self, sql: str, params: Params | None = None) -> Sequence[Sequence[Any]]:
        result = self._connection.execute(self._text(sql), dict(params or {}))
        return result.fetchall() if result.returns_rows else ()

    def run_many(self, sql: str, rows: Sequence[Params]) -> None:
        self._connection.execute(self._text(sql), list(rows))

    def _text(self, sql: str) -> Any:
        from sqlalchemy import text

        found = self._texts.get(sql)
        if found is None:
            found = self._texts[sql] = text(sql)
        return found
