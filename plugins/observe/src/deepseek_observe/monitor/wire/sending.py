"""Hands each event to the monitors of this user, as a datagram; without one, to nobody.

It must cost a program next to nothing: the folder of sockets is looked at once in a second at most,
nothing waits, and what a monitor has no space for is dropped.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deepseek_observe.monitor.wire.folder import SUFFIX, folder, is_private

if TYPE_CHECKING:
    import socket

    from deepseek_core import events

_EVERY_S: Final = 1.0
MOST_BYTES: Final = 60_000
"""Of a datagram; of a larger event only its type is sent."""


class Sender:
    """Knows who listens.

    `_seen` is when the folder was last changed (nanoseconds), as far as we know; None: it is not
    there, or not for us.
    """

    def __init__(self) -> None:
        self._listening: list[str] = []
        self._seen: int | None = None
        self._next_s = float("-inf")

    def send(self, event: events.Event) -> None:
        """Send it to each; never waits, never raises for what a monitor does."""
        if time.monotonic() >= self._next_s:
            self._look()
        if not self._listening:
            return
        import socket  # no program waits for it without a monitor

        data = encoded(event)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            for address in list(self._listening):
                self._send(sender, data, address)

    def _send(self, sender: socket.socket, data: bytes, address: str) -> None:
        try:
            sender.sendto(data, address)
        except BlockingIOError:
            return  # it has no room: dropped
        except OSError:
            if address in self._listening:
                self._listening.remove(address)  # it ended without a word

    def _look(self) -> None:
        self._next_s = time.monotonic() + _EVERY_S
        place = folder()
        try:
            changed = place.stat().st_mtime_ns
        except OSError:
            self._seen, self._listening = None, []
            return
        if changed != self._seen:
            self._seen = changed
            self._listening = _listening(place)


def _listening(place: Path) -> list[str]:
    if not is_private(place):
        return []
    try:
        return sorted(str(path) for path in place.iterdir() if path.suffix == SUFFIX)
    except OSError:
        return []


def encoded(event: events.Event) -> bytes:
    """An event as JSON: its type, its process, its fields."""
    import json

    import attrs

    kind = type(event).__name__
    told: dict[str, Any] = {"type": kind, "pid": os.getpid(), "time_s": event.time_s}
    fields = attrs.asdict(event)
    fields.pop("time_s", None)
    data = json.dumps({**told, "fields": fields}, skipkeys=True, default=str).encode()
    return data if len(data) <= MOST_BYTES else json.dumps(told).encode()


SENDER: Final = Sender()
