"""Processes of one training, started side by side, and the bytes on their loopback interface."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

LIMIT_S: Final = 900.0
_INSIDE: Final = "RANKS_INSIDE_A_NAMESPACE"
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP


def in_a_namespace() -> None:
    """Start this program again where nobody else uses the loopback interface.

    Needs `unshare` of util-linux, and a kernel that lets users have namespaces.
    """
    if _INSIDE not in os.environ:
        command = ["unshare", "-rn", sys.executable, *sys.orig_argv[1:]]
        sys.exit(subprocess.call(command, env={**os.environ, _INSIDE: "1"}))
    with socket.socket() as any_socket:
        asked = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, _GET_FLAGS, asked))[1]
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh", b"lo", flags | _UP))


def sent_nbytes() -> int:
    """Bytes that the loopback interface has sent, headers included."""
    lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.strip().startswith("lo:")).split()[9])


def run_ranks(work: Callable[..., Any], ranks: int, *given: Any) -> list[Any]:
    """What `work(rank, barrier, *given)` gives on each rank, with a process group of gloo."""
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(ranks, timeout=LIMIT_S), context.Queue()
    listener = socket.create_server(("127.0.0.1", 0))  # before the ranks are: nobody takes it
    port = listener.getsockname()[1]
    processes = [
        context.Process(
            target=_rank,
            args=(
                partial(work, rank, barrier, *given), rank, ranks, port if rank else listener,
                answers,
            ),
            daemon=True,
        )
        for rank in range(ranks)
    ]  # fmt: skip
    for process in processes:
        process.start()
    listener.close()
    try:
        found = dict(answers.get(timeout=LIMIT_S) for _ in processes)
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    errors = [text for is_error, text in found.values() if is_error]
    if errors:
        raise RuntimeError(errors[0])
    return [found[rank][1] for rank in range(ranks)]


def _rank(
    work: Callable[[], Any], rank: int, ranks: int, place: socket.socket | int, answers: Any
) -> None:
    """A rank; its place is the listener, which is rank 0's, or the port of that."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    limit = timedelta(seconds=LIMIT_S / 10)
    try:
        if isinstance(place, int):
            store = dist.TCPStore("127.0.0.1", place, is_master=False, timeout=limit)
        else:
            store = dist.TCPStore(
                *place.getsockname(), is_master=True, wait_for_workers=False, timeout=limit,
                master_listen_fd=place.detach(),
            )  # fmt: skip
        dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks, timeout=limit)
        answers.put((rank, (False, work())))
    except BaseException:  # noqa: BLE001 - told by the parent
        answers.put((rank, (True, traceback.format_exc())))
    finally:
        answers.close()
        answers.join_thread()
