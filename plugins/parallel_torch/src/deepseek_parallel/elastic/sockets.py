"""The connections of a process group, so that a rank that waits on a hung one can be set free.

gloo has no way to do that: a collective ends when its peer answers, when a connection ends, or
after the whole timeout (pytorch#130345). So the connections are ended, which are those of the
listeners that were opened while the group was made. Linux only: they are read from /proc.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

Address = tuple[str, int]
_DESCRIPTORS: Final = Path("/proc/self/fd")


class End(NamedTuple):
    """One end of a connection: its descriptor, the socket behind that, and both addresses."""

    descriptor: int
    inode: str
    here: Address
    there: Address | None


def opened() -> list[End]:
    """All TCP sockets of this process; a listener has no address there. None but on Linux."""
    if not _DESCRIPTORS.is_dir():
        return []
    ends = map(_end, _DESCRIPTORS.iterdir())
    return [end for end in ends if end is not None]


def listeners(ends: Iterable[End]) -> list[Address]:
    """Addresses of the listeners among them."""
    return [end.here for end in ends if end.there is None]


def connected(ends: Iterable[End], addresses: Iterable[Address]) -> list[End]:
    """The connections that were made to, or accepted at, one of these addresses."""
    known = set(addresses)
    return [e for e in ends if e.there is not None and (e.here in known or e.there in known)]


def made_since(before: Iterable[End], group: Any) -> list[End]:
    """Connections among the ranks of `group` that are new; all of them ask at once."""
    import torch.distributed as dist

    old = {end.inode for end in before}
    new = [end for end in opened() if end.inode not in old]
    told: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(told, listeners(new), group=group)
    return connected(new, [one for some in told for one in some])


def cut(ends: Iterable[End]) -> None:
    """End these connections for both sides; who waits on them gets an error at once."""
    for end in ends:
        with contextlib.suppress(OSError):
            if (_DESCRIPTORS / str(end.descriptor)).readlink().name == end.inode:
                with socket.socket(fileno=os.dup(end.descriptor)) as same:
                    same.shutdown(socket.SHUT_RDWR)


def _end(entry: Path) -> End | None:
    try:
        inode = entry.readlink().name
        if not inode.startswith("socket:"):
            return None
        with socket.socket(fileno=os.dup(int(entry.name))) as same:
            if same.family not in (socket.AF_INET, socket.AF_INET6):
                return None
            if same.type != socket.SOCK_STREAM:
                return None
            here = _address(same.getsockname())
            try:
                there = _address(same.getpeername())
            except OSError:
                there = None
    except OSError:  # closed meanwhile
        return None
    return End(int(entry.name), inode, here, there)


def _address(told: tuple[Any, ...]) -> Address:
    """Host and port; an IPv4 host that IPv6 wraps, as IPv4."""
    return str(told[0]).removeprefix("::ffff:"), int(told[1])
