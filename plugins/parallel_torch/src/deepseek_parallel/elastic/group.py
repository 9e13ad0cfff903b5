"""Ranks that come and go: after a change those who are left build a new process group in-process.

Each epoch has its own store, at its rank 0, and its own default process group. The roster, outside
of the workers, says who is in it; nothing of an old epoch is used again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from datetime import timedelta
from itertools import count
from typing import Any, Final, Self

import torch.distributed as dist

from deepseek_core import errors
from deepseek_parallel.elastic import addresses, sockets, wire
from deepseek_parallel.elastic.code_version import code_version
from deepseek_parallel.elastic.membership import Formation, Membership
from deepseek_parallel.errors import RankLost
from deepseek_parallel.lost import noted
from deepseek_parallel.ranks import Renewed

_log = logging.getLogger(__name__)
LIMIT_S: Final = 60.0
PATIENCE_S: Final = 1800.0
MEET_S: Final = 10.0
"""How long the members of a new epoch wait for each other; one that is lost ends that at once."""
CONNECT_S: Final = 1.0
"""How long gloo tries to reach a rank, five times; twice as long after each attempt.

Nothing ends that when the rank is killed meanwhile.
"""
BEAT_S: Final = 0.2
_INTERFACE: Final = "GLOO_SOCKET_IFNAME"


class ElasticRanks:
    """The ranks of a run whose workers come and go; `rank`, `size` and `epoch` are of now.

    `group` is the default process group, None where this rank is alone. `renewed` is the change
    that led here.
    """

    def __init__(self, membership_of: Any, limit_s: float, patience_s: float) -> None:
        self.rank, self.size, self.epoch = 0, 1, 0
        self.group: dist.ProcessGroup | None = None
        self._limit_s, self._patience_s = limit_s, patience_s
        self._lock = threading.Lock()
        self._ends: list[sockets.End] = []
        self._store: sockets.Address | None = None
        self._membership: Membership = membership_of(self._cut)
        self.renewed = self._next()

    @classmethod
    def join(
        cls,
        *,
        limit_s: float | None = None,
        patience_s: float = PATIENCE_S,
        version: str | None = None,
    ) -> Self:
        """Become a member of the run that the launcher's variables name.

        `limit_s` is how long to wait until enough others are there, now and after a change; by
        default what the launcher says, or a minute.
        `patience_s` is the timeout of the process group: how long a member that is heard, but does
        not come to a step, is waited for. `version` tells workers of other code apart; by default
        a hash of the script and of this plugin.

        Raises:
            ConfigError: this was not started by the launcher, or a process group is there already.
            CodeMismatch: the members run other code.
            JoinRefused: this worker is of another run, or the training has ended.
            RankLost: too few come in time, or the roster does not answer.
        """
        address, run = os.environ.get(wire.ADDRESS), os.environ.get(wire.RUN)
        if not address or not run:
            raise errors.ConfigError(
                f"{wire.ADDRESS} or {wire.RUN} is not set: this worker does not know its run",
                remedy="python -m deepseek_parallel.elastic.launch --nproc 1:4 SCRIPT.py",
            )
        if dist.is_initialized():
            raise errors.ConfigError(
                "there is a process group already, and each membership makes its own",
                remedy="leave init_process_group() out",
            )
        if limit_s is None:
            limit_s = float(os.environ.get(wire.LIMIT, LIMIT_S))
        version = code_version() if version is None else version
        return cls(
            lambda ended: Membership(address, run, version, beat_s=BEAT_S, ended=ended),
            limit_s,
            patience_s,
        )

    def changed(self) -> bool:
        """Whether a worker waits to join, or one has left: the same answer on all ranks.

        All ranks ask between two steps. True also where one was lost.
        """
        import torch

        self._membership.tell_ready()
        heard = torch.tensor([int(self._membership.is_changed)], dtype=torch.int32)
        if self.group is not None:
            try:
                with noted():
                    dist.all_reduce(heard, dist.ReduceOp.MAX, group=self.group)
            except RuntimeError:
                return True
        return bool(heard.item())

    def renew(self) -> Renewed:
        """Agree with all who are there on a new membership, and build its process group.

        Raises:
            NotAMember: the others went on without this rank.
            RankLost: too few are left, or the roster does not answer in time.
        """
        self.renewed = self._next()
        return self.renewed

    def leave(self) -> None:
        """Be a member no more; the others go on."""
        self._membership.leave()
        self._drop()

    def _next(self) -> Renewed:
        until_s = time.monotonic() + self._limit_s
        for attempt in count():
            self._drop()
            formation = self._membership.next(until_s)
            self.epoch, self.size = formation.epoch, len(formation.members)
            self.rank = formation.members.index(self._membership.name)
            _exchange_by(self._membership.host)
            try:
                if self.size > 1:
                    self._build(until_s, CONNECT_S * 2**attempt)
            except (RuntimeError, RankLost) as error:  # torch has no kind of its own for this
                _log.info("membership %d was not built: %s", self.epoch, error)
                if time.monotonic() >= until_s:
                    raise RankLost(
                        f"rank {self.rank} could not meet the others: {str(error).splitlines()[0]}",
                        remedy="see the logs of the other ranks, and whether they reach each other",
                    ) from error
                continue
            return _renewed(formation, self.rank)
        raise AssertionError  # count() has no end

    def _build(self, until_s: float, connect_s: float) -> None:
        until_s = min(until_s, time.monotonic() + MEET_S)
        limit = timedelta(seconds=max(0.1, until_s - time.monotonic()))
        before = sockets.opened()
        if self.rank == 0:
            store = dist.TCPStore(
                self._membership.host, 0, is_master=True, wait_for_workers=False, timeout=limit
            )
            self._store = self._membership.host, store.port
            self._membership.tell_store(addresses.joined(*self._store))
        else:
            self._store = wire.address_of(self._membership.store(until_s))
            store = dist.TCPStore(*self._store, is_master=False, timeout=limit)
        self._check_not_broken()
        store.set(f"here{self.rank}", b"")
        store.wait([f"here{rank}" for rank in range(self.size)], limit)
        dist.init_process_group(
            "gloo", store=store, rank=self.rank, world_size=self.size,
            timeout=timedelta(seconds=connect_s),
        )  # fmt: skip
        made = sockets.made_since(before, dist.group.WORLD)
        with self._lock:
            self._ends = made
        self._check_not_broken()
        self.group = dist.group.WORLD
        patience = timedelta(seconds=self._patience_s)
        dist.distributed_c10d._set_pg_timeout(patience, self.group)

    def _check_not_broken(self) -> None:
        if self._membership.is_broken:
            raise RankLost("a rank was lost while the others met")

    def _cut(self, epoch: int) -> None:
        """Set free who waits on others of an epoch that has ended; called by a thread."""
        with self._lock:
            if epoch == self.epoch:
                self._cut_all()

    def _cut_all(self) -> None:
        """End the connections of the group, and those to its store, by which it is built."""
        at_store = sockets.connected(sockets.opened(), [self._store] if self._store else [])
        sockets.cut([*self._ends, *at_store])

    def _drop(self) -> None:
        with self._lock:
            self._cut_all()
            self._ends, self._store = [], None
        self.group = None
        if dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()
        # Part of the name of the next group, and left as it is by one that was not built.
        dist.distributed_c10d._world.group_count = 0


def _exchange_by(host: str) -> None:
    """Let gloo exchange by the interface by which the roster is reached, unless it is told another.

    By itself it takes the address of the machine's name, which is often 127.0.1.1.

    Raises:
        ConfigError: it is told one that this machine has not.
    """
    told = os.environ.get(_INTERFACE)
    if not told and (name := addresses.interface_of(host)):
        os.environ[_INTERFACE] = name
    has = [name for _, name in socket.if_nameindex()]
    missing = [name for name in (told or "").split(",") if name and name not in has]
    if missing:
        raise errors.ConfigError(
            f"{_INTERFACE} is {told}, and this machine has no interface {missing[0]}, but "
            f"{', '.join(has)}",
            remedy=f"unset {_INTERFACE}, and the one that reaches the others is taken",
        )


def _renewed(formation: Formation, rank: int) -> Renewed:
    has_state = [name in formation.ready for name in formation.members]
    return Renewed(
        rank=rank,
        size=len(has_state),
        survivors=tuple(n for n, has in enumerate(has_state) if has),
        joined=tuple(n for n, has in enumerate(has_state) if not has),
    )
