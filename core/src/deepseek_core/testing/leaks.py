"""Whether something left threads, files or processes behind."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

TOKEN: Final = "DEEPSEEK_CHILD"  # noqa: S105 - the name of a variable, inherited by all children
_PATIENCE_S: Final = 3.0  # a thread that was told to end may take a moment
_FIRST_LOOK_S: Final = 0.02
_LAST_LOOKS_S: Final = 0.5


def check_releases(use: Callable[[], None]) -> None:
    """Open, use and close something twice: the second time must leave nothing new.

    The first time may: a library's own pools and files stay for the life of the process.
    """
    use()
    gc.collect()
    before = _threads_and_files()
    use()
    left = settled(lambda: new_names(before, _threads_and_files()))
    assert not left, f"left open: {', '.join(left)}"


def settled(left: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """What is still left when what was told to end had a moment to do so."""
    deadline_s, pause_s = time.monotonic() + _PATIENCE_S, _FIRST_LOOK_S
    while (names := left()) and time.monotonic() < deadline_s:
        gc.collect()  # costs as much as all that is loaded: rarely, if it takes long
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LAST_LOOKS_S)
    return names


def held() -> Counter[str]:
    """Threads, open files and child processes of this process, by name."""
    processes = Counter(f"process {pid} ({name})" for pid, name in _processes())
    return _threads_and_files() + processes


def _threads_and_files() -> Counter[str]:
    names = Counter(f"thread {thread.name}" for thread in threading.enumerate())
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the listing's own, closed by now
            names[f"file {link.readlink()}"] += 1
    return names


def new_names(before: Counter[str], after: Counter[str]) -> tuple[str, ...]:
    """What came since, without the look at it itself."""
    return tuple(sorted(name for name in after - before if not name.startswith("file /proc/")))


def _processes() -> Iterator[tuple[int, str]]:
    """Children, and those that went away from us and still carry our mark or session."""
    mine, session = os.getpid(), os.getsid(0)
    mark = f"{TOKEN}={os.environ[TOKEN]}".encode() if TOKEN in os.environ else None
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            pid = int(folder.name)
            head, _, tail = (folder / "stat").read_text().rpartition(")")
            state, parent, _group, sid = tail.split()[:4]
            ours = int(parent) == mine or (int(sid) == session and session == mine)
            marked = mark is not None and mark in (folder / "environ").read_bytes().split(b"\0")
            if pid != mine and state != "Z" and (ours or marked):
                yield pid, head.partition("(")[2]
