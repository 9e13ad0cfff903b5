"""A model's bytes without the data of its large tensors, which stay where they are.

Walks protobuf's wire format over a view of the file, so that a model of gigabytes is neither read
nor copied: only what lies between large tensors is. Each hole becomes a reference in the form
that ONNX has for external data (location, offset, length), so that a runtime maps it.

Wire format: https://protobuf.dev/programming-guides/encoding; field numbers: onnx.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_LARGE_BYTES: Final = 4096  # smaller data may be shapes, axes, scales: they are kept

# Message types that may hold a large tensor: field number -> type of what is in it.
_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _SPARSE, _FUNCTION, _TENSOR = range(7)
_INSIDE: Final[Mapping[int, Mapping[int, int]]] = {
    _MODEL: {7: _GRAPH, 25: _FUNCTION},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _FUNCTION: {7: _NODE},
}
# float_data, raw_data, double_data: packed, they are the same bytes. The integers are varints.
_DATA_FIELDS: Final = frozenset({4, 9, 10})
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXTERNAL: Final = b"\x70\x01"  # data_location = EXTERNAL

Pieces = list[bytes | memoryview]


class NotWire(ValueError):
    """The bytes are no protobuf message, or end too early."""


def skeleton(content: memoryview, location: str) -> bytes:
    """The model in `content` with its large tensors as references into the file `location`.

    Raises:
        NotWire: truncated, or no message of the format.
    """
    try:
        pieces = _stripped(content, 0, len(content), _MODEL, location)
    except RecursionError:
        raise NotWire("messages are nested deeper than any parser goes") from None
    return bytes(content) if pieces is None else b"".join(pieces)


def _stripped(view: memoryview, start: int, end: int, kind: int, location: str) -> Pieces | None:
    """The message with holes; None where it has none and can be taken as it is."""
    if kind == _TENSOR:
        return _hollow(view, start, end, location)
    inside = _INSIDE[kind]
    pieces: Pieces = []
    taken = at = start  # all before `taken` is in `pieces`
    while at < end:
        field_start = at
        tag, at = _tag(view, at, end)
        if tag & 7 != _BYTES:
            at = _skip(view, at, end, tag & 7)
            continue
        length, at = _varint(view, at, end)
        inner_start, at = at, at + length
        if at > end:
            raise NotWire("a field ends beyond its message")
        if length < _LARGE_BYTES or (tag >> 3) not in inside:
            continue
        inner = _stripped(view, inner_start, at, inside[tag >> 3], location)
        if inner is not None:
            pieces += [view[taken:field_start], _head(tag, sum(map(len, inner))), *inner]
            taken = at
    return [*pieces, view[taken:end]] if pieces else None


def _hollow(view: memoryview, start: int, end: int, location: str) -> Pieces | None:
    """A tensor with its data as a reference; None where the data is small or in several parts."""
    found: list[tuple[int, int, int]] = []  # field start, data start, data end
    at = start
    while at < end:
        field_start = at
        tag, at = _tag(view, at, end)
        if tag & 7 != _BYTES:
            if tag >> 3 in _DATA_FIELDS:
                return None  # not packed
            at = _skip(view, at, end, tag & 7)
            continue
        length, data_start = _varint(view, at, end)
        at = data_start + length
        if at > end:
            raise NotWire("a field ends beyond its tensor")
        if tag >> 3 in _DATA_FIELDS:
            found.append((field_start, data_start, at))
    if len(found) != 1 or found[0][2] - found[0][1] < _LARGE_BYTES:
        return None
    field_start, data_start, data_end = found[0]
    reference = _reference(location, data_start, data_end - data_start)
    return [view[start:field_start], view[data_end:end], reference]


def _reference(location: str, offset: int, length: int) -> bytes:
    entries = (("location", location), ("offset", str(offset)), ("length", str(length)))
    made = (_text(1, key) + _text(2, value) for key, value in entries)
    return b"".join(_head(13 << 3 | _BYTES, len(entry)) + entry for entry in made) + _EXTERNAL


def _text(field: int, text: str) -> bytes:
    content = text.encode()
    return _head(field << 3 | _BYTES, len(content)) + content


def _head(tag: int, length: int) -> bytes:
    return _written(tag) + _written(length)


def _written(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _tag(view: memoryview, at: int, end: int) -> tuple[int, int]:
    """Number and wire type of the field at `at`, and where its content starts."""
    tag, at = _varint(view, at, end)
    if not tag >> 3:  # so a file of zeros ends here, not after a walk over all of it
        raise NotWire("a field has the number 0")
    return tag, at


def _varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    """The number at `at`, and where it ends."""
    number = shift = 0
    while at < end and shift < 70:
        byte = view[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise NotWire("a number does not end")


def _skip(view: memoryview, at: int, end: int, wire: int) -> int:
    if wire == _VARINT:
        return _varint(view, at, end)[1]
    if wire not in (_FIXED64, _FIXED32):
        raise NotWire(f"wire type {wire}")
    at += 8 if wire == _FIXED64 else 4
    if at > end:
        raise NotWire("a number ends beyond its message")
    return at
