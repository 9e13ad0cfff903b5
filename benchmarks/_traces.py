"""Block and cache traces for the benchmarks of the store.

`load` gives a trace as a sequence of ids, as a cache or a prefetcher sees them; `load_requests`
gives a block trace as byte ranges, as shard sizing needs them. Files are looked up in the folder
given by `--traces`, then among those that lie in the repository.
"""

from __future__ import annotations

import argparse
import gzip
import io
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent.parent / "tests" / "data" / "traces"
BLOCK_NBYTES = 64 << 10
SECTOR_NBYTES = 512
DEVICE_SHIFT = 36  # the devices of one trace lie 64 GiB apart in one address space
NAMES = (
    "cloudphysics",
    "search",
    "multi3",
    "sprite",
    "loop",
    "orm-busy",
    "web07",
    "scarab",
    "adaptsize",
)
BLOCK_NAMES = ("cloudphysics", "search")
_FILES = {
    "cloudphysics": "cloudPhysicsIO.vscsi",
    "search": "mqsim-wsrch-small.trace",
    "multi3": "lirs-multi3.trace.gz",
    "sprite": "lirs-sprite.trace.gz",
    "orm-busy": "cache2k-orm-busy.trace.xz",
    "web07": "cache2k-web07.trace.xz",
    "scarab": "scarab-scarab-recs.trace.xz",
    "adaptsize": "adapt_size-request.trace.xz",
}
_LOOP_BLOCKS, _LOOP_ROUNDS = 1011, 500


class TraceMissing(FileNotFoundError):
    """No such trace at hand."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Ids in the order of their use: 64 KiB blocks of a disk, or keys.

    `ids` int64[n]. `nbytes` int64[n] is the size of each object; a constant where the trace
    knows none.
    """

    name: str
    ids: NDArray[np.int64]
    nbytes: NDArray[np.int64]
    sized: bool
    """Whether the sizes are the trace's own."""

    @property
    def footprint(self) -> int:
        """Number of different ids."""
        return len(np.unique(self.ids))

    def head(self, length: int) -> Trace:
        """The first `length` requests."""
        return Trace(
            name=self.name, ids=self.ids[:length], nbytes=self.nbytes[:length], sized=self.sized
        )


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Byte ranges of one address space in the order of their use; four columns of one length.

    `start_s` since the first request. Requests of several devices lie `1 << DEVICE_SHIFT` apart.
    """

    name: str
    offset: NDArray[np.int64]
    nbytes: NDArray[np.int64]
    start_s: NDArray[np.float64]
    write: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.offset)

    def blocks(self, block_nbytes: int = BLOCK_NBYTES) -> NDArray[np.int64]:
        """Ids of the blocks that each request touches, in order."""
        first = self.offset // block_nbytes
        count = (self.offset + self.nbytes - 1) // block_nbytes - first + 1
        begin = np.cumsum(count) - count
        return np.repeat(first - begin, count) + np.arange(int(count.sum()), dtype=np.int64)


def load(name: str, folder: Path | None = None) -> Trace:
    """A trace by its name (see `NAMES`), whole.

    Raises:
        TraceMissing: its file is in neither folder.
    """
    if name in BLOCK_NAMES:
        return _even(name, load_requests(name, folder).blocks())
    if name == "loop":  # the LIRS trace of that name is exactly this
        return _even(name, np.tile(np.arange(_LOOP_BLOCKS, dtype=np.int64), _LOOP_ROUNDS))
    data = _read(name, folder)
    if name == "adaptsize":  # time, id, size as text
        columns = np.array(data.split(), dtype=np.int64).reshape(-1, 3)
        return Trace(name=name, ids=columns[:, 1], nbytes=columns[:, 2], sized=True)
    if name in ("orm-busy", "web07"):  # 32-bit numbers, the most significant byte first
        return _even(name, np.frombuffer(data, ">u4").astype(np.int64))
    if name == "scarab":  # 64-bit hashes
        return _even(name, np.frombuffer(data, ">i8").astype(np.int64))
    return _even(name, np.array([int(x) for x in data.split() if x != b"*"], dtype=np.int64))


def load_requests(name: str, folder: Path | None = None) -> Requests:
    """A block trace (see `BLOCK_NAMES`) as byte ranges.

    Raises:
        TraceMissing: its file is in neither folder.
    """
    data = _read(name, folder)
    if name == "cloudphysics":
        return _vscsi(name, data)
    if name == "search":
        return _mqsim(name, data)
    raise TraceMissing(f"{name} is no block trace; there are {', '.join(BLOCK_NAMES)}")


def load_all(
    folder: Path | None = None, names: Sequence[str] = NAMES, *, longest: int | None = None
) -> Iterator[Trace]:
    """The traces at hand, at most `longest` requests of each; says which are missing."""
    for name in names:
        try:
            trace = load(name, folder)
        except TraceMissing as error:
            print(f"left out: {error}")
            continue
        yield trace if longest is None else trace.head(longest)


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--traces FOLDER`."""
    parser.add_argument(
        "--traces", type=Path, metavar="FOLDER", help="further traces (tests/data/traces/README.md)"
    )


def _even(name: str, ids: NDArray[np.int64]) -> Trace:
    nbytes = np.full(len(ids), BLOCK_NBYTES, dtype=np.int64)
    return Trace(name=name, ids=np.ascontiguousarray(ids), nbytes=nbytes, sized=False)


def _read(name: str, folder: Path | None) -> bytes:
    if name not in _FILES:
        raise TraceMissing(f"there is no trace {name!r}; there are {', '.join(NAMES)}")
    for place in (folder, HERE):
        if place is not None and (path := place / _FILES[name]).exists():
            return _unpacked(path)
    raise TraceMissing(f"{name}: no {_FILES[name]} at hand; give its folder by --traces")


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    return lzma.decompress(data) if path.suffix == ".xz" else data


# VMware's vSCSI trace, version 1.
_VSCSI = np.dtype(
    [
        ("serial", "<u4"),
        ("nbytes", "<u4"),
        ("parts", "<u4"),
        ("command", "<u2"),
        ("version", "<u2"),
        ("sector", "<u8"),
        ("time_us", "<u8"),
    ]
)
_SCSI_WRITES = (0x0A, 0x2A, 0x8A)


def _vscsi(name: str, data: bytes) -> Requests:
    rows = np.frombuffer(data, _VSCSI)
    time_us = rows["time_us"].astype(np.int64)
    return Requests(
        name=name,
        offset=rows["sector"].astype(np.int64) * SECTOR_NBYTES,
        nbytes=rows["nbytes"].astype(np.int64),
        start_s=(time_us - time_us[0]) / 1e6,
        write=np.isin(rows["command"], _SCSI_WRITES),
    )


def _mqsim(name: str, data: bytes) -> Requests:
    """Lines of time in ns, device, first sector, sectors, and 1 for a read."""
    columns = np.loadtxt(io.BytesIO(data), dtype=np.int64)
    time_ns, device, sector, sectors, read = columns.T
    return Requests(
        name=name,
        offset=(device << DEVICE_SHIFT) + sector * SECTOR_NBYTES,
        nbytes=sectors * SECTOR_NBYTES,
        start_s=(time_ns - time_ns[0]) / 1e9,
        write=read == 0,
    )
