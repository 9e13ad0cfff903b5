"""Exports of NVIDIA Nsight Systems (`nsys export --type sqlite`), schema 3; times are nanoseconds.

A table exists only if it has rows, and columns come and go with the version: each is asked for.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np

from deepseek_core import errors
from deepseek_observe.reading.columns import Columns
from deepseek_observe.timeline.classes import HOST, Class, of_call, of_kernel
from deepseek_observe.timeline.record import Column, Timeline

_ACTIVITY: Final = "CUPTI_ACTIVITY_KIND_"
_PUSH_POP: Final = (59, 60)  # eventType of ranges: nested on a thread, and from start to end
_KINDS: Final = {
    1: "HtoD",
    2: "DtoH",
    8: "DtoD",
    10: "PtoP",
    11: "HtoD managed",
    12: "DtoH managed",
}
_SIDES: Final = {0: "Pageable", 1: "Pinned", 2: "Device", 3: "Array", 4: "Managed"}
_WAITS: Final = {1: "Event Sync", 2: "Stream Wait Event", 3: "Stream Sync", 4: "Context Sync"}
_PROCESS: Final = 40  # bits of a correlation, below the number of its process
_ROWS: Final = 200_000
_OF_CALL: Final = re.compile(r", (?:op_id|seq) = ")  # of torch's emit_nvtx: of each call its own


def read_nsys(path: Path) -> Timeline:
    """A timeline of the file; ranges of NVTX are rows of the host.

    Raises:
        InputError: it is no export of Nsight Systems, or is damaged.
    """
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)
        ) as db:
            return _Reader(db, path).timeline()
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        raise errors.InputError(
            f"{path} can't be read as a database: {error}",
            remedy="export it again: nsys export --type sqlite REPORT.nsys-rep",
        ) from error


class _Reader:
    """Reads one table after another into columns."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db, self._path = db, path
        names = db.execute("select name from sqlite_master where type = 'table'")
        self._tables = {str(name) for (name,) in names}
        self._columns = Columns()
        self._processes: dict[int, int] = {}  # globalPid -> its number here
        self._left_out: Counter[str] = Counter()

    def timeline(self) -> Timeline:
        """All tables that there are.

        Raises:
            InputError: none of them.
        """
        if "StringIds" not in self._tables:
            raise errors.InputError(
                f"{self._path} is a database, but no export of Nsight Systems",
                remedy="write one: nsys export --type sqlite REPORT.nsys-rep",
            )
        self._texts = dict(self._db.execute("select id, value from StringIds"))
        self._kernels()
        self._moves("MEMCPY", Class.COPY)
        self._moves("MEMSET", Class.FILL)
        self._syncs()
        self._calls()
        self._ranges()
        facts = {"format": "nsys", "schema": self._schema(), "devices": self._device_names()}
        return self._columns.timeline(source=str(self._path), facts=facts, left_out=self._left_out)

    def _rows(self, table: str, wanted: Sequence[str], needed: Sequence[str]) -> Iterator[Column]:
        """Pieces of a table, [rows, columns]; a column that is not there is -1 throughout.

        Raises:
            InputError: one that is needed is not there.
        """
        if table not in self._tables:
            return
        there = {row[1] for row in self._db.execute(f'pragma table_info("{table}")')}
        for name in needed:
            if name not in there:
                raise errors.InputError(
                    f"{self._path}: the table {table} has no column {name}",
                    remedy="export it again with a newer Nsight Systems",
                )
        asked = ", ".join(
            f"cast(ifnull({name}, -1) as integer)" if name in there else "-1" for name in wanted
        )
        cursor = self._db.execute(f'select {asked} from "{table}"')  # noqa: S608 - names of ours
        while True:
            rows = cursor.fetchmany(_ROWS)
            if not rows:
                return
            flat = np.fromiter(chain.from_iterable(rows), np.int64, len(rows) * len(wanted))
            yield flat.reshape(len(rows), len(wanted))

    def _correlations(self, given: Column, processes: Column) -> Column:
        """Correlations that differ from process to process: each counts from 1."""
        known = self._processes
        found = [
            known.setdefault(process, len(known) + 1) for process in (processes >> 24).tolist()
        ]
        own = np.array(found, np.int64) << _PROCESS
        return np.where(given > 0, given & ((1 << _PROCESS) - 1) | own, 0)

    def _add(self, piece: Column, classes: Any, names: Sequence[str], **more: Any) -> None:
        """Rows of (start, end, device, stream, correlation, process, ...)."""
        fine = (piece[:, 0] >= 0) & (piece[:, 1] >= piece[:, 0])
        self._left_out["without a time"] += int((~fine).sum())
        columns = {
            "starts": piece[:, 0], "ends": piece[:, 1],
            "devices": piece[:, 2], "streams": piece[:, 3],
            "classes": np.broadcast_to(np.asarray(classes, np.int64), len(piece)),
            "names": np.array(self._columns.numbers(names), np.int64),
            "correlations": self._correlations(piece[:, 4], piece[:, 5]),
            "nbytes": np.full(len(piece), -1, np.int64), **more,
        }  # fmt: skip
        self._columns.add(**{name: column[fine] for name, column in columns.items()})

    _WORK = ("start", "end", "deviceId", "streamId", "correlationId", "globalPid")

    def _kernels(self) -> None:
        wanted = (*self._WORK, "demangledName", "shortName")
        for piece in self._rows(f"{_ACTIVITY}KERNEL", wanted, self._WORK[:5]):
            names = [
                self._texts.get(long) or self._texts.get(short, "?")
                for long, short in piece[:, 6:8].tolist()
            ]
            self._add(piece, [of_kernel(name) for name in names], names)

    def _moves(self, table: str, found: Class) -> None:
        wanted = (*self._WORK, "bytes", "copyKind", "srcKind", "dstKind")
        for piece in self._rows(f"{_ACTIVITY}{table}", wanted, self._WORK[:5]):
            names = ["Memset (Device)"] * len(piece)
            if found is Class.COPY:
                names = [_copy(*row) for row in piece[:, 7:10].tolist()]
            self._add(piece, found, names, nbytes=piece[:, 6])

    def _syncs(self) -> None:
        wanted = (*self._WORK, "syncType")
        for piece in self._rows(f"{_ACTIVITY}SYNCHRONIZATION", wanted, self._WORK[:5]):
            names = [_WAITS.get(kind, "Sync") for kind in piece[:, 6].tolist()]
            self._add(piece, Class.SYNC, names)

    def _calls(self) -> None:
        wanted = ("start", "end", "globalTid", "globalTid", "correlationId", "globalTid", "nameId")
        for piece in self._rows(f"{_ACTIVITY}RUNTIME", wanted, ("start", "end", "correlationId")):
            names = [self._texts.get(name, "?") for name in piece[:, 6].tolist()]
            classes = np.array([of_call(name) for name in names], np.int64)
            kept = classes != Class.CALL
            self._left_out["calls of the driver that neither launch nor wait"] += int((~kept).sum())
            piece[:, 2] = HOST
            self._add(
                piece[kept], classes[kept],
                [name for name, keep in zip(names, kept.tolist(), strict=True) if keep],
            )  # fmt: skip

    def _ranges(self) -> None:
        if "NVTX_EVENTS" not in self._tables:
            return
        there = {row[1] for row in self._db.execute("pragma table_info(NVTX_EVENTS)")}
        if not {"start", "end", "eventType", "globalTid"} <= there:
            return
        text = "text" if "text" in there else "null"
        number = "textId" if "textId" in there else "null"
        cursor = self._db.execute(
            f"select start, end, globalTid, {text}, {number} from NVTX_EVENTS "  # noqa: S608
            f"where end is not null and eventType in {_PUSH_POP}"
        )
        while rows := cursor.fetchmany(_ROWS):
            piece = np.full((len(rows), 6), -1, np.int64)
            piece[:, :2] = [row[:2] for row in rows]
            piece[:, 2] = HOST
            piece[:, 3] = piece[:, 5] = [row[2] or 0 for row in rows]
            names = [
                _OF_CALL.split(str(row[3] or self._texts.get(row[4]) or "?"), maxsplit=1)[0]
                for row in rows
            ]
            self._add(piece, Class.RANGE, names)

    def _schema(self) -> str | None:
        if "META_DATA_EXPORT" not in self._tables:
            return None
        asked = "select value from META_DATA_EXPORT where name = 'EXPORT_SCHEMA_VERSION'"
        found = self._db.execute(asked).fetchone()
        return str(found[0]) if found else None

    def _device_names(self) -> dict[int, str]:
        if "TARGET_INFO_GPU" not in self._tables:
            return {}
        there = {row[1] for row in self._db.execute("pragma table_info(TARGET_INFO_GPU)")}
        number = "cuDevice" if "cuDevice" in there else "id"
        if not {number, "name"} <= there:
            return {}
        asked = f"select {number}, name from TARGET_INFO_GPU"  # noqa: S608 - names of ours
        return {int(one): str(name) for one, name in self._db.execute(asked) if one is not None}


def _copy(kind: int, source: int, target: int) -> str:
    """Name a copy as Kineto does: Memcpy HtoD (Pinned -> Device)."""
    way = f"{_SIDES.get(source, '?')} -> {_SIDES.get(target, '?')}"
    return f"Memcpy {_KINDS.get(kind, '?')} ({way})"
