"""The server's end of a connection: it never waits, whatever the worker does."""

from __future__ import annotations

import socket
from typing import Final

from deepseek_parallel.elastic import wire
from deepseek_parallel.server.frames import HEAD_NBYTES, BadFrame, Head

_MOST_UNSENT: Final = 64
"""Messages for a worker that does not read; only one of them holds weights."""


class Connection:
    """Messages of one worker; `worker` is its number, None until it has joined."""

    def __init__(self, peer: socket.socket, full_nbytes: int, now_s: float) -> None:
        peer.setblocking(False)
        wire.at_once(peer)
        self.peer, self.since_s = peer, now_s
        self.worker: int | None = None
        self.is_waiting = False  # it has asked for a batch
        self.is_closing = False  # once all is sent, and the worker has heard it
        self.told_s = now_s  # when it was last sent something
        self._full_nbytes = full_nbytes
        self._head: Head | None = None
        self._filling, self._filled = bytearray(HEAD_NBYTES), 0
        self._unsent: list[memoryview] = []

    def read(self) -> tuple[Head, bytearray] | None:
        """The next whole message; None while it is still on its way.

        Raises:
            OSError: the connection has ended.
            BadFrame: the peer is no worker of this training.
        """
        while True:
            while self._filled < len(self._filling):
                with memoryview(self._filling)[self._filled :] as rest:
                    try:
                        count = self.peer.recv_into(rest)
                    except BlockingIOError:
                        return None
                if not count:
                    raise ConnectionResetError("it has ended")
                self._filled += count
            data, head, self._filled = self._filling, self._head, 0
            if head is not None:
                self._head, self._filling = None, bytearray(HEAD_NBYTES)
                return head, data
            head = Head.read(data, self._full_nbytes)
            if self.worker is None and head.nbytes == self._full_nbytes:
                raise BadFrame("a gradient of who has not joined")
            self._head, self._filling = head, bytearray(head.nbytes)

    def send(self, now_s: float, *parts: bytes) -> None:
        """Send what can be sent at once, and keep the rest for `flush`.

        Raises:
            OSError: the connection has ended.
        """
        if len(self._unsent) > _MOST_UNSENT:
            return  # it only misses that the server still waits
        self.told_s = now_s
        self._unsent += [memoryview(part) for part in parts]
        self.flush()

    def flush(self) -> None:
        """Send what the network takes.

        Raises:
            OSError: the connection has ended.
        """
        while self._unsent:
            try:
                count = self.peer.send(self._unsent[0])
            except BlockingIOError:
                return
            self._unsent[0] = self._unsent[0][count:]
            if not self._unsent[0]:
                self._unsent.pop(0)

    def end(self, now_s: float) -> None:
        """Say no more; what still comes is read, else the worker would lose what was said.

        Raises:
            OSError: the connection has ended.
        """
        self.since_s = now_s
        self.peer.shutdown(socket.SHUT_WR)

    def discard(self) -> None:
        """Read what comes, and forget it.

        Raises:
            OSError: the connection has ended.
        """
        while True:
            try:
                if not self.peer.recv(1 << 16):
                    raise ConnectionResetError("it has ended")
            except BlockingIOError:
                return

    @property
    def has_unsent(self) -> bool:
        """Whether something still waits to be sent."""
        return bool(self._unsent)
