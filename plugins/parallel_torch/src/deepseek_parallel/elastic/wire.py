"""Messages of workers and roster: objects of JSON, one a line, over TCP."""

from __future__ import annotations

import json
import socket
from typing import Any, Final

Message = dict[str, Any]

ADDRESS: Final = "DEEPSEEK_ROSTER"
RUN: Final = "DEEPSEEK_RUN"
LIMIT: Final = "DEEPSEEK_LIMIT_S"
FILES: Final = "DEEPSEEK_FILES"
"""Variables that the launcher sets for its workers: the roster, the token of the run, how long to
wait until enough are there, and files whose content all must share."""

MOST_NBYTES: Final = 1 << 20
"""Of a line: the names of about 20,000 members."""


class BadMessage(ValueError):
    """A line that is no message."""


class Lines:
    """What came in on a connection, cut into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def fed(self, data: bytes) -> list[Message]:
        """The messages that end in these bytes.

        Raises:
            BadMessage: it is no object of JSON with a `kind`, or too long.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MOST_NBYTES:
            raise BadMessage("a line is too long")
        return [_message(line) for line in lines]


def sent(message: Message) -> bytes:
    """A message as a line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def at_once(connection: socket.socket) -> None:
    """Send small messages when they are given."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def within(connection: socket.socket, limit_s: float) -> None:
    """End the connection where what was sent is not received in time, as by a machine cut off."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limit_s * 1000))


def address_of(text: str) -> tuple[str, int]:
    """Host and port of "host:port".

    Raises:
        ValueError: it is something else.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _message(line: bytes) -> Message:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadMessage("a line is not JSON") from error
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise BadMessage("a message has no kind")
    return message
