"""Starts the workers of a run on this machine, and the roster that they meet at.

    python -m deepseek_parallel.elastic.launch --nproc 2:4 train.py [arguments of the script]

A worker that ends with an error, or is killed, is started again as a new one while the others train
on. Workers have torchrun's variables, so a script without `ElasticRanks` works too; there the
first error ends all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import DeepSeekError, errors
from deepseek_parallel.elastic import meeting_point, wire
from deepseek_parallel.elastic.roster import Rules
from deepseek_parallel.elastic.roster_elsewhere import RosterElsewhere
from deepseek_parallel.elastic.roster_process import RosterProcess
from deepseek_parallel.stopping import SAVE, Wishes, interruptible, unheard

LOST_AFTER_S: Final = 5.0
"""Longer than an import that holds the interpreter, as torch has some."""
MOST_RESTARTS: Final = 10
END_S: Final = 600.0
_LOOK_S: Final = 0.02
FAILED, WRONG, STOPPED = 1, 2, 130
"""Exit codes of a worker: an own error; wrong input; stopped before the end, as all others are
then."""


@attrs.frozen(kw_only=True)
class Launch:
    """A run of `command` by `least` to `most` workers, of which this machine starts `nproc`.

    By default that is all of them. Workers of other machines may join where `job` is told, which
    says what is trained. `files` must be the same for all workers, by name and content. `wait_s` is
    how long workers wait until enough are there, None as they have it.

    A worker of which nothing is heard for `lost_after_s` is lost. Up to `restarts` workers are
    started in the place of lost ones. When one has come to the end of the script, the others have
    `end_s` to end, and are killed then: one may hang. `grace_s` is the time between SIGTERM and
    SIGKILL when the run is ended from outside. `port` is that of the roster, 0 any that is free.

    Raises:
        ConfigError: numbers that can't be.
    """

    command: Sequence[str]
    least: int
    most: int
    lost_after_s: float = LOST_AFTER_S
    restarts: int = MOST_RESTARTS
    end_s: float = END_S
    grace_s: float = 10.0
    host: str = "127.0.0.1"
    port: int = 0
    nproc: int | None = None
    job: Mapping[str, Any] | None = None
    files: Sequence[Path] = ()
    wait_s: float | None = None

    @property
    def num_here(self) -> int:
        """How many workers this machine starts."""
        return self.most if self.nproc is None else self.nproc

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise errors.ConfigError(
                f"{self.least} to {self.most} workers: the least must be 1 or more, and no more "
                "than the most",
                remedy="give 2 for two workers, or 1:4 for one to four",
            )
        if not 1 <= self.num_here <= self.most:
            raise errors.ConfigError(
                f"{self.num_here} workers of this machine: it must be 1 or more, and no more than "
                f"the {self.most} that there may be"
            )
        if not 0.5 <= self.lost_after_s < float("inf"):
            raise errors.ConfigError(
                f"lost_after_s must be 0.5 or more, got {self.lost_after_s}: a worker tells that "
                "it is there five times a second"
            )
        if self.restarts < 0:
            raise errors.ConfigError(f"restarts must be 0 or more, got {self.restarts}")
        if not 0 <= self.end_s < float("inf"):
            raise errors.ConfigError(f"end_s must be 0 or more, got {self.end_s}")


class Workers:
    """The running workers of a launch, by the number that each was started with."""

    def __init__(
        self,
        launch: Launch,
        say: Callable[[str], None] | None = None,
        roster: RosterElsewhere | None = None,
    ) -> None:
        self._launch = launch
        self._say = say or _quiet  # tells people what happens
        rules = Rules(
            least=launch.least, most=launch.most, first=launch.most,
            lost_after_s=launch.lost_after_s,
        )  # fmt: skip
        self._is_guest = roster is not None
        self._is_shared = self._is_guest or launch.job is not None  # with other machines
        self.roster = roster or RosterProcess(
            rules, secrets.token_hex(16), launch.host, launch.port, dict(launch.job or {})
        )
        self.running: dict[int, subprocess.Popen[bytes]] = {}  # by their numbers
        self._restarts = launch.restarts  # that are left
        self._started = 0  # workers so far
        self._meeting = _Meeting()  # of scripts that know only torchrun
        self._is_elastic = False  # whether a worker has become a member
        self._failed: int | None = None  # exit code of the first worker that ended the run
        self._last = FAILED  # exit code where nobody came to the end
        self.is_done = False  # a worker has ended well: no more are started
        self._end_s: float | None = None  # when the others must have ended

    def start(self) -> None:
        """Start the roster and all workers.

        Raises:
            ConfigError: the port is taken, or the command can't be started.
        """
        try:
            self.roster.start()
            self._meeting.open(self._launch.host)
            for _ in range(self._launch.num_here):
                self.add()
        except BaseException:
            self.stop()
            raise

    def add(self) -> int:
        """Start one more worker; its number.

        Raises:
            ConfigError: the command can't be started.
        """
        number = next(n for n in range(self._launch.num_here + 1) if n not in self.running)
        command = list(self._launch.command)
        try:
            with unheard():
                self.running[number] = subprocess.Popen(
                    command,
                    env={**meeting_point.without_launchers(os.environ), **self._variables(number)},
                    start_new_session=self._is_guest,  # Ctrl-C here is no stop of the training
                )
        except OSError as error:
            raise errors.ConfigError(
                f"{command[0]} can't be started: {error.strerror}", remedy="see the path"
            ) from error
        self._started += 1
        return number

    def look(self) -> int | None:
        """See who has ended and start others; the exit code when all have."""
        if self.roster.pid is None:
            self._say("the roster has ended and is started again")
            self.roster.start()
        self._meeting.look()
        for number, process in list(self.running.items()):
            code = process.poll()
            if code is None:
                continue
            del self.running[number]
            self._ended(number, code)
        if self._failed is not None:
            return self._failed
        if not self.running:
            return 0 if self.is_done else self._last
        if self._end_s is None or time.monotonic() < self._end_s:
            return None
        left = ", ".join(map(str, sorted(self.running)))
        self._say(
            f"worker {left} has not ended {self._launch.end_s:g} s after another one, and is killed"
        )
        return 0

    def stop(self) -> None:
        """End all: SIGTERM, and SIGKILL for who stays; of a guest at once, as lost members.

        Raises:
            KeyboardInterrupt: Ctrl-C, which does not wait; all have ended.
        """
        try:
            if not self._is_guest:
                self._terminate()
        finally:
            for process in self.running.values():
                process.kill()
                process.wait()
            self.running.clear()
            self._meeting.close()
            self.roster.stop()

    def _terminate(self) -> None:
        for process in self.running.values():
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a stopped one can't end
        until_s = time.monotonic() + self._launch.grace_s
        for process in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until_s - time.monotonic()))

    def _ended(self, number: int, code: int) -> None:
        if code in (0, STOPPED):
            if not self.is_done:
                self.is_done, self._end_s = True, time.monotonic() + self._launch.end_s
            return
        self._say(f"worker {number} has ended with {_told(code)}")
        self._last = WRONG if code == WRONG else FAILED
        self._is_elastic = self._is_elastic or self.roster.has_seen_workers()
        if not self._is_elastic:  # nobody could take its place: the others wait for it
            self._failed = self._last
            return
        # Some worker, here or elsewhere, to which an own error of this one is no reason to wait.
        has_state = self.running or (self._is_shared and code not in (FAILED, WRONG))
        if not self.is_done and self._restarts > 0 and has_state:
            self._restarts -= 1
            self._say(f"worker {self.add()} is started in its place")

    def _variables(self, number: int) -> Mapping[str, str]:
        launch = self._launch
        given = {
            wire.ADDRESS: self.roster.address,
            wire.RUN: self.roster.run,
            **self._meeting.variables,
            "RANK": number,
            "LOCAL_RANK": number,
            "WORLD_SIZE": launch.most,
            "LOCAL_WORLD_SIZE": launch.num_here,
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }
        if launch.files:
            given[wire.FILES] = json.dumps([str(file) for file in launch.files])
        if launch.wait_s is not None:
            given[wire.LIMIT] = launch.wait_s
        if launch.host == "127.0.0.1" and not self._is_guest:
            given["GLOO_SOCKET_IFNAME"] = "lo"  # whatever is set for runs on several machines
        return {name: str(value) for name, value in given.items()}


class _Meeting:
    """Where scripts meet that know only torchrun's variables.

    A process with torch serves it from when the first of them comes, as others never do.
    """

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self._listener: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def open(self, host: str) -> None:
        """Listen."""
        self._listener = meeting_point.listening(host)
        self.variables = meeting_point.variables(self._listener)

    def look(self) -> None:
        """See whether somebody has come."""
        if self._listener is None or not select.select([self._listener], [], [], 0)[0]:
            return
        number = self._listener.fileno()
        command = [sys.executable, "-m", "deepseek_parallel.elastic.meeting_point", str(number)]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(number,))
        self._listener.close()
        self._listener = None

    def close(self) -> None:
        """Serve no more."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            assert self._server.stdin is not None
            self._server.stdin.close()


def run(
    launch: Launch,
    say: Callable[[str], None] | None = None,
    *,
    roster: RosterElsewhere | None = None,
    begun: Callable[[Workers], None] | None = None,
    check: Callable[[], None] | None = None,
) -> int:
    """Run it to its end; 0 when a worker has come to the end of the script, else 1.

    Where the worker that ended it has ended with 2, as for wrong input, that is what it gives.
    With `roster` these workers join a run of another machine. `begun` is called once they run, and
    `check` ever again: what it raises ends the run.

    Ctrl-C and SIGTERM end it, and its workers; SIGUSR1 is passed on to them.

    Raises:
        ConfigError: the port is taken, or the command can't be started.
        KeyboardInterrupt: it was ended so.
    """
    workers = Workers(launch, say, roster)
    wishes = Wishes()
    with interruptible(wishes):  # an exception between a start and its note would lose a worker
        try:
            workers.start()
            if begun is not None:
                begun(workers)
            code = None
            while code is None and not wishes.stop:  # workers may have been stopped too
                if wishes.save:
                    wishes.save = False
                    for process in workers.running.values():
                        process.send_signal(SAVE)
                code = workers.look()
                if check is not None:
                    check()
                time.sleep(_LOOK_S)
        finally:
            workers.stop()
    if code is None:
        raise KeyboardInterrupt
    return code


def numbers_of(text: str) -> tuple[int, int]:
    """The least and the most workers of "4" or "1:4".

    Raises:
        ConfigError: it is something else.
    """
    least, _, most = text.partition(":")
    if not least.isdecimal() or not (most or least).isdecimal():
        raise errors.ConfigError(
            f"the number of workers must be 1 or more, got {text!r}",
            remedy="give 2 for two, or 1:4 for one to four",
        )
    return int(least), int(most or least)


def main(argv: Sequence[str]) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m deepseek_parallel.elastic.launch",
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--nproc", default="1", metavar="N or MIN:MAX")
    parser.add_argument("--lost-after", type=float, default=LOST_AFTER_S, metavar="SECONDS")
    parser.add_argument("--restarts", type=int, default=MOST_RESTARTS)
    parser.add_argument(
        "--end", type=float, default=END_S, metavar="SECONDS", dest="end_s",
        help="that others may take when one has come to the end (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=0, help="of the roster; any by default")
    parser.add_argument("script")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    try:
        least, most = numbers_of(args.nproc)
        launch = Launch(
            command=[sys.executable, args.script, *args.arguments], least=least, most=most,
            lost_after_s=args.lost_after, restarts=args.restarts, end_s=args.end_s, port=args.port,
        )  # fmt: skip
        return run(launch, _line)
    except DeepSeekError as error:
        _line(f"error: {error.message}")
        if error.remedy:
            _line(f"fix: {error.remedy}")
        return 2
    except KeyboardInterrupt:
        return 130


def _told(code: int) -> str:
    return f"exit code {code}" if code > 0 else signal.Signals(-code).name


def _quiet(line: str) -> None:
    """Say nothing."""


def _line(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
