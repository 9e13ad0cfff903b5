"""Measured costs that outlive a session: one SQLite file in the cache folder.

Keyed by device fingerprint, stage fingerprint, latency class and batch size, so that a new
driver, another model or a changed gallery starts afresh. Several sessions may share the file.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.schedule.cost import Sample

_log = logging.getLogger(__name__)

_KEEP: Final = 32  # newest samples of a key and batch size
_BUSY_S: Final = 10.0
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS samples (
    device TEXT NOT NULL, stage TEXT NOT NULL, latency TEXT NOT NULL,
    batch INTEGER NOT NULL, seconds REAL NOT NULL, at_s REAL NOT NULL
)"""
_INDEX: Final = "CREATE INDEX IF NOT EXISTS by_key ON samples (device, stage, latency, batch, at_s)"
_TRIM: Final = """
DELETE FROM samples WHERE rowid IN (
    SELECT rowid FROM samples WHERE device = ? AND stage = ? AND latency = ? AND batch = ?
    ORDER BY at_s DESC, rowid DESC LIMIT -1 OFFSET ?)
"""


@attrs.frozen
class Record:
    """A measurement with all that it belongs to: fingerprints, latency class, batch size."""

    device: str
    stage: str
    latency: str
    batch: int
    seconds: float


class History:
    """Samples by (device, stage, latency class); safe to use from several threads.

    A file that is no sound database is set aside under another name, a new one begun,
    and `notice` says so.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notice: str | None = None
        self._lock = threading.Lock()
        self._closed = False
        try:
            self._db = _open(path)
        except sqlite3.OperationalError as error:
            raise ConfigError(
                f"the history {path} can't be opened: {error}",
                remedy="end the process that holds it, or set DEEPSEEK_CACHE_DIR to another folder",
            ) from error
        except sqlite3.DatabaseError as error:
            self.notice = _set_aside(path, str(error))
            _log.warning("%s", self.notice)
            self._db = _open(path)

    def samples(self, device: str, stage: str, latency: LatencyClass) -> tuple[Sample, ...]:
        """All samples of a key, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT batch, seconds FROM samples WHERE device = ? AND stage = ? "
                "AND latency = ? ORDER BY at_s, rowid",
                (device, stage, latency.value),
            ).fetchall()
        return tuple(Sample(batch, seconds) for batch, seconds in rows)

    def add(
        self, device: str, stage: str, latency: LatencyClass, samples: tuple[Sample, ...]
    ) -> None:
        """Add measurements, all or none, and drop the oldest ones beyond the limit."""
        with self._transaction() as db:
            _insert(db, (device, stage, latency.value), samples)

    def records(self) -> list[Record]:
        """Everything measured, oldest first."""
        with self._lock:
            rows = self._db.execute(
                "SELECT device, stage, latency, batch, seconds FROM samples ORDER BY at_s, rowid"
            ).fetchall()
        return [Record(*row) for row in rows]

    def merge(self, records: Iterable[Record]) -> int:
        """Add what another machine measured, all or none; returns how many were new."""
        known = set(self.records())
        fresh = [record for record in records if record not in known]
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
                self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db


def _insert(db: sqlite3.Connection, key: tuple[str, str, str], samples: Sequence[Sample]) -> None:
    now_s = time.time()
    db.executemany(
        "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?)",
        [(*key, s.batch, s.seconds, now_s) for s in samples],
    )
    for batch in {s.batch for s in samples}:
        db.execute(_TRIM, (*key, batch, _KEEP))


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(_TABLE)
        _check_columns(db)
        db.execute(_INDEX)
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    except BaseException:
        db.close()
        raise
    return db


def _check_columns(db: sqlite3.Connection) -> None:
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
