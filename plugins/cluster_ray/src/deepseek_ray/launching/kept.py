"""Keeps one command on a node: whatever ends who asked for it ends all that the command began.

    python -m deepseek_ray.launching.kept [--remove FOLDER] WORD [WORD ...]

stdin says when to end: a line with seconds is how long the command may take between SIGTERM and
SIGKILL, and the end of stdin without one, as when the actor that holds it is gone, stands for
GRACE_S. Ray kills the children of an actor that ends, so a child of this process does the work.
Linux only: it is the parent of whatever the command leaves behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

GRACE_S: Final = 10.0
_KILL_S: Final = 5.0
_LOOK_S: Final = 0.05
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # of linux/prctl.h
_libc: Final = ctypes.CDLL(None)


def main(words: Sequence[str]) -> int:
    """Let a child keep the command; the exit code of both."""
    if child := os.fork():
        return _as_shell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return keep(words)


def keep(words: Sequence[str]) -> int:
    """Run the command to its end; its exit code as a shell has it, 128 and the signal if killed."""
    folder = None
    if words[0] == "--remove":
        folder, words = words[1], words[2:]
    _libc.prctl(_SET_CHILD_SUBREAPER, 1)
    try:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - there is one thread
        )  # fmt: skip
        while process.poll() is None:
            if select.select([0], [], [], _LOOK_S)[0]:
                _end(process, _seconds(os.read(0, 64)))
        _kill_rest()
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    return _as_shell(process.returncode)


def _as_shell(code: int) -> int:
    return code if code >= 0 else 128 - code


def _end_with_parent() -> None:
    _libc.prctl(_SET_PDEATHSIG, signal.SIGTERM)


def _seconds(line: bytes) -> float:
    with contextlib.suppress(ValueError):
        return float(line)
    return GRACE_S


def _end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    process.terminate()
    process.send_signal(signal.SIGCONT)  # a stopped one can't end
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_s)
        return
    process.kill()
    process.wait()


def _kill_rest() -> None:
    """End what the command left: orphans are children of this process, and theirs follow."""
    until_s = time.monotonic() + _KILL_S
    while (left := _children()) and time.monotonic() < until_s:
        for child in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def _children() -> list[int]:
    return [int(word) for word in Path("/proc/thread-self/children").read_text().split()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
