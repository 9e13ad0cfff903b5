"""What code does outside of itself: files, connections and processes, as the audit hook tells.

It sees what Python does; what a C library does by itself is seen by what it leaves behind.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core.contracts.units import as_names
from deepseek_core.testing.leaks import held, new_names
from deepseek_core.testing.process_state import differing, process_state

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES: Final = {
    **{"os.mkdir": 0, "os.rename": 1, "os.link": 1, "os.symlink": 1},
    **{"os.remove": 0, "os.rmdir": 0, "os.chmod": 0},
}
"""Event -> which of its arguments is the path that is made, changed or removed."""

_CALLS: Final = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind")
_NAMES: Final = ("socket.getaddrinfo", "socket.gethostbyname")
_STARTS: Final = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system")
_SYSTEM: Final = ("/dev/", "/proc/", "/sys/")

COPY: Final = "a copy of the process (fork)"


@attrs.frozen(kw_only=True)
class Traces:
    """What was seen: parts `changed`, files `wrote`, addresses `called`, programs `started`.

    `left_open` names threads, open files and processes that were there at the end.
    """

    changed: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    wrote: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    called: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    started: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    left_open: tuple[str, ...] = attrs.field(default=(), converter=as_names)


def as_traces(fields: Traces | Mapping[str, Any]) -> Traces:
    """Traces of what another process wrote as JSON."""
    return fields if isinstance(fields, Traces) else Traces(**fields)


class _Recorder:
    """Events while it is active; `allowed` are folders that may be written to."""

    def __init__(self, allowed: Sequence[Path]) -> None:
        self._allowed = tuple(os.path.realpath(folder) + os.sep for folder in allowed)
        self._pid = os.getpid()
        self._vague: set[str] = set()  # by a name that may begin at an open folder
        self.wrote: dict[str, None] = {}
        self.called: dict[str, None] = {}
        self.started: dict[str, None] = {}

    def note(self, event: str, args: tuple[Any, ...]) -> None:
        if os.getpid() != self._pid:
            return
        if event == "open":
            self._opened(*args)
        elif event in _CHANGES:
            self._written(_whole(args[_CHANGES[event]], args[-1]))
        elif event == "sqlite3.connect":
            self._written(args[0])
        elif event in _CALLS:
            self._called(args[-1] if event != "socket.sendmsg" else args[1])
        elif event in _NAMES:
            self.called[f"the address of {args[0]!r}"] = None
        elif event in _STARTS:
            self.started[_program(event, args)] = None

    def _opened(self, path: object, mode: object, flags: object) -> None:
        by_mode = isinstance(mode, str) and bool(set(mode) & set("wax+"))
        if by_mode or (isinstance(flags, int) and flags & _WRITING):
            self._written(path)
            if mode is None and isinstance(path, str | bytes) and os.fsdecode(path)[:1] != os.sep:
                self._vague.add(os.path.realpath(os.fsdecode(path)))

    def _written(self, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # a descriptor, opened before or by an event of its own
        name = os.fsdecode(path)
        if name == ":memory:" or name.startswith(("file::memory:", *_SYSTEM)):
            return
        real = os.path.realpath(name)
        if "__pycache__" not in real and not f"{real}{os.sep}".startswith(self._allowed or ("\0",)):
            self.wrote[real] = None

    def _called(self, address: object) -> None:
        """Sockets of files stay in the machine."""
        if isinstance(address, tuple) and len(address) >= 2:
            self.called[f"{address[0]} port {address[1]}"] = None

    def left_writings(self) -> list[str]:
        """Files of the temporary folder that are gone again do not count."""
        passing = os.path.realpath(tempfile.gettempdir()) + os.sep
        return [
            file
            for file in self.wrote
            if os.path.lexists(file) or not (file.startswith(passing) or file in self._vague)
        ]


class _Listener:
    """The audit hook of this process, which can be added once and never removed."""

    def __init__(self) -> None:
        self.active: list[_Recorder] = []
        self._added = False

    def add(self) -> None:
        if not self._added:
            sys.addaudithook(self.note)
            self._added = True

    def note(self, event: str, args: tuple[Any, ...]) -> None:
        for recorder in self.active:
            recorder.note(event, args)


_LISTENER: Final = _Listener()


@contextmanager
def watching(*allowed: Path) -> Iterator[Callable[[], Traces]]:
    """Watch what happens in the block; the function gives the traces up to its call.

    `allowed` are folders that may be written to.
    """
    tempfile.gettempdir()  # its first call tries the folder by writing to it
    recorder, before, state = _Recorder(allowed), held(), process_state()
    found: dict[str, Traces] = {}

    def seen() -> Traces:
        return found["end"] if "end" in found else _traces(recorder, before, state)

    _LISTENER.add()
    _LISTENER.active.append(recorder)
    try:
        yield seen
        found["end"] = seen()
    finally:
        _LISTENER.active.remove(recorder)


def _traces(recorder: _Recorder, before: Any, state: Mapping[str, object]) -> Traces:
    changed = differing(state, process_state())
    return Traces(
        changed=changed,
        wrote=recorder.left_writings(),
        called=tuple(recorder.called),
        started=tuple(recorder.started),
        left_open=new_names(before, held()),
    )


def _whole(path: object, folder: object) -> object:
    """The path, which may begin at an open folder."""
    if not isinstance(folder, int) or isinstance(folder, bool) or folder < 0:
        return path
    if not isinstance(path, str | bytes | os.PathLike):
        return path
    return Path(os.path.realpath(f"/proc/self/fd/{folder}")) / os.fsdecode(path)


def _program(event: str, args: tuple[Any, ...]) -> str:
    if event in ("os.fork", "os.forkpty"):
        return COPY
    told = args[1] if event == "subprocess.Popen" and args[1] else args[0]
    words = told if isinstance(told, str | bytes) else " ".join(map(os.fsdecode, told))
    return os.fsdecode(words)[:100]
