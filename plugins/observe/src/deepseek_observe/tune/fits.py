"""The largest batch that fits in memory, tried in a child process.

A batch that is too large ends a fork of the child, and nothing else. Each try is a fork of its own,
so that no try leaves memory behind for the next one.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import attrs

from deepseek_core import console
from deepseek_observe.tune.errors import NeverFits, TrialFailed

_START_S: Final = 120.0
_FINE: Final = 16  # the answer is exact to a sixteenth
_SHARE: Final = 0.9
_CGROUP: Final = Path("/sys/fs/cgroup")
_KILLED: Final = "it was killed, as the kernel does when memory runs out"


@attrs.frozen(kw_only=True)
class Verdict:
    """Whether a batch fits; `peak` is the memory of the process that tried, in bytes."""

    fits: bool
    why: str = ""
    peak: int | None = None


Fits = Callable[[int], Verdict]


def largest(fits: Fits, low: int, high: int) -> int:
    """The largest batch that fits, to a sixteenth of it; what it gives was tried.

    Raises:
        NeverFits: not even `low`.
    """
    if fits(high).fits:
        return high
    first = fits(low) if low < high else Verdict(fits=False, why=fits(high).why)
    if not first.fits:
        raise NeverFits(
            f"a batch of {low} does not fit in memory: {first.why}",
            remedy="give --memory a larger size if there is more, or make the model smaller",
        )
    while high - low > max(1, low // _FINE):
        middle = math.isqrt(low * high) if high > 4 * low else (low + high) // 2
        if fits(middle).fits:
            low = middle
        else:
            high = middle
    return low


class Prober:
    """The child, which starts at once; `limit_s` is how long a try may take."""

    def __init__(self, target: str, *, seed: int, limit_s: float) -> None:
        self._asked = {"target": target, "seed": seed}
        self._limit_s, self._is_ready = limit_s, False
        self._left = b""
        reading, writing = os.pipe()
        self._answers = reading
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}  # arenas reserve address space
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "deepseek_observe.tune.probe", str(writing)],
                stdin=subprocess.PIPE, stdout=self._errors, stderr=self._errors,
                pass_fds=[writing], start_new_session=True, env=environment,
            )  # fmt: skip
        finally:
            os.close(writing)

    def fits(self, batch: int, nbytes: int | None) -> Verdict:
        """Try two steps of `batch` samples, with `nbytes` beside what torch itself takes.

        Raises:
            TrialFailed: the user's code fails, ends the process, or takes too long.
        """
        if not self._is_ready:
            self._next(_START_S, "the process that tries batches")
            self._is_ready = True
        assert self._child.stdin is not None
        asked = {**self._asked, "batch": batch, "nbytes": nbytes}
        self._child.stdin.write(json.dumps(asked).encode() + b"\n")
        self._child.stdin.flush()
        told = f"a batch of {batch}"
        found = self._next(self._limit_s, told)
        if "ended" in found:
            return self._of_end(found["ended"], told)
        self._next(self._limit_s, told)  # how the fork ended is known from its answer
        if "message" in found:
            raise TrialFailed(f"{told}: {found['message']}", remedy=found["remedy"] or "correct it")
        return Verdict(fits=found["fits"], why=found.get("why", ""), peak=found.get("peak"))

    def _of_end(self, code: int, told: str) -> Verdict:
        if code == -signal.SIGKILL:
            return Verdict(fits=False, why=_KILLED)
        if code < 0:
            return Verdict(fits=False, why=f"it ended by {signal.Signals(-code).name}")
        raise TrialFailed(
            f"{told}: the process ended itself with code {code}{self._last_words()}",
            remedy="let the code that is tuned raise an error, and not exit",
        )

    def _next(self, limit_s: float, told: str) -> dict[str, Any]:
        """The next answer."""
        end_s = time.monotonic() + limit_s
        while b"\n" not in self._left:
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not select.select([self._answers], [], [], left_s)[0]:
                raise TrialFailed(
                    f"{told}: no answer within {limit_s:g} s",
                    remedy=f"see whether it hangs; if it is slow, --limit {10 * limit_s:g}",
                )
            part = os.read(self._answers, 65536)
            if not part:
                raise TrialFailed(
                    f"{told}: the process that tries it has ended{self._last_words()}",
                    remedy="see what ended it",
                )
            self._left += part
        line, _, self._left = self._left.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f": {console.printable(lines[-1])}" if lines else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child and what it has forked."""
        if self._answers < 0:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        if self._child.stdin is not None:
            with suppress(BrokenPipeError):
                self._child.stdin.close()
        os.close(self._answers)
        self._errors.close()
        self._answers = -1


def available_nbytes(processes: int = 1) -> int | None:
    """Memory of the host that one of `processes` may take; None where nobody tells."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    with suppress(OSError, ValueError):  # "max" where there is no limit
        most = int((_CGROUP / "memory.max").read_text(encoding="ascii"))
        found.append(most - int((_CGROUP / "memory.current").read_text(encoding="ascii")))
    return int(_SHARE * min(found) / processes) if found else None
