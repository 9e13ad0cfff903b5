"""Workers of one run that all have to live: the first that ends in an error ends them all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from deepseek_core import console, errors
from deepseek_parallel.elastic import meeting_point
from deepseek_parallel.elastic.launch import WRONG
from deepseek_parallel.errors import RankFailed
from deepseek_parallel.stopping import SAVE, Wishes, interruptible, unheard
from deepseek_parallel.trainer.launch.channel import Channel, listening
from deepseek_parallel.trainer.watch.line import Show

_LAST_LINES: Final = 20
_LOOK_S: Final = 0.05
_SETTLE_S: Final = 5.0
"""How long others may still end by themselves after one has failed, and tell of the cause."""
GRACE_S: Final = 60.0
"""How long a worker may take to finish its step and save after Ctrl-C."""
_FOLLOWED, _STOPPED = 3, 130
"""Exit codes of a worker: an error of another rank; stopped before the end."""
_GOOD: Final = (0, _STOPPED)
_SIGNALS: Final = {"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM}


class Worker:
    """A process, its rank, and the last lines that it wrote to stderr.

    What rank 0 writes is shown as it comes: warnings are alike on all ranks.
    """

    def __init__(
        self, rank: int, command: Sequence[str], env: Mapping[str, str], passed: Sequence[int] = ()
    ) -> None:
        self.rank = rank
        self.lines: deque[str] = deque(maxlen=_LAST_LINES)
        with unheard():
            self.process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                start_new_session=True, pass_fds=passed,
            )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def _read(self, stream: Any) -> None:
        with stream:
            for line in stream:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                if self.is_shown:
                    console.print_note(self.lines[-1])

    @property
    def is_shown(self) -> bool:
        """Whether a person has seen its lines."""
        return self.rank == 0

    def finish(self) -> str:
        """The last lines, once all are read."""
        self._reader.join(1.0)
        return "\n".join(self.lines)


def train(told: Mapping[str, Any], ranks: int, *, show: Show) -> dict[str, Any]:
    """Run so many workers to their end: the report of the first.

    Ctrl-C and SIGTERM let them finish their step and save; SIGUSR1 lets them save.

    Raises:
        RankFailed: a worker has failed or was killed; all others have been ended.
        ConfigError: a worker was given what can't be.
        KeyboardInterrupt: Ctrl-C came twice, or before all had begun to train.
    """
    workers: list[Worker] = []
    wishes = Wishes()
    with listening(show) as channel, interruptible(wishes):
        command = command_of({**told, "channel": str(channel.folder)})
        try:
            _start(workers, command, ranks)
            _watch(workers, wishes, channel)
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.wait()
                worker.finish()
        return channel.report()


def _start(workers: list[Worker], command: Sequence[str], ranks: int) -> None:
    """Add the workers; rank 0 has the listener to itself, so that its end is seen by all."""
    with meeting_point.listening() as listener:
        shared = {**_shared(ranks), **meeting_point.variables(listener)}
        for rank in range(ranks):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            passed = () if rank else (listener.fileno(),)
            if passed:
                own[meeting_point.DESCRIPTOR] = str(listener.fileno())
            workers.append(Worker(rank, command, {**shared, **own}, passed))


def _watch(workers: Sequence[Worker], wishes: Wishes, channel: Channel) -> None:
    """Wait for all, or for the first that fails; a stop that is asked for is handed on.

    Raises:
        KeyboardInterrupt: the stop was asked for before all had begun to train.
    """
    until_s = float("inf")
    while any(worker.process.poll() is None for worker in workers):
        if wishes.save:
            wishes.save = False
            for worker in workers:
                worker.process.send_signal(SAVE)
        if wishes.stop and until_s == float("inf"):
            if channel.num_begun() < len(workers):
                raise KeyboardInterrupt
            until_s = time.monotonic() + GRACE_S
            for worker in workers:
                worker.process.send_signal(_SIGNALS[wishes.stop])
        time.sleep(_LOOK_S)
        if any(worker.process.poll() not in (None, *_GOOD) for worker in workers):
            _settle(workers)
            break
        if time.monotonic() > until_s:
            raise _failed(workers[0], f"did not end after {wishes.stop}")
    _check(workers)


def _settle(workers: Sequence[Worker]) -> None:
    until_s = time.monotonic() + _SETTLE_S
    while time.monotonic() < until_s:
        if all(worker.process.poll() is not None for worker in workers):
            return
        time.sleep(_LOOK_S)


def _check(workers: Sequence[Worker]) -> None:
    """Raise what the first cause was: not who only followed."""
    bad = [w for w in workers if w.process.poll() not in (None, *_GOOD)]
    causes = [worker for worker in bad if worker.process.returncode != _FOLLOWED] or bad
    if causes:
        code = causes[0].process.returncode
        if code == WRONG:
            raise errors.ConfigError(
                f"rank {causes[0].rank} was given what can't be{_said(causes[0])}",
                remedy="correct that and run it again",
            )
        told = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise _failed(causes[0], f"ended with {told}")


def _failed(worker: Worker, how: str) -> RankFailed:
    return RankFailed(
        f"rank {worker.rank} {how}{_said(worker)}",
        rank=worker.rank,
        log=worker.finish(),
        remedy="correct that and run it again; with [checkpoint] and --resume it goes on",
    )


def _said(worker: Worker) -> str:
    """What a worker said last, where nobody has seen it yet."""
    log = worker.finish()
    return f"; it said last:\n{log}" if log and not worker.is_shown else ""


def _shared(ranks: int) -> dict[str, str]:
    threads = str(max(1, console.usable_cores() // ranks))
    return {
        **meeting_point.without_launchers(os.environ),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "GLOO_SOCKET_IFNAME": "lo",  # whatever is set for runs on several machines
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
        "PYTHONUNBUFFERED": "1",
    }


def command_of(told: Mapping[str, Any]) -> list[str]:
    """What starts a worker with this."""
    return [sys.executable, "-m", "deepseek_parallel.trainer.launch.worker", json.dumps(told)]
