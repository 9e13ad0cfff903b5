"""Starts the process of the roster, and another one on the same port when it has ended."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import time
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_parallel.elastic import wire
from deepseek_parallel.elastic.addresses import joined
from deepseek_parallel.elastic.roster import Rules
from deepseek_parallel.elastic.roster_elsewhere import asked

_START_S: Final = 20.0
_ASK_S: Final = 2.0


@attrs.define
class RosterProcess:
    """A roster of a run at `host`; `port` 0 is any that is free, and is set when it has begun.

    `job` is what it tells a machine that wants to join.
    """

    rules: Rules
    run: str
    host: str = "127.0.0.1"
    port: int = 0
    job: wire.Message = attrs.field(factory=dict)
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it can be reached.

        Raises:
            ConfigError: it can't have its address or port.
        """
        is_first = self._process is None
        rules = self.rules
        quiet_s = 0.0 if is_first else rules.lost_after_s
        options = {
            "host": self.host, "port": self.port, "least": rules.least, "most": rules.most,
            "first": rules.first, "lost-after": rules.lost_after_s, "quiet": quiet_s,
        }  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "deepseek_parallel.elastic.roster_server", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"run": self.run, "job": self.job}) + "\n")
            self._process.stdin.flush()
        word, _, rest = self._first_line().partition(" ")
        if word != "port":
            self.stop()
            raise errors.ConfigError(
                f"the roster can't listen at {self.host}:{self.port}: {rest or 'it has ended'}",
                remedy="give another port, or none to take any that is free",
            )
        self.port = int(rest)

    @property
    def address(self) -> str:
        """Where workers reach it, as "host:port"."""
        return joined(self.host, self.port)

    @property
    def pid(self) -> int | None:
        """The number of its process, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def has_seen_workers(self) -> bool:
        """Whether any worker has ever joined; False also when the roster does not answer."""
        try:
            return bool(asked((self.host, self.port), self.run, "count", _ASK_S)["seen"])
        except (OSError, KeyError, ValueError):
            return False

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _first_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        until_s = time.monotonic() + _START_S
        if select.select([self._process.stdout], [], [], until_s - time.monotonic())[0]:
            return self._process.stdout.readline().strip()
        return ""
