"""Events of workers in, messages to them out: who is a member. Pure; time is given.

A membership has a number, its epoch, and an order of its members, their ranks. It ends when a
member is lost, or when all agree to take up who waits; the next one begins when everybody who is
left of it has asked for it. Whoever is silent for `lost_after_s`, or whose connection was closed,
is lost. A slow member that still answers is waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs

Message = dict[str, Any]

_SETTLE_S: Final = 5.0
_OVER: Final[Message] = {"kind": "over", "why": "the training has ended: its last member has left"}


@attrs.frozen(kw_only=True)
class Rules:
    """How many members there may be, and when one is lost.

    The first membership waits for `first` members, and begins with `least` when no other came for
    five seconds. `quiet_s` is how long a roster that took the place of another one waits for its
    members before it begins a first membership.
    """

    least: int
    most: int
    first: int
    lost_after_s: float
    quiet_s: float = 0.0


@attrs.define
class Member:
    """A worker: when it was heard, whether it waits for a membership, and whether it has a state.

    `order` is that in which they came.
    """

    order: int
    host: str
    heard_s: float
    waits: bool = True
    is_ready: bool = False


@attrs.define
class Roster:
    """The members; each method takes what a worker told and gives (worker, message) to send.

    Workers at the host `home` come first when a run begins: who starts it finds its files there.
    """

    rules: Rules
    start_s: float
    home: str = ""
    epoch: int = 0
    formed: tuple[str, ...] = ()
    version: str | None = None
    members: dict[str, Member] = attrs.field(factory=dict)
    is_over: bool = False
    _is_broken: bool = False
    _is_told: bool = False
    num_seen: int = 0
    _last_join_s: float = 0.0

    def join(self, name: str, host: str, version: str, now_s: float) -> list[tuple[str, Message]]:
        """A new worker asks to become a member."""
        if self.is_over:
            return [(name, dict(_OVER))]
        if self.members and version != self.version:
            return [(name, {"kind": "other_code", "why": f"{version}, and not {self.version}"})]
        self.version = version
        self._add(name, host, now_s)
        self._last_join_s = now_s
        return self.tick(now_s)

    def back(
        self, name: str, host: str, version: str, known: Message, now_s: float
    ) -> list[tuple[str, Message]]:
        """A member has lost its connection, or this roster has taken the place of another one.

        `known` is the membership as the member knows it: `epoch`, `members` and whether it `waits`.
        """
        sent = self._adopt(version, known, now_s) if not self.epoch else []
        member = self.members.get(name)
        if member is None or version != self.version:
            return [*sent, (name, {"kind": "out", "why": "the others went on without it"})]
        member.heard_s, member.host = now_s, host
        if known["epoch"] < self.epoch and name in self.formed and not member.waits:
            return [*sent, (name, self._formation())]
        return sent + (self.renew(name, self.epoch, now_s) if known["waits"] else self.tick(now_s))

    def beat(self, name: str, now_s: float) -> list[tuple[str, Message]]:
        """A worker is there."""
        if name in self.members:
            self.members[name].heard_s = now_s
        return []

    def ready(self, name: str, epoch: int) -> list[tuple[str, Message]]:
        """A member has the state of the training."""
        if name in self.members and epoch == self.epoch:
            self.members[name].is_ready = True
        return []

    def renew(self, name: str, epoch: int, now_s: float) -> list[tuple[str, Message]]:
        """A member of an epoch asks for the next one."""
        member = self.members.get(name)
        if member is None:
            return [(name, {"kind": "out", "why": "the others went on without it"})]
        member.heard_s = now_s
        if epoch < self.epoch and name in self.formed:
            return [(name, self._formation())]
        member.waits = True
        return self._broken() + self.tick(now_s)

    def store(self, name: str, epoch: int, address: str) -> list[tuple[str, Message]]:
        """Rank 0 tells where the others of its epoch meet it."""
        if epoch != self.epoch or not self.formed or self.formed[0] != name:
            return []
        told = {"kind": "store", "epoch": epoch, "address": address}
        return [(other, told) for other in self.formed[1:]]

    def leave(self, name: str, now_s: float) -> list[tuple[str, Message]]:
        """A worker ends; the others take note between two steps."""
        if self.members.pop(name, None) is None:
            return []
        if name in self.formed and not any(other in self.members for other in self.formed):
            self.is_over = True
            waiting, self.members = list(self.members), {}
            return [(other, dict(_OVER)) for other in waiting]
        return self.tick(now_s)

    def gone(self, name: str, now_s: float) -> list[tuple[str, Message]]:
        """The connection of a worker was closed: its process is gone."""
        if self.members.pop(name, None) is None:
            return []
        return (self._broken() if name in self.formed else []) + self.tick(now_s)

    def tick(self, now_s: float) -> list[tuple[str, Message]]:
        """Time has passed: who is silent is lost, and a membership may begin."""
        after_s = self.rules.lost_after_s
        late = {n: m for n, m in self.members.items() if now_s - m.heard_s > after_s}
        sent: list[tuple[str, Message]] = []
        for name, member in late.items():
            del self.members[name]
            why = f"nothing was heard of it for {now_s - member.heard_s:.1f} s"
            sent.append((name, {"kind": "out", "why": why}))
        if any(name in self.formed for name in late):
            sent += self._broken()
        return sent + self._form(now_s) + self._told()

    def _form(self, now_s: float) -> list[tuple[str, Message]]:
        """Begin a membership if everybody who is left of the last one waits for it."""
        left = [name for name in self.formed if name in self.members]
        if not all(self.members[name].waits for name in left):
            return []
        waiting = sorted(
            (name for name, member in self.members.items() if member.waits), key=self._rank
        )[: self.rules.most]
        if len(waiting) < self.rules.least or not (left or self._may_begin(waiting, now_s)):
            return []
        self.epoch += 1
        self.formed = tuple(waiting)
        self._is_broken = self._is_told = False
        formations = [(name, self._formation()) for name in waiting]
        for name in waiting:
            self.members[name].waits = False
        return formations

    def _may_begin(self, waiting: Sequence[str], now_s: float) -> bool:
        if now_s - self.start_s < self.rules.quiet_s:
            return False
        return len(waiting) >= self.rules.first or now_s - self._last_join_s >= _SETTLE_S

    def _rank(self, name: str) -> tuple[bool, int, bool, int]:
        """Members with a state first, in the order that they had."""
        member = self.members[name]
        old = self.formed.index(name) if name in self.formed else len(self.formed)
        return not member.is_ready, old, member.host != self.home, member.order

    def _adopt(self, version: str, known: Message, now_s: float) -> list[tuple[str, Message]]:
        """Take over the membership that a member knows of; who came before it waits to join."""
        others = list(self.members) if version != self.version else []
        why = f"{self.version}, and not {version}"
        for name in others:
            del self.members[name]
        self.epoch, self.formed, self.version = known["epoch"], tuple(known["members"]), version
        for name in self.formed:
            self._add(name, "", now_s)
            self.members[name].waits, self.members[name].is_ready = False, True
        return [(name, {"kind": "other_code", "why": why}) for name in others]

    def _formation(self) -> Message:
        return {
            "kind": "formed",
            "epoch": self.epoch,
            "members": list(self.formed),
            "ready": [n for n in self.formed if n in self.members and self.members[n].is_ready],
        }

    def _broken(self) -> list[tuple[str, Message]]:
        """Tell the members once that their membership has ended."""
        if self._is_broken:
            return []
        self._is_broken = True
        told = {"kind": "broken", "epoch": self.epoch}
        return [(n, told) for n in self.formed if n in self.members]

    def _told(self) -> list[tuple[str, Message]]:
        """Tell the members once that somebody waits for them, or has left."""
        left = [name for name in self.formed if name in self.members]
        has_place = len(left) < self.rules.most
        waits = any(m.waits for name, m in self.members.items() if name not in self.formed)
        if self._is_told or not left or not ((waits and has_place) or len(left) < len(self.formed)):
            return []
        self._is_told = True
        told = {"kind": "changed", "epoch": self.epoch}
        return [(name, told) for name in left]

    def _add(self, name: str, host: str, now_s: float) -> None:
        self.num_seen += 1
        self.members[name] = Member(order=self.num_seen, host=host, heard_s=now_s)
