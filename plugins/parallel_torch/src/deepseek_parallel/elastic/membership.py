"""A worker's side of the roster: a thread that is heard there, and what it was told.

While the roster can't be reached, the thread tries again and the training goes on; only a change of
the membership waits for it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from typing import Any, Final

import attrs

from deepseek_core import errors
from deepseek_parallel import lost
from deepseek_parallel.elastic import wire
from deepseek_parallel.elastic.wire import Message
from deepseek_parallel.errors import CodeMismatch, JoinRefused, NotAMember, RankLost

_RETRY_S: Final = 0.1
_CONNECT_S: Final = 2.0
_UNHEARD_S: Final = 10.0
"""How long what was sent to the roster may be on its way, before the connection counts as lost."""
_ALONE_S: Final = 300.0
"""How long a member goes on without a roster while its steps do not; then it gives up its group."""
_STUCK_S: Final = 30.0
"""How long a step may still wait for others once all connections of its group have ended."""
_open: weakref.WeakSet[Membership] = weakref.WeakSet()


@attrs.frozen
class Formation:
    """A membership: `members` by rank, and which of them were `ready`, that is, had a state."""

    epoch: int
    members: tuple[str, ...]
    ready: frozenset[str]


class Membership:
    """Keeps this worker a member of a run at the roster at `address`.

    `ended` is called, by the thread, with the epoch that has come to its end, and again until
    another one begins. `beat_s` is how often the roster hears of this worker.
    """

    def __init__(
        self, address: str, run: str, version: str, *, beat_s: float, ended: Callable[[int], None]
    ) -> None:
        try:
            self._address = wire.address_of(address)
        except ValueError as error:
            raise errors.ConfigError(
                f"the address of the roster: {error}", remedy="start the script by the launcher"
            ) from error
        self.name, self.host = uuid.uuid4().hex, ""  # host: the address that the roster sees
        self._run, self._version, self._beat_s, self._ended = run, version, beat_s, ended
        self._formation = Formation(0, (), frozenset())  # the last one that was told
        self._waits = True  # for the next formation
        self._end: tuple[str, str] | None = None  # kind and why, after which nothing more comes
        self._broken = self._changed = -1  # epochs
        self._said: dict[str, Message] = {}  # of this epoch, to be said again to another roster
        self._store = ""
        self._news = threading.Condition()  # something was told, or the connection has ended
        self._peer: socket.socket | None = None  # the connection to the roster
        self._seen_s = self._turn_s = time.monotonic()  # when the roster was, and a step began
        self._ended_s: float | None = None  # when the epoch came to its end
        self._closed, self._left = threading.Event(), threading.Event()
        _open.add(self)
        threading.Thread(target=self._work, name="deepseek-roster", daemon=True).start()

    def next(self, until_s: float) -> Formation:
        """Ask for the next membership, and wait until it begins; `until_s` is monotonic.

        Raises:
            NotAMember: the others went on without this worker.
            CodeMismatch, JoinRefused: they do not take it.
            RankLost: there are too few, or the roster does not answer.
        """
        epoch = self._formation.epoch
        with self._news:
            self._waits = True
        if epoch:
            self._say({"kind": "renew", "epoch": epoch})
        self._wait(lambda: self._formation.epoch > epoch, until_s, "no membership began")
        return self._formation

    def tell_store(self, address: str) -> None:
        """Tell the other members of the epoch where they meet."""
        self._say({"kind": "store", "epoch": self._formation.epoch, "address": address})

    def store(self, until_s: float) -> str:
        """Where the members of the epoch meet, as rank 0 tells.

        Raises:
            RankLost: it does not tell, or the epoch has ended.
        """
        self._wait(lambda: bool(self._store) or self.is_broken, until_s, "rank 0 does not answer")
        if self.is_broken:
            raise RankLost("a rank was lost while the others met")
        return self._store

    def tell_ready(self) -> None:
        """Tell that this member has the state of the training; before each step."""
        self._turn_s = time.monotonic()
        if "ready" not in self._said:
            self._say({"kind": "ready", "epoch": self._formation.epoch})

    @property
    def is_broken(self) -> bool:
        """Whether the epoch has ended."""
        return self._broken == self._formation.epoch or self._end is not None

    @property
    def is_changed(self) -> bool:
        """Whether a worker waits to become a member, or a member has left."""
        return self._changed == self._formation.epoch or self.is_broken

    def leave(self) -> None:
        """Be a member no more."""
        self._say({"kind": "leave"})
        self.close()

    def close(self) -> None:
        """End the connection; to the others this worker is lost, if it has not left."""
        self._closed.set()
        self._left.set()
        with self._news:
            if self._peer is not None:
                with contextlib.suppress(OSError):
                    self._peer.shutdown(socket.SHUT_RDWR)

    def _wait(self, is_done: Callable[[], bool], until_s: float, what: str) -> None:
        with self._news:
            while not is_done():
                if self._end is not None:
                    raise _error(*self._end)
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    where = "{}:{}".format(*self._address)
                    told = "" if self._peer is not None else f"; nobody answers at {where}"
                    raise RankLost(
                        f"{what} in time{told}",
                        remedy="see the logs of the other ranks and of the launcher; a longer "
                        "limit lets ranks come later",
                    )
                self._news.wait(left_s)

    def _say(self, message: Message) -> None:
        """Send, now or when the roster is there again."""
        with self._news:
            self._said[message["kind"]] = message
            if self._peer is not None:
                with contextlib.suppress(OSError):  # the thread connects again
                    self._peer.sendall(wire.sent(message))

    def _work(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(OSError, wire.BadMessage):
                self._stay()
            self._closed.wait(_RETRY_S)
            if time.monotonic() - max(self._seen_s, self._turn_s) > _ALONE_S:
                self._give_up()
            self._end_if_stuck()
        while not self._left.wait(1.0):  # told that it is no member any more
            self._end_if_stuck()

    def _end_if_stuck(self) -> None:
        """End this process if a step still waits for others though it has been set free.

        gloo has been seen to lose the news that all connections have ended, and its wait has no
        limit. To the launcher this is a worker that was killed.
        """
        since_s = lost.waits_since()
        if self._ended_s is None or since_s is None:
            return
        if time.monotonic() - max(since_s, self._ended_s) > _STUCK_S:
            sys.stderr.write(
                "this rank waits for others although its connections to them have ended; its "
                "process ends, as nothing else ends that wait\n"
            )
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    def _give_up(self) -> None:
        """Set free a step that waits for machines which this one, cut off, does not reach."""
        with self._news:
            self._broken = self._formation.epoch
            self._ended_s = self._ended_s or time.monotonic()
            self._news.notify_all()
        self._ended(self._formation.epoch)

    def _stay(self) -> None:
        """Be connected until the connection ends."""
        with socket.create_connection(self._address, _CONNECT_S) as peer:
            wire.at_once(peer)
            wire.within(peer, _UNHEARD_S)
            self.host = self.host or peer.getsockname()[0]
            with self._news:
                peer.sendall(b"".join(map(wire.sent, self._greeting())))
                self._peer = peer
            try:
                self._listen(peer)
            finally:
                with self._news:
                    self._peer, self._seen_s = None, time.monotonic()

    def _greeting(self) -> list[Message]:
        told = {"run": self._run, "name": self.name, "host": self.host, "version": self._version}
        formed = self._formation
        if not formed.epoch:
            return [{"kind": "join", **told}]
        known = {"epoch": formed.epoch, "members": formed.members, "waits": self._waits}
        return [{"kind": "back", **told, "known": known}, *self._said.values()]

    def _listen(self, peer: socket.socket) -> None:
        lines, beat_s = wire.Lines(), time.monotonic() + self._beat_s
        while not self._closed.is_set():
            left_s = beat_s - time.monotonic()
            if left_s <= 0:
                with self._news:
                    peer.sendall(wire.sent({"kind": "beat"}))
                beat_s = time.monotonic() + self._beat_s
                if self.is_broken:  # again, for what was connected since
                    self._ended(self._formation.epoch)
                    self._end_if_stuck()
            elif select.select([peer], [], [], left_s)[0]:
                data = peer.recv(1 << 16)
                if not data:
                    return
                for message in lines.fed(data):
                    self._take(message)

    def _take(self, message: Message) -> None:
        kind = message["kind"]
        with self._news:
            if kind == "formed" and message["epoch"] > self._formation.epoch:
                self._formation = Formation(
                    message["epoch"], tuple(message["members"]), frozenset(message["ready"])
                )
                self._waits, self._store, self._said = False, "", {}
                self._ended_s = None
            elif kind == "store" and message["epoch"] == self._formation.epoch:
                self._store = message["address"]
            elif kind == "changed":
                self._changed = message["epoch"]
            elif kind == "broken":
                self._broken = message["epoch"]
            elif kind in _ENDS:
                self._end = kind, message["why"]
            if self.is_broken:
                self._ended_s = self._ended_s or time.monotonic()
            self._news.notify_all()
        if kind == "broken" or kind in _ENDS:
            self._ended(self._formation.epoch)
        if kind in _ENDS:
            self._closed.set()


_ENDS: Final = ("out", "refused", "other_code", "over")


def _error(kind: str, why: str) -> Exception:
    if kind == "out":
        return NotAMember(
            f"this rank is not a member any more: {why}",
            remedy="start a new worker, which gets the state of the others",
        )
    if kind == "other_code":
        return CodeMismatch(
            f"this worker runs other code than the members: {why}",
            remedy="start it with the files and versions that the members run",
        )
    return JoinRefused(
        f"this worker is not taken: {why}", remedy="start it with the launcher of this run"
    )


def _forget() -> None:
    """Close in a forked child what would keep the connection of its parent open."""
    for membership in list(_open):
        peer: Any = membership._peer
        if peer is not None:
            with contextlib.suppress(OSError):
                os.close(peer.detach())


os.register_at_fork(after_in_child=_forget)
