"""The largest values of a vector as one packet of bytes, checked as it is read.

| bytes | what |
|---|---|
| 4 | CRC-32 of all that follows |
| 4 | smallest magnitude, float32; NaN says "not finite" |
| 3 to 9 | 15 bits of the largest magnitude, 2 bits k, then how many values there are |
| some | counts as ones with a zero: above the low bits of each gap, codes of magnitudes >> k |
| rest | fields: the low bits of a gap, 1 for a negative value, the k low bits of its code |

The largest magnitude is the upper half of a float32, without its sign; the number of values takes
as many bits as the length of the vector. All numbers are little-endian. The length is known to who
reads it. A packet that says "not finite" ends in the 4 bytes of a number.

Small magnitudes are by far the most frequent of a gradient's largest values, so that codes take 1.3
to 2.3 bits as ones with a zero. Where they are not, k is more than 0, and they take 4 at most.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors
from deepseek_parallel.codec import bits, gaps, levels
from deepseek_parallel.codec.select import Places, Vector

_CRC: Final = struct.Struct("<I")
_LOW: Final = struct.Struct("<f")
_BAD: Final = struct.Struct("<I")
_FIXED_NBYTES: Final = _CRC.size + _LOW.size
_HIGH_BITS: Final = 15
_K_BITS: Final = 2
_MOST_K: Final = 2
_A_TAIL: Final = 0.1
"""Up to this share of a vector, the largest values are a tail."""
_USUAL_BITS, _MOST_BITS = 2.25, 4.0
"""Of a magnitude: what those in the tail of a normal distribution take, and what any take."""


@attrs.frozen(kw_only=True, eq=False)
class Sparse:
    """Places int64 [K], ascending, and values float32 [K]; `bad` tells of one that has none."""

    places: Places
    values: Vector
    bad: int | None = None


def room_nbytes(length: int, num: int) -> int:
    """Bytes that packets get for up to `num` values out of `length`: the usual ones."""
    magnitude_bits = _USUAL_BITS if num <= _A_TAIL * length else _MOST_BITS
    ones = gaps.usual_ones(length, num) + magnitude_bits * num
    fields = num * (gaps.low_bits(length, num) + 1)
    rest = bits.octets_of(math.ceil(ones)) + bits.octets_of(fields)
    return max(_least_nbytes(length), _FIXED_NBYTES + _counted_nbytes(length) + rest)


def encode(places: Places, values: Vector, length: int) -> bytes:
    """The packet of nonzero, finite values at ascending places."""
    width, num = gaps.low_bits(length, len(places)), len(places)
    low, high = levels.span_of(values)
    codes = levels.codes_of(values, low, high)
    k = min(range(_MOST_K + 1), key=lambda k: int((codes >> k).sum()) + k * num)
    above, below = gaps.split(places, width)
    signed = (values < 0) | (codes & (1 << k) - 1) << 1
    counted = num << _K_BITS | k
    head = (counted << _HIGH_BITS | levels.upper_half(high)).to_bytes(
        _counted_nbytes(length), "little"
    )
    ones = bits.as_ones(np.concatenate([above, codes >> k]))
    fields = bits.as_fields(below | signed << width, width + 1 + k)
    return _summed(_LOW.pack(low) + head + ones + fields)


def encode_within(places: Places, values: Vector, length: int, nbytes: int) -> bytes:
    """The same, without the smallest values where it would take more than `nbytes`."""
    data = encode(places, values, length)
    while len(data) > nbytes and len(places):
        share = (len(data) - nbytes) / max(len(data) - _FIXED_NBYTES, 1)
        drop = min(len(places), max(1, math.ceil(len(places) * share)))
        kept = np.sort(np.argsort(np.abs(values), kind="stable")[drop:])
        places, values = places[kept], values[kept]
        data = encode(places, values, length)
    return data


def encode_bad(number: int) -> bytes:
    """The packet of a vector that is not finite; the number says where, as who sends it counts."""
    return _summed(_LOW.pack(math.nan) + _BAD.pack(number))


def decode(data: bytes | memoryview, length: int) -> Sparse:
    """What a packet holds.

    Raises:
        InputError: it is damaged, or of a vector of another length.
    """
    data = memoryview(data)
    begin = _FIXED_NBYTES + _counted_nbytes(length)
    if len(data) < _FIXED_NBYTES:
        raise _damaged(f"{len(data)} bytes are less than its head")
    if _CRC.unpack_from(data)[0] != zlib.crc32(data[_CRC.size :]):
        raise _damaged("its checksum is wrong")
    (low,) = _LOW.unpack_from(data, _CRC.size)
    if math.isnan(low):
        return _bad(data[_FIXED_NBYTES:])
    head, body = int.from_bytes(data[_FIXED_NBYTES:begin], "little"), data[begin:]
    high = levels.of_upper_half(head & (1 << _HIGH_BITS) - 1)
    num, k = head >> _HIGH_BITS + _K_BITS, head >> _HIGH_BITS & (1 << _K_BITS) - 1
    if len(data) < begin or num > length or k > _MOST_K or not _is_range(low, high, num):
        raise _damaged("its head is none")
    places, codes, is_negative = _read(np.frombuffer(body, np.uint8), num, k, length)
    return Sparse(places=places, values=levels.values_of(codes, is_negative, low, high))


def _read(
    octets: bits.Octets, num: int, k: int, length: int
) -> tuple[Places, bits.Counts, NDArray[np.bool_]]:
    """Places, codes of magnitudes, and which values are negative."""
    width = gaps.low_bits(length, num)
    cut = len(octets) - bits.octets_of(num * (width + 1 + k))
    if cut < 0:
        raise _damaged("it is cut off")
    counts = bits.of_ones(octets[:cut], 2 * num)
    fields = bits.of_fields(octets[cut:], num, width + 1 + k)
    codes = counts[num:] << k | fields >> width + 1
    if num and codes.max() > levels.STEPS:
        raise _damaged("a code is none")
    places = gaps.joined(counts[:num], fields & (1 << width) - 1, width, length)
    return places, codes, (fields >> width & 1).astype(bool)


def _bad(rest: memoryview) -> Sparse:
    if len(rest) != _BAD.size:
        raise _damaged("its head is none")
    (number,) = _BAD.unpack(rest)
    return Sparse(places=np.empty(0, np.int64), values=np.empty(0, np.float32), bad=number)


def _summed(body: bytes) -> bytes:
    return _CRC.pack(zlib.crc32(body)) + body


def _counted_nbytes(length: int) -> int:
    return bits.octets_of(_HIGH_BITS + _K_BITS + length.bit_length())


def _least_nbytes(length: int) -> int:
    """Room for one value at any place, and for what says "not finite"."""
    width = gaps.low_bits(length, 1)
    one = 1 + ((length - 1 if length else 0) >> width) + levels.STEPS + 1
    rest = bits.octets_of(one) + bits.octets_of(width + 2)
    return _FIXED_NBYTES + max(_counted_nbytes(length) + rest, _BAD.size)


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
    """Bytes of a slot for such a packet."""
    return _CRC.size + room_nbytes(length, num)


def _is_range(low: float, high: float, num: int) -> bool:
    return math.isfinite(high) and (0 < low <= high if num else low == high == 0)


def _damaged(what: str) -> errors.InputError:
    return errors.InputError(
        f"this is no packet of a gradient, or a damaged one: {what}",
        remedy="see that all ranks have the same version of deepseek-parallel and the same model",
    )
