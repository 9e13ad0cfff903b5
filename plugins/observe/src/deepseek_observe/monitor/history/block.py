"""A block of the history: some rows, packed; a family is read without the others.

    "DSH1" | u32 bytes of the body | u32 CRC-32 of the body | f64 first | f64 last time
    body: u32 bytes of the head | head, JSON in zlib | times | a stream for each family

A stream is float32, rounded to 12 bits of mantissa (an error of 2^-13 at most; rounding bits that
are noise makes them compressible: Klöwer et al. 2021), columns one after another, the four bytes
of each number apart, in zlib. Little endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection
from typing import Any, Final

import attrs
import msgspec
import numpy as np

from deepseek_observe.monitor.families import FAMILIES, Series
from deepseek_observe.monitor.history.table import Table, Values

HEAD: Final = struct.Struct("<4sIIdd")
MAGIC: Final = b"DSH1"
MOST_BYTES: Final = 64 << 20
"""Of a body; a length beyond is damage."""
_MOST_ROWS, _MOST_UNPACKED = 1000, 1 << 28
_DROPPED: Final = 11  # bits of a float32's mantissa of 23


@attrs.frozen(kw_only=True)
class _Stream:
    """Where the columns of a family lie, in the body after the head."""

    labels: list[tuple[str, ...]]
    start: int
    nbytes: int


@attrs.frozen(kw_only=True)
class _Head:
    rows: int
    times_nbytes: int
    families: dict[str, _Stream]


_HEADS: Final = msgspec.json.Decoder(_Head)


def packed(table: Table) -> bytes:
    """The block of a table of a row or more."""
    times = zlib.compress(np.round(table.times * 1e3).astype("<i8").tobytes())
    streams, families, start = [times], {}, len(times)
    by_family: dict[str, list[int]] = {}
    for number, (name, _labels) in enumerate(table.series):
        by_family.setdefault(name, []).append(number)
    for name, columns in by_family.items():
        stream = _packed_values(table.values[:, columns])
        labels = [table.series[number][1] for number in columns]
        families[name] = _Stream(labels=labels, start=start, nbytes=len(stream))
        streams.append(stream)
        start += len(stream)
    found = _Head(rows=len(table.times), times_nbytes=len(times), families=families)
    head = zlib.compress(msgspec.json.encode(found), 9)
    body = b"".join([struct.pack("<I", len(head)), head, *streams])
    first, last = float(table.times.min()), float(table.times.max())
    return HEAD.pack(MAGIC, len(body), zlib.crc32(body), first, last) + body


def unpacked(body: bytes, wanted: Collection[str]) -> Table:
    """The columns of some families.

    Raises:
        ValueError: it is no such body.
    """
    try:
        (nbytes,) = struct.unpack_from("<I", body)
        head = _HEADS.decode(_inflated(body[4 : 4 + nbytes]))
        data = memoryview(body)[4 + nbytes :]
        if not 1 <= head.rows <= _MOST_ROWS:
            raise ValueError(f"{head.rows} rows")
        times = np.frombuffer(_inflated(data[: head.times_nbytes]), "<i8", head.rows)
        parts: list[Values] = []
        series: list[Series] = []
        for name, stream in head.families.items():
            if name in wanted and name in FAMILIES:
                _check_labels(name, stream.labels)
                series += [(name, labels) for labels in stream.labels]
                packed_ = data[stream.start : stream.start + stream.nbytes]
                parts.append(_unpacked_values(packed_, head.rows, len(stream.labels)))
    except (struct.error, zlib.error, msgspec.MsgspecError, TypeError) as error:
        raise ValueError(str(error)) from error
    empty = np.empty((head.rows, 0), np.float32)
    return Table(times=times / 1e3, series=series, values=np.concatenate([empty, *parts], axis=1))


def _check_labels(name: str, labels: list[tuple[str, ...]]) -> None:
    if any(len(one) != len(FAMILIES[name].labels) for one in labels):
        raise ValueError(f"other labels than those of {name}")


def _packed_values(values: Values) -> bytes:
    bits = np.ascontiguousarray(values.T, "<f4").view("<u4")
    half = np.uint32((1 << (_DROPPED - 1)) - 1)
    odd = (bits >> np.uint32(_DROPPED)) & np.uint32(1)
    rounded = (bits + half + odd) & np.uint32(0xFFFFFFFF << _DROPPED & 0xFFFFFFFF)
    rounded = np.where(np.isfinite(values.T), rounded, bits)
    return zlib.compress(rounded.reshape(-1).view(np.uint8).reshape(-1, 4).T.tobytes(), 6)


def _unpacked_values(stream: Any, rows: int, columns: int) -> Values:
    data = np.frombuffer(_inflated(stream), np.uint8)
    if data.size != rows * columns * 4:
        raise ValueError(f"{data.size} bytes for {rows} x {columns} numbers")
    whole = np.ascontiguousarray(data.reshape(4, -1).T)
    values: Values = whole.view("<f4").reshape(columns, rows).T
    return values


def _inflated(data: Any) -> bytes:
    """Unpack, to a bound: a small block can't fill the memory."""
    unpacker = zlib.decompressobj()
    found = unpacker.decompress(data, _MOST_UNPACKED)
    if not unpacker.eof:
        raise ValueError("a stream is cut, or too long")
    return found
