"""Workers of one run that all have to live: the first that ends in an error ends them all."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from deepseek_parallel.errors import RankFailed
from deepseek_parallel.notices import passed_on, unheard
from deepseek_parallel.trainer.launch.channel import listening
from deepseek_parallel.trainer.watch.line import Show

_LAST_LINES: Final = 20
_LOOK_S: Final = 0.05
_SETTLE_S: Final = 5.0
"""How long others may still end by themselves after one has failed, and tell of the cause."""
_GRACE_S: Final = 60.0
"""How long a worker may take to finish its step and save after Ctrl-C."""
_FOLLOWED: Final = 3


class Worker:
    """A process, the last lines of what it wrote to stderr, and its number."""

    def __init__(self, rank: int, command: Sequence[str], env: Mapping[str, str]) -> None:
        self.rank = rank
        self.lines: deque[str] = deque(maxlen=_LAST_LINES)
        with unheard():
            self.process = subprocess.Popen(
                command, env=env, stderr=subprocess.PIPE, start_new_session=True
            )
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def _read(self, stream: Any) -> None:
        with stream:
            for line in stream:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    def finish(self) -> str:
        """The last lines, once all are read."""
        self._reader.join(1.0)
        return "\n".join(self.lines)


def train(told: Mapping[str, Any], ranks: int, *, show: Show) -> dict[str, Any]:
    """Run so many workers to their end: the report of the first.

    Ctrl-C and SIGTERM let them finish their step and save; SIGUSR1 lets them save.

    Raises:
        RankFailed: a worker has failed or was killed; all others have been ended.
        KeyboardInterrupt: Ctrl-C came twice.
    """
    workers: list[Worker] = []
    with (
        listening(show) as channel,
        passed_on(lambda: [worker.process for worker in workers]),
    ):
        command = command_of({**told, "channel": str(channel.folder)})
        shared = {**os.environ, **_shared(ranks)}
        try:
            for rank in range(ranks):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                workers.append(Worker(rank, command, {**shared, **own}))
            _watch(workers)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.wait()
                worker.finish()
        return channel.report()


def _watch(workers: Sequence[Worker]) -> None:
    """Wait for all, or for the first that fails."""
    is_stopped, until_s = False, float("inf")
    while True:
        try:
            if all(worker.process.poll() is not None for worker in workers):
                break
            time.sleep(_LOOK_S)
        except KeyboardInterrupt:
            if is_stopped:
                raise
            is_stopped, until_s = True, time.monotonic() + _GRACE_S
            for worker in workers:
                worker.process.send_signal(signal.SIGINT)
        if any(worker.process.poll() not in (None, 0, 130) for worker in workers):
            _settle(workers)
            break
        if time.monotonic() > until_s:
            raise _failed(workers[0], "did not end after Ctrl-C")
    _check(workers)


def _settle(workers: Sequence[Worker]) -> None:
    until_s = time.monotonic() + _SETTLE_S
    while time.monotonic() < until_s:
        if all(worker.process.poll() is not None for worker in workers):
            return
        time.sleep(_LOOK_S)


def _check(workers: Sequence[Worker]) -> None:
    """Raise what the first cause was: not who only followed."""
    bad = [w for w in workers if w.process.poll() not in (None, 0, 130)]
    causes = [worker for worker in bad if worker.process.returncode != _FOLLOWED] or bad
    if causes:
        code = causes[0].process.returncode
        told = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise _failed(causes[0], f"ended with {told}")


def _failed(worker: Worker, how: str) -> RankFailed:
    log = worker.finish()
    last = f"; it said last:\n{log}" if log else ""
    return RankFailed(
        f"rank {worker.rank} {how}{last}",
        rank=worker.rank,
        log=log,
        remedy="correct that and run it again; with [checkpoint] and --resume it goes on",
    )


def _shared(ranks: int) -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = str(max(1, (os.cpu_count() or 1) // ranks))
    return {
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        "PYTHONUNBUFFERED": "1",
    }


def command_of(told: Mapping[str, Any]) -> list[str]:
    """What starts a worker with this."""
    return [sys.executable, "-m", "deepseek_parallel.trainer.launch.worker", json.dumps(told)]
