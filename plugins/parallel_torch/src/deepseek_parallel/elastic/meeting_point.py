"""The store where ranks meet, on a socket that their launcher listens on before they start.

A launcher that hands down the number of a free port leaves it free until rank 0 listens there,
seconds later, and another program may have it by then. The launcher opens the listener instead, and
rank 0, or a process of the launcher's own, serves it; all ranks come to it as guests, as they do
under torchrun. Who comes early waits in the listener's queue.

    python -m deepseek_parallel.elastic.meeting_point DESCRIPTOR    serve until stdin ends
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final

from deepseek_parallel.elastic import wire

DESCRIPTOR: Final = "DEEPSEEK_LISTENER"
"""Variable that tells rank 0 which descriptor is the listener."""
_QUEUE: Final = 4096
"""Ranks that may wait; the system has a bound of its own."""
_OF_RANKS: Final = (
    wire.ADDRESS, wire.RUN, wire.LIMIT, wire.FILES, DESCRIPTOR, "RANK", "WORLD_SIZE",
    "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE",
    "ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME", "NODE_RANK",
    "MASTER_ADDR", "MASTER_PORT",
)  # fmt: skip
_OF_TORCHRUN: Final = "TORCHELASTIC_"


def listening(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A listener for the ranks; port 0 is any that is free.

    Raises:
        OSError: the address can't be used, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_QUEUE)


def variables(listener: socket.socket) -> dict[str, str]:
    """What leads all ranks to the listener."""
    host, port = listener.getsockname()[:2]
    return {
        "MASTER_ADDR": host,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # torch: rank 0 too is a guest
    }


def without_launchers(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what another launcher has set for ranks of its own."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _OF_RANKS and not name.startswith(_OF_TORCHRUN)
    }


def serve(descriptor: int | None = None) -> Any:
    """The store on the listener of this descriptor, by default of what the launcher has told.

    None where it told none. The store lives as long as what this gives.
    """
    if descriptor is None:
        told = os.environ.pop(DESCRIPTOR, None)
        if told is None:
            return None
        descriptor = int(told)
    import torch.distributed as dist

    os.set_inheritable(descriptor, False)
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        host, port = listener.getsockname()[:2]
    return dist.TCPStore(
        host, port, is_master=True, wait_for_workers=False, master_listen_fd=descriptor
    )


if __name__ == "__main__":
    store = serve(int(sys.argv[1]))
    sys.stdin.buffer.read()
