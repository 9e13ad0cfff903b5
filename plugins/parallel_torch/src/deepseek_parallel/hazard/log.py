"""Logs of failures: which node of which system failed when."""

from __future__ import annotations

import csv
import gzip
import io
import lzma
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, cast

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors

# Names of columns by what they say; those of the logs of Los Alamos (LA-UR-05-7318) come second.
_COLUMNS: Final = {
    "time": ("time", "Prob Started"),
    "node": ("node", "nodenumz"),
    "system": ("system", "System"),
    "nodes": ("nodes",),
}
_FORMATS: Final = ("%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M:%S")


@attrs.frozen(kw_only=True, eq=False)
class FailureLog:
    """Failures of one system in the order of their times; `nodes` are numbers of `names`.

    Of the `num_nodes` nodes, those that never failed come after the others, without a name.
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


def read_logs(path: Path) -> list[FailureLog]:
    """The systems in a CSV file, the one with most failures first.

    Its columns are `time` (ISO 8601, UTC where it says no zone, or seconds since 1970), `node`,
    `system` (one, if there is none) and `nodes` (how many the system has; else as many as failed),
    or those of the Los Alamos logs. A file may be packed (.xz, .gz). A row without a time is
    counted as `skipped`.

    Raises:
        InputError: no such file, no such columns, a time that is none, or no failure.
    """
    rows: dict[str, list[tuple[float, str, int]]] = {}
    skipped: dict[str, int] = {}
    for line, system, time, node, nodes in _rows(path):
        if not time:
            skipped[system] = skipped.get(system, 0) + 1
            continue
        found = rows.setdefault(system, [])
        found.append((_seconds(time, path, line), node, _count(nodes, path, line)))
    if not rows:
        raise errors.InputError(f"{path} holds no failure with a time")
    logs = [_log(system, found, skipped.get(system, 0)) for system, found in rows.items()]
    return sorted(logs, key=lambda log: (-len(log.times_s), log.system))


def _log(system: str, found: list[tuple[float, str, int]], skipped: int) -> FailureLog:
    found.sort()
    names = {name: number for number, name in enumerate(sorted({node for _, node, _ in found}))}
    return FailureLog(
        system=system,
        times_s=np.array([time for time, _, _ in found]),
        nodes=np.array([names[node] for _, node, _ in found]),
        num_nodes=max(len(names), *(count for _, _, count in found)),
        names=tuple(names),
        skipped=skipped,
    )


def _rows(path: Path) -> Iterator[tuple[int, str, str, str, str]]:
    """Line number, system, time, node and number of nodes, as they are written."""
    try:
        with _opened(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
            reader = csv.DictReader(text)
            names = _names(reader.fieldnames or (), path)
            for row in reader:
                told = [(row.get(names.get(what, ""), "") or "").strip() for what in _COLUMNS]
                yield reader.line_num, told[2] or "-", told[0], told[1] or "-", told[3]
    except (OSError, EOFError, lzma.LZMAError, csv.Error) as error:
        raise errors.InputError(f"can't read the log of failures {path}: {error}") from error


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".xz":
        return cast(IO[bytes], lzma.open(path))
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path))
    return path.open("rb")


def _names(header: Iterable[str], path: Path) -> Mapping[str, str]:
    there = list(header)
    names = {what: name for what, known in _COLUMNS.items() for name in known if name in there}
    if "time" not in names:
        raise errors.InputError(
            f"{path} has no column of times; its first line says {', '.join(there) or 'nothing'}",
            remedy="name the columns in the first line: time,node,system",
        )
    return names


def _seconds(text: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        pass
    else:
        if np.isfinite(value):
            return value
    for form in (None, *_FORMATS):
        try:
            time = datetime.fromisoformat(text) if form is None else datetime.strptime(text, form)
        except ValueError:
            continue
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    raise errors.InputError(
        f"line {line} of {path}: {text!r} is no time",
        remedy="write it like 2026-01-31T12:00:00, or as seconds since 1970",
    )


def _count(text: str, path: Path, line: int) -> int:
    if not text:
        return 0
    if not text.isdecimal():
        raise errors.InputError(
            f"line {line} of {path}: the number of nodes must be 0 or more, got {text!r}"
        )
    return int(text)
