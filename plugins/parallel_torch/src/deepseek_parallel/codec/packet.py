"""The largest values of a vector as one packet of bytes, checked as it is read.

| bytes | what |
|---|---|
| 4 | CRC-32 of all that follows |
| 1 | kind: 1 values, 2 "not finite" |
| 4 | how many values; of kind 2, what `encode_bad` was given |
| 8 | smallest and largest magnitude, float32 |
| rest | places (`gaps`), then values (`levels`) |

All numbers are little-endian. The length of the vector is known to who reads it.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Final

import attrs
import numpy as np

from deepseek_core import errors
from deepseek_parallel.codec import gaps, levels
from deepseek_parallel.codec.select import Places, Vector

_VALUES: Final = 1
_NOT_FINITE: Final = 2
_HEAD: Final = struct.Struct("<BIff")
_CRC: Final = struct.Struct("<I")
_HEAD_NBYTES: Final = _CRC.size + _HEAD.size


@attrs.frozen(kw_only=True, eq=False)
class Sparse:
    """Places int64 [K], ascending, and values float32 [K]; `bad` tells of one that has none."""

    places: Places
    values: Vector
    bad: int | None = None


def most_nbytes(length: int, num: int) -> int:
    """Bytes that a packet of up to `num` values out of `length` never exceeds.

    Fewer values take fewer bits, but their three parts may end in the middle of other bytes.
    """
    return _HEAD_NBYTES + gaps.most_nbytes(length, num) + levels.nbytes_of(num) + 2


def encode(places: Places, values: Vector, length: int) -> bytes:
    """The packet of nonzero, finite values at ascending places."""
    codes, low, high = levels.encode(values)
    body = _HEAD.pack(_VALUES, len(places), low, high) + gaps.encode(places, length) + codes
    return _CRC.pack(zlib.crc32(body)) + body


def encode_bad(number: int) -> bytes:
    """The packet of a vector that is not finite; the number says where, as who sends it counts."""
    body = _HEAD.pack(_NOT_FINITE, number, 0.0, 0.0)
    return _CRC.pack(zlib.crc32(body)) + body


def decode(data: bytes | memoryview, length: int) -> Sparse:
    """What a packet holds.

    Raises:
        InputError: it is damaged, or of a vector of another length.
    """
    data = memoryview(data)
    if len(data) < _HEAD_NBYTES:
        raise _damaged(f"{len(data)} bytes are less than its head")
    if _CRC.unpack_from(data)[0] != zlib.crc32(data[_CRC.size :]):
        raise _damaged("its checksum is wrong")
    kind, num, low, high = _HEAD.unpack_from(data, _CRC.size)
    body = data[_HEAD_NBYTES:]
    nothing = np.empty(0, np.int64), np.empty(0, np.float32)
    if kind == _NOT_FINITE and not len(body):
        return Sparse(places=nothing[0], values=nothing[1], bad=num)
    codes_nbytes = levels.nbytes_of(num)
    if kind != _VALUES or num > length or len(body) < codes_nbytes or not _is_range(low, high, num):
        raise _damaged("its head is none")
    split = len(body) - codes_nbytes
    return Sparse(
        places=gaps.decode(body[:split], num, length),
        values=levels.decode(body[split:], num, low, high),
    )


def padded(packet: bytes, nbytes: int) -> bytes:
    """A packet in a slot of fixed size: its length first."""
    return (_CRC.pack(len(packet)) + packet).ljust(nbytes, b"\0")


def unpadded(slot: bytes | memoryview) -> memoryview:
    """The packet in a slot.

    Raises:
        InputError: no packet of that length fits there.
    """
    slot = memoryview(slot)
    nbytes = _CRC.unpack_from(slot)[0]
    if nbytes > len(slot) - _CRC.size:
        raise _damaged(f"it has {nbytes} bytes in a slot of {len(slot)}")
    return slot[_CRC.size : _CRC.size + nbytes]


def slot_nbytes(length: int, num: int) -> int:
    """Bytes of a slot for up to `num` values out of `length`."""
    return _CRC.size + most_nbytes(length, num)


def _is_range(low: float, high: float, num: int) -> bool:
    return math.isfinite(high) and (0 < low <= high if num else low == high == 0)


def _damaged(what: str) -> errors.InputError:
    return errors.InputError(
        f"this is no packet of a gradient, or a damaged one: {what}",
        remedy="see that all ranks have the same version of deepseek-parallel and the same model",
    )
