"""Measured times of one collective, out of a log of nccl-tests or rccl-tests, or a CSV of one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from deepseek_core import errors

FACTORS: Final[Mapping[str, Callable[[int], float]]] = {
    "all_reduce": lambda n: 2 * (n - 1) / n,
    "all_gather": lambda n: (n - 1) / n,
    "reduce_scatter": lambda n: (n - 1) / n,
    "alltoall": lambda n: (n - 1) / n,
    "broadcast": lambda n: 1.0,
    "reduce": lambda n: 1.0,
    "sendrecv": lambda n: 1.0,
    "gather": lambda n: (n - 1) / n,
    "scatter": lambda n: (n - 1) / n,
    "hypercube": lambda n: (n - 1) / n,
}
"""Bus bandwidth over bandwidth of the algorithm, by ranks: PERFORMANCE.md of nccl-tests."""

_ALIASES: Final = {"alltoallv": "alltoall", "all_to_all": "alltoall", "allreduce": "all_reduce",
                   "allgather": "all_gather", "reducescatter": "reduce_scatter",
                   "send_recv": "sendrecv"}  # fmt: skip
_PREFIX: Final = re.compile(r"^\s*(?:\[\d+,\d+\]<\w+>:\s?|\d+:\s(?=\s*[#\d]))")
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_NAME: Final = re.compile(
    r"(?<![a-z])(all_reduce|all_gather|reduce_scatter|alltoallv|alltoall|broadcast|sendrecv|"
    r"hypercube|gather|scatter|reduce)_perf"
)
_HEAD: Final = re.compile(
    r"# nThread \d|# Collective test starting|(?<!concluded: )\w+_perf(?:_mpi)?\b"
)
_RANK: Final = re.compile(r"#?\s*Rank\s+(\d+)\s+(?:Group\s+\d+\s+)?Pid\s+\d+ on\s+(\S+) device")
_WRONG: Final = re.compile(r"#?\s*Out of bounds values\s*:\s*(\d+)")
_FAULT: Final = re.compile(
    r"Test (?:NCCL|CUDA) failure[^\n]*|NCCL failure[^\n]*|NCCL WARN[^\n]*|"
    r"[Ss]egmentation fault|ncclUnhandledCudaError|ncclSystemError|"
    r"mpirun (?:noticed|has exited)[^\n]*"
)
_FIGURE: Final = re.compile(r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+")
_MOST_FAULTS: Final = 5
_REMEDY: Final = "give the whole output of `all_reduce_perf -b 8 -e 4G -f 2`"


@attrs.frozen(kw_only=True)
class Point:
    """A size in bytes as nccl-tests counts it, and the seconds that it took."""

    nbytes: int
    seconds: float
    busbw: float | None = None


@attrs.frozen(kw_only=True)
class Table:
    """Points of one collective in the order of sizes; None where the log does not say.

    `wrong` counts results that were not right; `faults` are lines that tell of errors.
    """

    source: str
    collective: str | None
    ranks: int | None
    nodes: int | None
    points: tuple[Point, ...]
    wrong: int = 0
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def parse_tables(text: str, source: str) -> tuple[Table, ...]:
    """Read a log of one collective or of several, one after the other.

    Raises:
        ArtifactError: no line of figures is in it; says what went wrong if the log does.
    """
    lines = [_plain(line) for line in re.split(r"\r\n|\r|\n", text.replace("\ufeff", ""))]
    found = [table for part in _parts(lines) if (table := _table(part, source)) is not None]
    faults = _faults(lines)
    if not found:
        why = f": {faults[0]}" if faults else ""
        raise errors.ArtifactError(f"{source} has no figures of nccl-tests{why}", remedy=_REMEDY)
    told = {fault for table in found for fault in table.faults}
    # A collective that died before its first line is told with the last that has some.
    lost = tuple(fault for fault in faults if fault not in told)[:_MOST_FAULTS]
    return (*found[:-1], attrs.evolve(found[-1], faults=(*found[-1].faults, *lost)))


def _parts(lines: Sequence[str]) -> Iterator[list[str]]:
    """Each collective with its head, which begins where figures have ended."""
    part: list[str] = []
    figures = False
    for line in lines:
        head = _HEAD.search(line) is not None
        if head and figures:
            yield part
            part, figures = [], False
        figures = figures or _is_row(line)
        part.append(line)
    yield part


def _is_row(line: str) -> bool:
    words = line.split()
    return len(words) >= 7 and words[0].isdecimal() and words[1].isdecimal()


def _faults(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(found[0].strip() for line in lines if (found := _FAULT.search(line))))


def _table(lines: Sequence[str], source: str) -> Table | None:
    csv = _csv_header(lines)
    points, wrong = _of_csv(lines, csv) if csv else _of_log(lines)
    if not points:
        return None
    faults = _faults(lines)
    told = _told(lines)
    collective = _collective(lines, told)
    ranks, nodes, notes = _ranks(lines, told)
    if ranks is None:
        ranks = _ranks_by_factor(lines, collective)
    wrong = max(wrong, *(int(found[1]) for line in lines if (found := _WRONG.match(line))), 0)
    return Table(
        source=source,
        collective=collective,
        ranks=ranks,
        nodes=nodes,
        points=_merged(points),
        wrong=wrong,
        faults=tuple(faults[:_MOST_FAULTS]),
        notes=tuple(notes),
    )


def _plain(line: str) -> str:
    return _PREFIX.sub("", _ESCAPES.sub("", line)).rstrip()


def _told(lines: Iterable[str]) -> dict[str, str]:
    """`# ranks: 8` and its like, which our own CSVs begin with."""
    pairs = (line[1:].split(":", 1) for line in lines if line.startswith("#") and ":" in line)
    return {key.strip().lower(): value.strip() for key, value in pairs}


def _csv_header(lines: Sequence[str]) -> list[str] | None:
    for line in lines:
        names = [name.strip().strip('"').lower() for name in line.split(",")]
        if "bytes" in names and any(name.startswith("time") for name in names):
            return names
    return None


def _of_csv(lines: Sequence[str], header: Sequence[str]) -> tuple[list[Point], int]:
    size = header.index("bytes")
    time = next(place for place, name in enumerate(header) if name.startswith("time"))
    scale = {"time_s": 1.0, "time_ms": 1e-3}.get(header[time], 1e-6)
    points = []
    for line in lines:
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) > max(size, time) and cells[size].isdecimal():
            seconds = _figure(cells[time])
            if seconds and int(cells[size]):
                points.append(Point(nbytes=int(cells[size]), seconds=seconds * scale))
    return points, 0


def _of_log(lines: Sequence[str]) -> tuple[list[Point], int]:
    points, wrong = [], 0
    for line in lines:
        words = line.split()
        if not _is_row(line):
            continue
        # size count type redop [root], then time algbw busbw #wrong, once or twice.
        columns = next((words[at:] for at in (5, 4, 3, 2) if len(words) - at in (4, 8, 3, 6)), [])
        half = len(columns) // 2 if len(columns) in (6, 8) else len(columns)
        found = [_of_columns(int(words[0]), part) for part in (columns[:half], columns[half:])]
        points += [point for point in found[:1] if point] or [point for point in found if point]
        for part in (columns[:half], columns[half:]):
            if len(part) == 4 and part[3].isdecimal():
                wrong += int(part[3])
    return points, wrong


def _of_columns(nbytes: int, columns: Sequence[str]) -> Point | None:
    figures = [_figure(word) for word in columns[:3]]
    if len(figures) < 3 or not figures[0] or nbytes == 0:
        return None
    return Point(nbytes=nbytes, seconds=figures[0] * 1e-6, busbw=figures[2])


def _figure(word: str) -> float | None:
    return float(word) if _FIGURE.fullmatch(word) else None


def _collective(lines: Iterable[str], told: dict[str, str]) -> str | None:
    name = told.get("collective", "").lower()
    if not name:
        heads = (line for line in lines if "concluded" not in line)
        name = next((found[1] for line in heads if (found := _NAME.search(line))), "")
    name = _ALIASES.get(name, name)
    return name if name in FACTORS else None


def _ranks(lines: Iterable[str], told: dict[str, str]) -> tuple[int | None, int | None, list[str]]:
    if told.get("ranks", "").isdecimal():
        nodes = told.get("nodes", "")
        return int(told["ranks"]), int(nodes) if nodes.isdecimal() else None, []
    seen = [(int(found[1]), found[2]) for line in lines if (found := _RANK.match(line))]
    if not seen:
        return None, None, []
    ranks, hosts = {rank for rank, _ in seen}, {host for _, host in seen}
    if len(seen) > len(ranks):
        note = (f"rank 0 is there {len(seen) // len(ranks)} times: the tests were built without "
                "MPI=1, and each process ran alone")  # fmt: skip
        return len(ranks), 1, [note]
    return len(ranks), len(hosts), []


def _ranks_by_factor(lines: Sequence[str], collective: str | None) -> int | None:
    """The ranks out of busbw / algbw of the largest size, where that tells them."""
    best = None
    for line in lines:
        words = line.split()
        if _is_row(line):
            for at in (5, 4):
                if len(words) - at in (4, 8):
                    algbw, busbw = _figure(words[at + 1]), _figure(words[at + 2])
                    if algbw and busbw and algbw > 5:
                        best = busbw / algbw
    if best is None or collective is None:
        return None
    factor = FACTORS[collective]
    close = [n for n in range(2, 4097) if abs(factor(n) / best - 1) < 2e-3]
    return close[0] if len(close) == 1 else None


def _merged(points: Iterable[Point]) -> tuple[Point, ...]:
    """One point a size: of several runs, the median."""
    by_size: dict[int, list[Point]] = {}
    for point in points:
        by_size.setdefault(point.nbytes, []).append(point)
    return tuple(_median(by_size[nbytes]) for nbytes in sorted(by_size))


def _median(points: list[Point]) -> Point:
    ordered = sorted(points, key=lambda point: point.seconds)
    return ordered[len(ordered) // 2]
