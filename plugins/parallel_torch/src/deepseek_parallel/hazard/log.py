"""Logs of failures: which node of which system failed when."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, NamedTuple, cast

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors

# Names of columns by what they say; those of the logs of Los Alamos (LA-UR-05-7318) come second.
COLUMNS: Final = {
    "time": ("time", "prob started"),
    "node": ("node", "nodenumz"),
    "system": ("system",),
    "nodes": ("nodes",),
}
_SEPARATORS: Final = ",;\t|"
_FORMATS: Final = ("%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S")
_LATEST_S: Final = 253402300800.0  # the year 10000: what comes later is milliseconds
_MOST_NODES: Final = 10_000_000


@attrs.frozen(kw_only=True, eq=False)
class FailureLog:
    """Failures of one system in the order of their times; `nodes` are numbers of `names`.

    Of the `num_nodes` nodes, those that never failed come after the others, without a name. Rows
    without a time were `skipped`.
    """

    system: str
    times_s: NDArray[np.float64]
    nodes: NDArray[np.int64]
    num_nodes: int
    names: tuple[str, ...] = ()
    skipped: int = 0

    @property
    def gaps_s(self) -> NDArray[np.float64]:
        """Seconds from failure to failure; several at one time are one, since one job ends."""
        return np.diff(np.unique(self.times_s))


class _Row(NamedTuple):
    """A line of the file, as it is written."""

    line: int
    time: str
    node: str
    system: str
    nodes: str


def read_logs(path: Path, columns: Mapping[str, str] | None = None) -> list[FailureLog]:
    """The systems in a CSV file, the one with most failures first.

    Its columns are `time` (ISO 8601, UTC where it says no zone, or seconds since 1970), `node`,
    `system` (one, if there is none) and `nodes` (how many the system has; else as many as failed),
    or those of the Los Alamos logs, or as `columns` names them by these words. They may be
    separated by `,`, `;`, `|` or tabs; the file may be packed (.xz, .gz). Rows may have any order;
    a node that fails twice at one time has failed once.

    Raises:
        InputError: no such file, no such columns, a time that is none, or no failure.
    """
    rows = list(_rows(path, columns or {}))
    dated = [row for row in rows if row.time]
    if not dated:
        raise errors.InputError(
            f"{path} holds no failure with a time",
            remedy="give a log with a line for each failure: 2026-01-31T12:00:00,node7",
        )
    _refuse_bare_dates(dated, path)
    found: dict[str, set[tuple[float, str]]] = {}
    counts: dict[str, int] = {}
    for row in dated:
        found.setdefault(row.system, set()).add((_seconds(row.time, path, row.line), row.node))
        counts[row.system] = max(counts.get(row.system, 0), _count(row.nodes, path, row.line))
    skipped = Counter(row.system for row in rows if not row.time)
    logs = [
        _log(system, sorted(failures), counts[system], skipped[system])
        for system, failures in found.items()
    ]
    return sorted(logs, key=lambda log: (-len(log.times_s), log.system))


def _log(system: str, found: list[tuple[float, str]], count: int, skipped: int) -> FailureLog:
    names = {name: number for number, name in enumerate(sorted({node for _, node in found}))}
    return FailureLog(
        system=system,
        times_s=np.array([time for time, _ in found]),
        nodes=np.array([names[node] for _, node in found]),
        num_nodes=max(len(names), count),
        names=tuple(names),
        skipped=skipped,
    )


def _rows(path: Path, columns: Mapping[str, str]) -> Iterator[_Row]:
    try:
        with _opened(path) as file:
            text = io.TextIOWrapper(file, encoding=_encoding(file), errors="replace", newline="")
            header = text.readline()
            separator = _separator(header, columns)
            names = _names(next(csv.reader([header], delimiter=separator), []), path, columns)
            reader = csv.reader(text, delimiter=separator)
            for row in reader:
                told = {what: _cell(row, place) for what, place in names.items()}
                if any(row):
                    yield _Row(
                        line=reader.line_num + 1,
                        time=told["time"],
                        node=told.get("node") or "-",
                        system=told.get("system") or "-",
                        nodes=told.get("nodes", ""),
                    )
    except (OSError, EOFError, lzma.LZMAError, zlib.error, csv.Error) as error:
        raise errors.InputError(
            f"can't read the log of failures {path}: {error}",
            remedy="give a CSV file, plain or packed by xz or gzip",
        ) from error


def _cell(row: Sequence[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".xz":
        return cast(IO[bytes], lzma.open(path))
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path))
    return path.open("rb")


def _encoding(file: IO[bytes]) -> str:
    """UTF-16 if it says so, as spreadsheets write it."""
    begin = file.read(2)
    file.seek(0)
    return "utf-16" if begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _separator(header: str, columns: Mapping[str, str]) -> str:
    """The one at which the first line has a column of times; a comma if there is none."""
    wanted = _wanted("time", columns)
    for separator in _SEPARATORS:
        cells = next(csv.reader([header], delimiter=separator), [])
        if any(cell.strip().casefold() in wanted for cell in cells):
            return separator
    return ","


def _wanted(what: str, columns: Mapping[str, str]) -> tuple[str, ...]:
    return (columns[what].strip().casefold(),) if what in columns else COLUMNS[what]


def _names(header: Sequence[str], path: Path, columns: Mapping[str, str]) -> dict[str, int]:
    """The place of each column that is there."""
    there = [cell.strip().casefold() for cell in header]
    found = {
        what: there.index(name)
        for what in COLUMNS
        for name in reversed(_wanted(what, columns))
        if name in there
    }
    for what in ("time", *columns):
        if what not in found:
            said = ", ".join(cell.strip() for cell in header)
            raise errors.InputError(
                f"{path} has no column {columns.get(what, what)!r}; its first line says "
                f"{said[:200] or 'nothing'}",
                remedy="name the columns in the first line: time,node,system; or say how they are "
                "called: --columns time=Timestamp,node=Host",
            )
    return found


def _refuse_bare_dates(rows: Sequence[_Row], path: Path) -> None:
    """20260131 is a number of seconds, too; where all times are such, they were meant as dates."""
    if all(len(row.time) == 8 and row.time.isdecimal() and _is_date(row.time) for row in rows):
        raise errors.InputError(
            f"{path}: its times, as {rows[0].time}, are dates without dashes or seconds since 1970",
            remedy=f"write dates as {rows[0].time[:4]}-{rows[0].time[4:6]}-{rows[0].time[6:]}",
        )


def _is_date(text: str) -> bool:
    try:
        return 1900 <= datetime.strptime(text, "%Y%m%d").year <= 2100
    except ValueError:
        return False


def _seconds(text: str, path: Path, line: int) -> float:
    time = _number(text)
    if time is None:
        for form in (None, *_FORMATS):
            try:
                read = (
                    datetime.fromisoformat(text) if form is None else datetime.strptime(text, form)
                )
            except ValueError:
                continue
            return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    elif abs(time) < _LATEST_S:
        return time
    raise errors.InputError(
        f"line {line} of {path}: {text[:40]!r} is no time",
        remedy="write it like 2026-01-31T12:00:00, or as seconds (not milliseconds) since 1970",
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _count(text: str, path: Path, line: int) -> int:
    value = _number(text) if text else 0.0
    if value is None or not 0 <= value <= _MOST_NODES or value != int(value):
        raise errors.InputError(
            f"line {line} of {path}: the number of nodes must be 0 to {_MOST_NODES:,}, "
            f"got {text[:40]!r}",
            remedy="correct it, or leave the column nodes out",
        )
    return int(value)
