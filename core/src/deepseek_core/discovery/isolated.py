"""Running a stranger's code in a process of its own, with limits; nothing of it survives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, TypeVar
from uuid import uuid4

import attrs

from deepseek_core.contracts.secret import remember, scrub
from deepseek_core.contracts.units import usable_cores
from deepseek_core.discovery.distributions import import_path
from deepseek_core.discovery.fingerprint import fingerprint
from deepseek_core.discovery.scan import EntryPoint, identities
from deepseek_core.discovery.switches import Switches
from deepseek_core.discovery.telemetry import without_telemetry

# More at once only slows them down until they run into their time-outs.
_AT_ONCE: Final = 8
_TAIL_BYTES: Final = 4096
_LARGEST_ANSWER: Final = 1 << 20  # bytes; a thousand devices take a quarter of it
# The stacks of a pool with one thread for each core count as memory in use.
_STACK_BYTES: Final = 16 << 20
_MARK: Final = "DEEPSEEK_CHILD"
_DYING_S: Final = 5.0  # a process that is killed takes a moment

T = TypeVar("T")
A = TypeVar("A")


@attrs.frozen(kw_only=True)
class Outcome:
    """How a child ended.

    `answer` is what it wrote, None if nothing that can be used. `code` is its exit code, negative
    for a signal, None when the time was up. `left` counts processes that it left behind.
    """

    answer: dict[str, Any] | None = None
    nbytes: int = 0
    code: int | None = None
    last_words: str = ""
    left: int = 0
    seconds: float = 0.0

    def ending(self, what: str, limit_s: float) -> str:
        """What happened to a child without an answer, as a sentence about `what`."""
        said = f"; its last words: {self.last_words}" if self.last_words else ""
        if self.nbytes > _LARGEST_ANSWER:
            return f"{what}'s answer has {self.nbytes} bytes; {_LARGEST_ANSWER} are allowed"
        if self.code is None:
            return f"{what} did not answer in {limit_s:g} s and was killed{said}"
        if self.code < 0:
            return f"{what} crashed with {_signal_name(-self.code)}{said}"
        return f"{what}'s process ended with code {self.code} and no answer{said}"


class Children:
    """The children that run now; one with the limits of the switches is started by `ask`."""

    def __init__(
        self, switches: Switches, *, timeout_s: float, resolved: Sequence[EntryPoint] = ()
    ) -> None:
        self.timeout_s = timeout_s
        gib = switches.probe_memory_gib
        stacks = _STACK_BYTES * usable_cores() if gib >= 1 else 0
        # An entry point that no scan has found can't be found by the child either.
        known = [point for point in resolved if point.location]
        self._base = {
            "path": import_path(),
            "limit_s": timeout_s,
            "most_bytes": _LARGEST_ANSWER,
            "memory_gib": gib,
            "data_bytes": int(gib * (1 << 30)) + stacks,
            "resolved": identities(known),
            "fingerprint": fingerprint(known),
        }
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def ask(self, task: str, **request: object) -> Outcome:
        """Have one task done; see `_child` for the requests."""
        start_s = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="deepseek-child-") as name:
            outcome = self._run(Path(name), {**self._base, "task": task, **request})
        if task == "load" and outcome.answer is not None:
            remember((kind, source) for kind, source in outcome.answer.get("secrets", ()))
        seconds = round(time.perf_counter() - start_s, 4)
        if outcome.code is None:  # it had no more than this, however long a busy machine took
            seconds = self.timeout_s
        return attrs.evolve(outcome, seconds=seconds)

    def each(self, function: Callable[[A], T], items: Iterable[A]) -> list[T]:
        """Call the function, which asks, for all items side by side; the order is kept."""
        todo = list(items)
        if not todo:
            return []
        with ThreadPoolExecutor(min(_AT_ONCE, len(todo)), "child") as pool:
            try:
                return list(pool.map(function, todo))
            except BaseException:  # Ctrl-C: no child may outlive its parent
                pool.shutdown(wait=False, cancel_futures=True)
                self._kill_all()
                raise

    def _run(self, folder: Path, request: dict[str, object]) -> Outcome:
        file, answer, output = folder / "request.json", folder / "answer.json", folder / "output"
        file.write_text(json.dumps({**request, "answer": str(answer)}), encoding="utf-8")
        token = uuid4().hex
        with output.open("wb") as stream:
            child = _start(file, stream, token)
        code, left = self._wait(child, token)
        content, nbytes = _read(answer)
        return Outcome(
            answer=content, nbytes=nbytes, code=code, left=left, last_words=_last_line(output)
        )

    def _wait(self, child: subprocess.Popen[bytes], token: str) -> tuple[int | None, int]:
        """The exit code, None if the time was up, and the processes left. None survives."""
        code: int | None = None
        left: list[int] = []
        with self._lock:
            self._running.add(child)
            stopped = self._stopped
        try:
            with suppress(subprocess.TimeoutExpired):
                code = None if stopped else child.wait(self.timeout_s)
            left = _descendants(token, child.pid)
        finally:
            for pid in left:  # those that made a group of their own
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            end_group(child)
            with self._lock:
                self._running.discard(child)
        return code, len(left)

    def _kill_all(self) -> None:
        """End every child now, and those that a thread is about to start."""
        with self._lock:
            self._stopped = True
            for child in self._running:
                _kill_group(child)


def _start(request: Path, output: IO[bytes], token: str) -> subprocess.Popen[bytes]:
    # -P: a json.py in the user's folder must not stand in for the library's.
    command = [sys.executable, "-P", "-m", "deepseek_core.discovery._child", str(request)]
    root = str(Path(__file__).parents[2])  # where deepseek_core is
    inherited = os.environ.get("PYTHONPATH")
    environment = {
        **without_telemetry(os.environ),
        "PYTHONPATH": os.pathsep.join([root, inherited] if inherited else [root]),
        _MARK: token,
    }
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )


def end_group(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and all of its group; leave one that a driver's call holds in the kernel."""
    _kill_group(child)
    with suppress(subprocess.TimeoutExpired):
        child.wait(_DYING_S)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # all of the group have ended
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:  # Windows has no groups of processes
            child.kill()


def _descendants(token: str, own: int) -> list[int]:
    """Processes that inherited the token, wherever they have gone; where /proc tells."""
    wanted = f"{_MARK}={token}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(folder.name) != own and wanted in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def _read(file: Path) -> tuple[dict[str, Any] | None, int]:
    """The answer and its size: not trusted, as the other process wrote it."""
    try:
        nbytes = file.stat().st_size
        if nbytes > _LARGEST_ANSWER:
            return None, nbytes
        answer = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(answer, dict):
            return None, 0
        return (None, answer["too_large"]) if "too_large" in answer else (answer, nbytes)
    except (OSError, ValueError):
        return None, 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(output: Path) -> str:
    with output.open("rb") as stream:
        stream.seek(max(0, output.stat().st_size - _TAIL_BYTES))
        lines = stream.read().decode("utf-8", "replace").split("\n")
    spoken = [line.strip() for line in lines if line.strip()]
    return scrub(spoken[-1])[:200] if spoken else ""
