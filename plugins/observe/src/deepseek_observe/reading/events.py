"""The events of a Chrome trace (JSON) in pieces of some megabytes, whatever its layout.

A piece is cut between two events. Where one is can't be seen from the bytes alone, as arguments of
an event may hold lists of objects too; but a piece that was cut wrongly is no valid JSON, since its
brackets or quotes do not match. It then grows to the next place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import IO, Any, Final

import msgspec

from deepseek_core import errors

_STEP: Final = 1 << 20
_KEY: Final = re.compile(rb'"traceEvents"\s*:\s*\[')
_BETWEEN: Final = re.compile(rb"\}\s*,\s*\{")
_LONGEST: Final = 64  # bytes of what stands between two events, its spaces included
_MOST: Final = 512 << 20  # bytes of one event, or of what stands around the list of them

Number = int | float | str | None
NO_TIME: Final = msgspec.Raw(b"")
_MOST_NS: Final = 1 << 62
_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Args(msgspec.Struct, gc=False):
    """What is read of an event's arguments; all else is skipped, and never made an object."""

    name: Number = None
    stream: Number = None
    device: Number = None
    correlation: Number = None
    bytes: Number = None
    collective: Number = msgspec.field(default=None, name="Collective name")
    taken: Number = msgspec.field(default=None, name="In msg nelems")
    given: Number = msgspec.field(default=None, name="Out msg nelems")
    dtype: Number = None
    ranks: Number = msgspec.field(default=None, name="Group size")


class Event(msgspec.Struct, gc=False):
    """An event as profilers write it; `ts` and `dur` are microseconds, as they stand there."""

    ph: str = ""
    cat: str = ""
    name: str = ""
    ts: msgspec.Raw = NO_TIME
    dur: msgspec.Raw = NO_TIME
    pid: Number = None
    tid: Number = None
    args: Args | None = None


class Around(msgspec.Struct, gc=False):
    """What a trace says beside its events."""

    traceEvents: list[Event] = []  # noqa: N815 - as the format names it
    distributedInfo: Any = None  # noqa: N815
    deviceProperties: Any = None  # noqa: N815
    baseTimeNanoseconds: Any = None  # noqa: N815


_EVENTS: Final = msgspec.json.Decoder(list[Event])
_AROUND: Final = msgspec.json.Decoder(Around)
_FIELDS: Final = msgspec.structs.fields(Args)
_ANY: Final = msgspec.json.Decoder(Any, float_hook=Decimal)
Tell = Callable[[Around], None]


def events(stream: IO[bytes], name: str, tell: Tell, *, step: int = _STEP) -> Iterator[list[Event]]:
    """Lists of events, each of about `step` bytes; `tell` gets what stands around all of them.

    Raises:
        InputError: it is no trace, or is damaged.
    """
    buffer, before = _begin(stream, name, step)
    if before is not None:
        tell(_whole(before + b"]}", name))
    start = step  # where to look for a place between two events
    while True:
        cut = _BETWEEN.search(buffer, min(start, len(buffer)))
        if cut is None:
            start = max(start, len(buffer) - _LONGEST)
            more = stream.read(step)
            if not more:
                break
            buffer += more
            _check_size(len(buffer), name)
            continue
        piece = _piece(b"[" + buffer[: cut.start() + 1] + b"]")
        if piece is None:
            start = cut.start() + 1
            continue
        yield piece
        buffer, start = buffer[cut.end() - 1 :], step
    if before is None:
        buffer = _closed(buffer) + b"}"
    # With all that follows the list: its end is where the rest is one object.
    rest = _whole(b'{"traceEvents":[' + buffer, name)
    tell(rest)
    yield rest.traceEvents


def _begin(stream: IO[bytes], name: str, step: int) -> tuple[bytes, bytes | None]:
    """The bytes after the bracket that opens the events, and those up to it; None for a list."""
    buffer = stream.read(step).lstrip()
    if buffer[:1] == b"[":
        return buffer[1:], None
    while (found := _KEY.search(buffer)) is None:
        more = stream.read(step) if buffer[:1] == b"{" else b""
        if not more:
            raise errors.InputError(
                f"{name} is no trace: it has no list `traceEvents`",
                remedy="give what torch.profiler's export_chrome_trace wrote, or an export of "
                "Nsight Systems (nsys export --type sqlite)",
            )
        buffer += more
        _check_size(len(buffer), name)
    return buffer[found.end() :], buffer[: found.end()]


def _closed(data: bytes) -> bytes:
    """A bare list, which may lack its end, as the format allows."""
    data = data.rstrip()
    return data if data.endswith(b"]") else data.rstrip(b",") + b"]"


def _piece(data: bytes) -> list[Event] | None:
    """The events of a piece; None if it was cut in a wrong place."""
    try:
        try:
            return _EVENTS.decode(data)
        except msgspec.ValidationError:  # some event is of another form, if it is JSON at all
            return _of_any(_ANY.decode(data))
    except _BROKEN:
        return None


def _whole(data: bytes, name: str) -> Around:
    try:
        try:
            return _AROUND.decode(data)
        except msgspec.ValidationError:
            found = _ANY.decode(data)
            return Around(
                traceEvents=_of_any(found["traceEvents"]),
                **{key: found.get(key) for key in Around.__struct_fields__[1:]},
            )
    except _BROKEN as error:
        raise errors.InputError(
            f"{name} is damaged: {error}",
            remedy="copy the file again, or write the trace again: that of a run that was killed "
            "has no end",
        ) from error


def _of_any(found: Any) -> list[Event]:
    """Events of whatever was in the list; what is none becomes one without a kind."""
    given = found if isinstance(found, list) else []
    return [_event(one) if isinstance(one, dict) else Event() for one in given]


def _event(one: dict[str, Any]) -> Event:
    args = one.get("args")
    texts = {key: one[key] for key in ("ph", "cat", "name") if isinstance(one.get(key), str)}
    return Event(
        **texts,
        ts=_raw(one.get("ts")),
        dur=_raw(one.get("dur")),
        pid=_number(one.get("pid")),
        tid=_number(one.get("tid")),
        args=Args(**{field.name: _number(args.get(field.encode_name)) for field in _FIELDS})
        if isinstance(args, dict)
        else None,
    )


def _raw(value: Any) -> msgspec.Raw:
    return NO_TIME if value is None else msgspec.Raw(msgspec.json.encode(value))


def nanoseconds(microseconds: msgspec.Raw) -> int | None:
    """A time to the last whole nanosecond; None where it is none, or is beyond all clocks."""
    text = bytes(microseconds).strip(b'"')
    whole, _, part = text.partition(b".")
    try:
        if whole.isdigit() and len(part) <= 3 and (part.isdigit() or not part):
            found = int(whole + part.ljust(3, b"0"))
        else:
            exact = Decimal(text.decode("ascii"))
            found = int(exact * 1000) if abs(exact) < _MOST_NS else _MOST_NS
    except (ArithmeticError, ValueError):
        return None
    return found if -_MOST_NS < found < _MOST_NS else None


def _number(value: Any) -> Number:
    if isinstance(value, Decimal):
        return float(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _check_size(size: int, name: str) -> None:
    if size > _MOST:
        raise errors.InputError(
            f"{name} has {_MOST >> 20} MiB without an end of an event",
            remedy="see whether it is a trace: that is a list of small objects",
        )
