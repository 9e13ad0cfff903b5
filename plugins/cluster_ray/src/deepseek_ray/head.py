"""Whether the head of a cluster answers, seen before Ray joins, which waits for minutes for one.

One call over gRPC (its protocol over HTTP/2, RFC 9113, with headers by RFC 7541), written out: the
only client of such calls that Ray has is the one that waits.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Final

from deepseek_core import errors

START: Final = (
    "start one there (ray start --head --port=6379), or name another: --address HOST:PORT"
)
_PATH: Final = b"/ray.rpc.NodeInfoGcsService/CheckAlive"
_FRAME: Final = 9  # bytes before each frame: 3 of length, type, flags, 4 of the stream
_UNAUTHENTICATED: Final = b"grpc-status\x0216"
_DATA, _HEADERS, _RST, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM: Final = 1
_END_HEADERS: Final = 4
_MOST_BYTES: Final = 1 << 14  # of a frame, where nothing else was agreed


def check_head(address: str, limit_s: float, authorization: str = "") -> bool:
    """See that the head of a cluster answers at an address, within a limit in seconds.

    False if it does not let us in: it asks for a token, and `authorization` has not the right one.

    Raises:
        DeviceUnavailable: none does in time.
        ConfigError: an address that is none.
    """
    host, port = split(address)
    try:
        with socket.create_connection((host, port), timeout=limit_s) as connection:
            connection.sendall(_call(address, authorization))
            answer = _answer(_frames(connection, time.monotonic() + limit_s))
    except OSError as error:
        why = "it does not answer" if isinstance(error, TimeoutError) else str(error)
        raise errors.DeviceUnavailable(
            f"no Ray head at {address}: {why} (waited {limit_s:g} s at most)",
            device_id="ray",
            remedy=START,
        ) from error
    if answer is None:
        raise errors.DeviceUnavailable(
            f"what answers at {address} is not a Ray head", device_id="ray", remedy=START
        )
    return answer


def split(address: str) -> tuple[str, int]:
    """Host and port of an address.

    Raises:
        ConfigError: it is none.
    """
    host, _, port = address.rpartition(":")
    is_v6 = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if is_v6 else host
    is_host = bool(host) and "/" not in host and (is_v6 or ":" not in host)
    if not is_host or not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65536:
        raise errors.ConfigError(
            f"{address!r} is not an address of a Ray head",
            remedy="give HOST:PORT as `ray start --head` prints it, such as 10.0.0.5:6379 or "
            "[fd00::5]:6379; this process must run on a node of the cluster (no ray://)",
        )
    return host, int(port)


def _call(address: str, authorization: str) -> bytes:
    """All that a client sends for one call without arguments."""
    headers = [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", _PATH),
        (b":authority", address.encode()), (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    ]  # fmt: skip
    if authorization:
        headers.append((b"authorization", authorization.encode()))
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)
    return (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + _frame(_SETTINGS, 0, 0, b"")
        + _frame(_HEADERS, _END_HEADERS, 1, block)
        + _frame(_DATA, _END_STREAM, 1, b"\0\0\0\0\0")  # not compressed, no bytes
    )


def _text(text: bytes) -> bytes:
    """A length in 7 bits, the rest of a longer one in more bytes, and the text."""
    if len(text) < 127:
        return bytes((len(text),)) + text
    more, length = len(text) - 127, bytearray((127,))
    while more >= 128:
        length.append(more % 128 + 128)
        more //= 128
    return bytes((*length, more)) + text


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + body


def _frames(connection: socket.socket, until_s: float) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and body of each frame; the end if what comes is none."""
    while len(head := _read(connection, _FRAME, until_s)) == _FRAME:
        nbytes = int.from_bytes(head[:3])
        if nbytes > _MOST_BYTES:
            return
        yield head[3], head[4], _read(connection, nbytes, until_s)


def _answer(frames: Iterator[tuple[int, int, bytes]]) -> bool | None:
    """Whether a gRPC server answers the call, or does not let us in; None: it is no such server.

    One that refuses a call, for whatever reason, answers by headers alone.
    """
    for kind, flags, body in frames:
        if kind == _DATA:  # of a message that is not compressed; a page begins otherwise
            return True if body[:1] == b"\0" else None
        if kind in (_RST, _GOAWAY):
            return None
        if kind == _HEADERS and flags & _END_STREAM:
            return _UNAUTHENTICATED not in body
    return None


def _read(connection: socket.socket, count: int, until_s: float) -> bytes:
    got = b""
    while len(got) < count:
        connection.settimeout(max(until_s - time.monotonic(), 1e-3))
        with contextlib.suppress(ConnectionResetError):
            if more := connection.recv(count - len(got)):
                got += more
                continue
        break
    return got
