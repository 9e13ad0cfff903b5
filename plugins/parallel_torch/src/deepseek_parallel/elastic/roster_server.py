"""The process that holds the roster, outside of the workers: one thread, no torch.

It ends when it is told to, or when it was left alone: the process that started it is gone, and
nobody is a member for a minute.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from deepseek_parallel.elastic import wire
from deepseek_parallel.elastic.roster import Message, Roster, Rules

_TICK_S: Final = 0.05
_ALONE_S: Final = 60.0
_MOST_UNSENT: Final = 8 << 20  # bytes for a worker that does not read


class _Connection:
    """A worker's connection; `name` is None until it has told who it is."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer, self.lines, self.unsent = peer, wire.Lines(), b""
        self.name: str | None = None


class RosterServer:
    """Reads what workers tell, asks the roster, and sends what it says."""

    def __init__(
        self, roster: Roster, listener: socket.socket, run: str, job: Message | None = None
    ) -> None:
        self._roster, self._listener, self._run, self._job = roster, listener, run, job or {}
        self._by_name: dict[str, _Connection] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)

    def turn(self) -> None:
        """Take in what has come, and only then see who was silent."""
        for key, events in self._selector.select(_TICK_S):
            if key.data is None:
                self._accept()
            elif events & selectors.EVENT_WRITE:
                self._flush(key.data)
            else:
                self._read(key.data)
        self._deliver(self._roster.tick(time.monotonic()))

    @property
    def num_connected(self) -> int:
        """Workers that are connected."""
        return len(self._by_name)

    def close(self) -> None:
        """Close all connections."""
        for key in list(self._selector.get_map().values()):
            self._selector.unregister(key.fileobj)
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _accept(self) -> None:
        try:
            peer, _ = self._listener.accept()
        except OSError:  # it has gone already
            return
        peer.setblocking(False)
        wire.at_once(peer)
        self._selector.register(peer, selectors.EVENT_READ, _Connection(peer))

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.peer.recv(1 << 16)
            messages = connection.lines.fed(data)
        except BlockingIOError:
            return
        except (OSError, wire.BadMessage):
            data, messages = b"", []
        try:
            for message in messages:
                self._take(connection, message)
        except (KeyError, TypeError, AttributeError):  # not a worker of ours
            data = b""
        if not data:
            self._drop(connection)

    def _take(self, connection: _Connection, message: Message) -> None:
        roster, now_s, kind = self._roster, time.monotonic(), message["kind"]
        if connection.name is None:
            self._hello(connection, message)
            return
        deeds: dict[str, Callable[[str], list[tuple[str, Message]]]] = {
            "beat": lambda name: roster.beat(name, now_s),
            "ready": lambda name: roster.ready(name, message["epoch"]),
            "renew": lambda name: roster.renew(name, message["epoch"], now_s),
            "store": lambda name: roster.store(name, message["epoch"], message["address"]),
            "leave": lambda name: roster.leave(name, now_s),
        }
        self._deliver(deeds[kind](connection.name))

    def _hello(self, connection: _Connection, message: Message) -> None:
        """Take the first message of a connection, which says of which run it is."""
        if not hmac.compare_digest(str(message["run"]), self._run):
            self._send(connection, {"kind": "refused", "why": "it is of another run"})
            self._drop(connection)
            return
        if message["kind"] == "count":
            self._send(connection, {"kind": "count", "seen": self._roster.num_seen})
            self._drop(connection)
            return
        if message["kind"] == "job":
            self._send(connection, {**self._job, "kind": "job"})
            self._drop(connection)
            return
        name, host, version = message["name"], message["host"], message["version"]
        old, self._by_name[name] = self._by_name.get(name), connection
        connection.name = name
        if old is not None:
            old.name = None
            self._drop(old)
        now_s = time.monotonic()
        if message["kind"] == "join":
            self._deliver(self._roster.join(name, host, version, now_s))
        else:
            self._deliver(self._roster.back(name, host, version, message["known"], now_s))

    def _deliver(self, messages: Sequence[tuple[str, Message]]) -> None:
        for name, message in messages:
            if name in self._by_name:
                self._send(self._by_name[name], message)

    def _send(self, connection: _Connection, message: Message) -> None:
        connection.unsent += wire.sent(message)
        self._flush(connection)

    def _flush(self, connection: _Connection) -> None:
        if connection.peer.fileno() < 0:
            return
        try:
            count = connection.peer.send(connection.unsent)
        except BlockingIOError:
            count = 0
        except OSError:
            return  # its end comes as something to read
        connection.unsent = connection.unsent[count:]
        if len(connection.unsent) > _MOST_UNSENT:
            self._drop(connection)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.unsent else 0)
        self._selector.modify(connection.peer, wanted, connection)

    def _drop(self, connection: _Connection) -> None:
        if connection.peer.fileno() < 0:
            return
        self._selector.unregister(connection.peer)
        connection.peer.close()
        if connection.name is not None:
            del self._by_name[connection.name]
            self._deliver(self._roster.gone(connection.name, time.monotonic()))


def listening(host: str, port: int) -> socket.socket:
    """A listener; port 0 is any that is free.

    Raises:
        OSError: the address can't be used, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def serve(server: RosterServer) -> None:
    """Go on until the process that started this is gone and nobody is there for a minute."""
    parent, alone_s = os.getppid(), time.monotonic()
    while time.monotonic() - alone_s < _ALONE_S:
        server.turn()
        if os.getppid() == parent or server.num_connected:
            alone_s = time.monotonic()


def main(argv: Sequence[str]) -> int:
    """Command line of the process; it prints its port when it can be reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--least", type=int, required=True)
    parser.add_argument("--most", type=int, required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--lost-after", type=float, required=True)
    parser.add_argument("--quiet", type=float, default=0.0)
    args = parser.parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher ends it after the workers
    told = json.loads(sys.stdin.readline())  # not in the command line, which others can see
    try:
        listener = listening(args.host, args.port)
    except OSError as error:
        _say(f"error {error.strerror}")
        return 1
    rules = Rules(
        least=args.least, most=args.most, first=args.first, lost_after_s=args.lost_after,
        quiet_s=args.quiet,
    )  # fmt: skip
    roster = Roster(rules=rules, start_s=time.monotonic(), home=args.host)
    server = RosterServer(roster, listener, told["run"], told["job"])
    _say(f"port {listener.getsockname()[1]}")
    serve(server)
    server.close()
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
