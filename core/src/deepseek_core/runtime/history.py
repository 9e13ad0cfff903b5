"""Measured costs that outlive a session: one SQLite file in the cache folder.

Keyed by device fingerprint, stage fingerprint, latency class and batch size, so that a new
driver, another model or a changed gallery starts afresh. Several sessions may share the file.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from deepseek_core.contracts.errors import ConfigError, DeviceClosed
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.runtime.logs import warn

if TYPE_CHECKING:
    import sqlite3

    from deepseek_core.schedule.cost import Sample

_KEEP: Final = 32  # newest samples of a key and batch size
_MOST_ITEMS: Final = 1 << 40  # no run has more, nor any batch axis
_LEAST_S: Final = 1e-12  # no run is shorter
_MOST_S: Final = 1e9  # nor longer: 30 years
_BUSY_S: Final = 10.0
_VERSION: Final = 1  # of the tables; one that only gets a column more keeps it
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS samples (
    device TEXT NOT NULL, stage TEXT NOT NULL, latency TEXT NOT NULL,
    batch INTEGER NOT NULL, seconds REAL NOT NULL, at_s REAL NOT NULL
)"""
_INDEX: Final = "CREATE INDEX IF NOT EXISTS by_key ON samples (device, stage, latency, batch, at_s)"
_INSERT: Final = """
INSERT INTO samples (device, stage, latency, batch, seconds, at_s) VALUES (?, ?, ?, ?, ?, ?)
"""
# In the order in which they came, for a clock may be set back; whoever wrote them may be faulty.
_VIEW: Final = f"""
CREATE TEMP VIEW IF NOT EXISTS sound AS
SELECT rowid AS number, device, stage, latency, batch, seconds FROM samples
WHERE typeof(device) = 'text' AND typeof(stage) = 'text'
AND latency IN ('realtime', 'offline')
AND typeof(batch) = 'integer' AND batch BETWEEN 1 AND {_MOST_ITEMS}
AND typeof(seconds) = 'real' AND seconds BETWEEN {_LEAST_S} AND {_MOST_S}
"""  # noqa: S608 - numbers of this module
_TRIM: Final = """
DELETE FROM samples WHERE rowid IN (
    SELECT rowid FROM samples WHERE device = ? AND stage = ? AND latency = ? AND batch = ?
    ORDER BY rowid DESC LIMIT -1 OFFSET ?)
"""


class Record(NamedTuple):
    """A measurement with all that it belongs to: fingerprints, latency class, batch size."""

    device: str
    stage: str
    latency: str
    batch: int
    seconds: float


class History:
    """Samples by (device, stage, latency class); safe to use from several threads.

    A file that is not a sound database is set aside under another name, a new one begun, and
    `notice` says so.

    Raises:
        ConfigError: the file can't be opened or used, or a newer version of the SDK wrote it.
        DeviceClosed: after `close`.
    """

    def __init__(self, path: Path) -> None:
        import sqlite3  # start-up: a session without a choice needs no history

        self.path = path
        self._lock = threading.RLock()  # a signal handler may close it
        self._closed = False
        try:
            self._opened, self.notice = _sound(path)
        except (sqlite3.OperationalError, OSError) as error:
            raise _closed_to_us(path, "opened", error) from error
        if self.notice is not None:
            warn(__name__, self.notice)

    def _db(self) -> sqlite3.Connection:
        """The open file; its lock is held."""
        self._check_open()
        return self._opened

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceClosed(
                "the history is closed", device_id="session", remedy="open a session"
            )

    def samples(self, device: str, stage: str, latency: LatencyClass) -> tuple[Sample, ...]:
        """All samples of a key, oldest first."""
        from deepseek_core.schedule.cost import Sample

        with self._lock, self._told():
            found = self._db().execute(
                "SELECT batch, seconds FROM sound WHERE device = ? AND stage = ? "
                "AND latency = ? ORDER BY number",
                (device, stage, latency.value),
            )
            rows = found.fetchall()
        return tuple(Sample(batch, seconds) for batch, seconds in rows)

    def add(
        self, device: str, stage: str, latency: LatencyClass, samples: tuple[Sample, ...]
    ) -> None:
        """Add measurements, all or none, and drop the oldest ones beyond the limit."""
        with self._transaction() as db:
            _insert(db, (device, stage, latency.value), samples)

    def records(self) -> list[Record]:
        """Everything measured, oldest first."""
        with self._lock, self._told():
            found = self._db().execute(
                "SELECT device, stage, latency, batch, seconds FROM sound ORDER BY number"
            )
            rows = found.fetchall()
        return [Record(*row) for row in rows]

    def merge(self, records: Iterable[Record]) -> int:
        """Add what another machine measured, all or none; returns how many were new."""
        from deepseek_core.schedule.cost import Sample

        known = set(self.records())
        fresh = [r for r in records if r not in known and _is_sound(Sample(r.batch, r.seconds))]
        groups: dict[tuple[str, str, str], list[Sample]] = {}
        for r in fresh:
            groups.setdefault((r.device, r.stage, r.latency), []).append(Sample(r.batch, r.seconds))
        with self._transaction() as db:
            for key, samples in groups.items():
                _insert(db, key, samples)
        return len(fresh)

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._opened.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except sqlite3.Error as error:
            self._check_open()  # a signal handler may have closed it in the middle of this
            raise _closed_to_us(self.path, "used", error) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._told(), self._db() as db:
            db.execute("BEGIN IMMEDIATE")
            yield db


def _closed_to_us(path: Path, what: str, error: Exception) -> ConfigError:
    reason = error.strerror if isinstance(error, OSError) else error
    return ConfigError(
        f"the history {path} can't be {what}: {reason}",
        remedy="free space, end the process that holds it, or set DEEPSEEK_CACHE_DIR to another "
        "folder",
    )


def _insert(db: sqlite3.Connection, key: tuple[str, str, str], samples: Sequence[Sample]) -> None:
    now_s = time.time()
    sound = [sample for sample in samples if _is_sound(sample)]
    db.executemany(
        _INSERT,
        [(*key, s.batch, s.seconds, now_s) for s in sound],
    )
    for batch in {s.batch for s in sound}:
        db.execute(_TRIM, (*key, batch, _KEEP))


def _is_sound(sample: Sample) -> bool:
    """Whether it is a time of a run, as the view of what is sound has it."""
    batch, seconds = sample.batch, sample.seconds
    return (
        isinstance(batch, int)
        and 1 <= batch <= _MOST_ITEMS
        and isinstance(seconds, (int, float))
        and _LEAST_S <= seconds <= _MOST_S
    )


def _sound(path: Path) -> tuple[sqlite3.Connection, str | None]:
    """The database, and what is to be said if a damaged one was set aside for it."""
    import sqlite3

    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        try:
            return _open(path), None
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            notice = _set_aside(path, str(error))
        return _open(path), notice


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let processes begin one by one.

    SQLite waits for nobody when it makes a new file a WAL, and of several that found a file damaged
    one is to set it aside.

    Raises:
        BlockingIOError: another one has been at it for too long.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no locks of folders; the database has its own
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(fcntl, descriptor, time.monotonic() + _BUSY_S)
        yield
    finally:
        os.close(descriptor)


def _lock(fcntl: Any, descriptor: int, until_s: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.002)
        except OSError:  # a file system without such locks
            return
        else:
            return


def _open(path: Path) -> sqlite3.Connection:
    import sqlite3

    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    db.text_factory = _text
    try:
        _check_version(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(_TABLE)
        db.execute(f"PRAGMA user_version = {_VERSION}")
        _check_columns(db)
        db.execute(_INDEX)
        db.execute(_VIEW)
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except BaseException:
        db.close()
        raise
    return db


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def _check_version(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise ConfigError(
            f"a newer version of the SDK wrote the history {path}: its tables are of version "
            f"{version}, this one knows {_VERSION}",
            remedy="update deepseek-core, or set DEEPSEEK_CACHE_DIR to another folder",
        )


def _check_columns(db: sqlite3.Connection) -> None:
    import sqlite3

    columns = {row[1] for row in db.execute("PRAGMA table_info(samples)")}
    if not {"device", "stage", "latency", "batch", "seconds", "at_s"} <= columns:
        raise sqlite3.DatabaseError(f"its table has the columns {sorted(columns)}")


def _set_aside(path: Path, why: str) -> str:
    aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return (
        f"the history {path} is no sound database ({why}); it was set aside as {aside.name} "
        "and a new one begun: run `ds-sdk calibrate MODEL` to measure again"
    )
