"""Calls of a backend in a process of its own, within a limit; it never outlives us.

NVIDIA's library keeps the first logger that it is given, prints past it, and may crash or hang.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final

import attrs

from deepseek_core import DeepSeekError, errors
from deepseek_trt.backends.backend import Severity
from deepseek_trt.building.frames import HEAD, read_frame, write_frame
from deepseek_trt.building.wire import unpacked
from deepseek_trt.errors import BuildFailed

_TICK_S: Final = 1.0
_KILLED_S: Final = 10.0
_KEPT_NBYTES: Final = 1 << 16
_CHUNK_NBYTES: Final = 1 << 20
_SLOWER: Final = "raise --time-limit, or build a smaller model"
_CRASHED: Final = "see the log; build with another backend or version, or cut the model in two"

Progress = Callable[[float, str], None]
"""Gets the seconds since the start and the last message, about once a second."""


@attrs.define
class Log:
    """Messages of the library: errors and warnings, and the latest of all kinds."""

    lines: list[str] = attrs.field(factory=list)
    last: str = ""
    nbytes: int = 0

    def add(self, severity: Severity, text: str) -> None:
        """Keep a message; of those that only inform, the last."""
        self.last = text
        if severity != "info" and self.nbytes < _KEPT_NBYTES:
            self.lines.append(f"{severity}: {text}")
            self.nbytes += len(text)

    @property
    def text(self) -> str:
        """Errors and warnings, a line each."""
        return "\n".join(self.lines)


@attrs.frozen(kw_only=True)
class Call:
    """One call: what to do, by which backend, and for how long at most."""

    task: str
    backend: str
    limit_s: float
    model: bytes = attrs.field(default=b"", repr=False)
    options: dict[str, Any] = attrs.field(factory=dict)
    timings: Path | None = None

    def request(self) -> bytes:
        """What the child reads first."""
        timings = None if self.timings is None else str(self.timings)
        given = {"task": self.task, "backend": self.backend, "options": self.options}
        return json.dumps({**given, "timings": timings}).encode()


def run(call: Call, log: Log, progress: Progress | None = None) -> Any:
    """Have the call done in a child, and return its answer.

    Raises:
        BuildFailed: it crashed, or took longer than the limit; `log` has its last words.
        DeepSeekError: whatever the backend raised, with the log.
    """
    with tempfile.TemporaryFile() as printed:
        with _child(printed) as (process, pipe):
            sending = threading.Thread(target=_send, args=(process.stdin, call), daemon=True)
            sending.start()
            answer = _received(pipe, call, log, progress)
        if answer is None:
            log.lines += _tail(printed)
            raise _ended(call, process.returncode or 0, log)
    result = unpacked(*answer)
    if isinstance(result, DeepSeekError):
        raise _with_log(result, log)
    return result


@contextlib.contextmanager
def _child(printed: IO[bytes]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    ours, theirs = os.pipe()
    try:
        # -P: a tensorrt.py in the user's folder must not stand in for the library.
        command = [sys.executable, "-P", "-m", "deepseek_trt.building.child"]
        process = subprocess.Popen(
            [*command, str(theirs), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs,),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # Ctrl-C is ours; we end it
        )
    except OSError as error:
        os.close(ours)
        raise errors.DeviceUnavailable(
            f"no process can be started: {error.strerror}",
            device_id="tensorrt",
            remedy="free memory, or raise the limit of processes (ulimit -u)",
        ) from error
    finally:
        os.close(theirs)
    try:
        yield process, ours
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # in a driver that hangs
            process.wait(_KILLED_S)
        os.close(ours)


def _send(stdin: Any, call: Call) -> None:
    # If it went away, the pipe of answers tells.
    with contextlib.suppress(OSError, ValueError), stdin:
        write_frame(stdin, b"Q", call.request())
        write_frame(stdin, b"Q", call.model)


def _received(
    pipe: int, call: Call, log: Log, progress: Progress | None
) -> tuple[bytes, bytes] | None:
    """The answer; None if the child went away without one."""
    start_s = told_s = time.monotonic()
    frames = _Frames(log)
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            spent_s = time.monotonic() - start_s
            if spent_s > call.limit_s:
                raise _too_slow(call, log)
            if selector.select(min(_TICK_S, call.limit_s - spent_s + 0.01)):
                piece = os.read(pipe, _CHUNK_NBYTES)
                if not piece:
                    return None
                frames.add(piece)
                if frames.answer is not None:
                    return frames.answer, frames.content
            if progress is not None and time.monotonic() >= told_s + _TICK_S:
                told_s = time.monotonic()
                progress(told_s - start_s, log.last)


class _Frames:
    """Frames as they come in: messages go to the log, the rest is kept."""

    def __init__(self, log: Log) -> None:
        self.answer: bytes | None = None
        self.content = b""
        self._log = log
        self._waiting = bytearray()

    def add(self, piece: bytes) -> None:
        """Take what came, and whole frames off its start."""
        self._waiting += piece
        while len(self._waiting) >= HEAD.size:
            _kind, nbytes = HEAD.unpack(self._waiting[: HEAD.size])
            end = HEAD.size + nbytes
            if len(self._waiting) < end:
                return
            self._take(*read_frame(io.BytesIO(self._waiting[:end])))
            del self._waiting[:end]

    def _take(self, kind: bytes, content: bytes) -> None:
        if kind == b"M":
            self._log.add(*json.loads(content))
        elif kind == b"C":
            self.content = content
        else:
            self.answer = content


def _tail(printed: IO[bytes]) -> list[str]:
    printed.seek(max(0, printed.seek(0, io.SEEK_END) - _KEPT_NBYTES))
    return printed.read().decode("utf-8", "replace").splitlines()


def _too_slow(call: Call, log: Log) -> BuildFailed:
    last = f"; its last message: {log.last}" if log.last else ""
    return BuildFailed(
        f"{call.backend} did not {call.task} within {call.limit_s:g} s and was ended{last}",
        device_id=call.backend,
        log=log.text,
        remedy=_SLOWER,
    )


def _ended(call: Call, code: int, log: Log) -> BuildFailed:
    how = f"crashed with {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    last = f"; its last words: {log.lines[-1]}" if log.lines else ""
    return BuildFailed(
        f"{call.backend} {how} in mid-{call.task}{last}",
        device_id=call.backend,
        log=log.text,
        remedy=_CRASHED,
    )


def _with_log(error: DeepSeekError, log: Log) -> DeepSeekError:
    if isinstance(error, errors.CompileError) and not error.log:
        error.log = log.text
    return error
