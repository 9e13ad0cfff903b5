"""Receives what the engines of this user's processes tell; what comes is checked here."""

from __future__ import annotations

import logging
import math
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from deepseek_core import errors
from deepseek_observe.monitor.wire.folder import SUFFIX, folder, is_private

_LOG = logging.getLogger(__name__)
_ROOM: Final = 4 << 20
"""Bytes that the kernel is asked to keep for us; it may give less."""
_LONGEST_ADDRESS: Final = 107  # of a unix socket
_LONGEST_NAME: Final = 64
_MOST_FIELDS: Final = 64


@attrs.frozen(kw_only=True)
class Told:
    """An event of another process: its type's name and its fields, as plain JSON values."""

    type: str
    pid: int
    time_s: float
    fields: Mapping[str, Any] = attrs.field(factory=dict)


_TOLD: Final = msgspec.json.Decoder(Told)


def told(data: bytes) -> Told | None:
    """An event from a datagram, None if it is none: names are words, numbers are finite."""
    try:
        found = _TOLD.decode(_without_nan(data))
    except (msgspec.MsgspecError, RecursionError):
        return None
    if not _is_word(found.type) or not math.isfinite(found.time_s) or found.pid < 0:
        return None
    fields = {n: v for n, v in found.fields.items() if _is_word(n)}
    return attrs.evolve(found, fields=dict(list(fields.items())[:_MOST_FIELDS]))


def _without_nan(data: bytes) -> bytes:
    """Python's JSON has three numbers that JSON has not: a loss may be one of them."""
    if b"NaN" not in data and b"Infinity" not in data:
        return data
    import json

    with suppress(ValueError, RecursionError):
        return msgspec.json.encode(json.loads(data, parse_constant=str))
    return data


def _is_word(name: str) -> bool:
    return name.isascii() and name.isidentifier() and len(name) <= _LONGEST_NAME


class Receiver:
    """A socket in the folder, and a thread that reads it.

    Raises:
        ConfigError: the folder is not private, or the name is too long for a socket.
    """

    def __init__(self, take: Callable[[Told | None], None]) -> None:
        self._take = take
        self._path = _own_path()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        self._socket.bind(str(self._path))
        self._socket.settimeout(0.5)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; nobody finds the socket any more."""
        self._ended = True
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(b"", str(self._path))  # the thread wakes up
        self._thread.join(1.0)
        self._path.unlink(missing_ok=True)
        self._socket.close()

    def _run(self) -> None:
        while not self._ended:
            try:
                data = self._socket.recv(1 << 17)
            except TimeoutError:
                continue
            if not self._ended:
                try:
                    self._take(told(data))
                except Exception:  # noqa: BLE001  # one event's fault must not end the listening
                    _LOG.exception("an event could not be taken")


def _own_path() -> Path:
    place = folder()
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(place, error.strerror or str(error)) from error
    if not is_private(place):
        raise _unusable(place, "it is not a folder of yours alone (mode 0700)")
    path = place / f"{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
    if len(os.fsencode(path)) > _LONGEST_ADDRESS:
        raise _unusable(place, f"a socket's path may have {_LONGEST_ADDRESS} bytes")
    for left in _left_behind(place):
        left.unlink(missing_ok=True)
    return path


def _left_behind(place: Path) -> Iterator[Path]:
    """Sockets of monitors that were killed."""
    for path in place.glob(f"*{SUFFIX}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                yield path
            except OSError:
                continue


def _unusable(place: Path, why: str) -> errors.ConfigError:
    return errors.ConfigError(
        f"no events can be received in {place}: {why}",
        remedy="DEEPSEEK_RUNTIME_DIR=$HOME/.ds-run ds-sdk monitor",
    )
