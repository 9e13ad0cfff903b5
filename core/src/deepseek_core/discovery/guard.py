"""What a plugin may not do to the process while it loads: found, undone and told.

It may not hang, fork, change environment variables, or replace parts of the standard library.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from deepseek_core.contracts.errors import PluginError
from deepseek_core.discovery.strangers import Overdue

# A plugin that catches everything is told again.
_AGAIN_S: Final = 1.0
# What the SDK and every other plugin rely on. A module that is not imported yet is looked at
# afterwards, by whether the function still comes from that module.
_WATCHED: Final = (
    ("builtins", ("__import__", "open", "print")),
    ("json", ("dump", "dumps", "load", "loads")),
    ("os", ("environ", "getenv", "open", "_exit")),
    ("sys", ("excepthook", "exit", "stderr", "stdout")),
)

_MISSING: Final = object()

_WAIT_S: Final = 120.0
"""How long a thread waits for another that loads plugins: a hang of one is not a hang of all."""


class Guard:
    """What the process is like before a plugin loads."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._environ = os.environ
        self._variables = dict(os.environ)
        self._parts = {
            (module, name): getattr(sys.modules[module], name, _MISSING)
            for module, names in _WATCHED
            if module in sys.modules
            for name in names
        }

    def variables_restored(self) -> str | None:
        """Undo changes of environment variables; says which, by name only."""
        now = dict(self._environ)
        if now == self._variables:
            return None
        words = [
            (word, sorted(names))
            for word, names in (
                ("deleted", self._variables.keys() - now.keys()),
                ("set", now.keys() - self._variables.keys()),
                ("changed", {k for k, v in self._variables.items() if now.get(k, v) != v}),
            )
        ]
        for name in now.keys() - self._variables.keys():
            del self._environ[name]
        self._environ.update(self._variables)
        told = "; ".join(f"{word} {', '.join(names)}" for word, names in words if names)
        return f"its import changed the environment, which was restored: {told}"

    def library_restored(self) -> str | None:
        """Undo replacements in the standard library; says which.

        What else such a plugin has changed can't be known.
        """
        replaced = [f"{module}.{name}" for module, name in self._restore()]
        if not replaced:
            return None
        return f"its import replaced {', '.join(replaced)}, which was restored"

    def _restore(self) -> Iterator[tuple[str, str]]:
        for (module, name), value in self._parts.items():
            if getattr(sys.modules[module], name, _MISSING) is not value:
                setattr(sys.modules[module], name, value)
                yield module, name
        for module, names in _WATCHED:
            if module in sys.modules and (module, names[0]) not in self._parts:
                yield from _reloaded(module, names)

    def end_copies(self) -> None:
        """Leave at once in a copy that the plugin made of this process."""
        # The copy of a plugin that forks would run the user's command a second time.
        if os.getpid() != self._pid:
            os._exit(0)


def _reloaded(module: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Parts of a module, new in this process, that do not come from it; it is loaded again."""
    home = vars(sys.modules[module])
    foreign = [name for name in names if getattr(home.get(name), "__globals__", None) is not home]
    if foreign:
        from importlib import reload

        reload(sys.modules[module])
    for name in foreign:
        yield module, name


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `Overdue` in this thread when the time is up; 0 is no limit.

    It needs the alarm clock of the process: in any thread but the main one, and where the
    application handles the alarm itself, there is no limit. Native code that never returns to
    Python is not stopped; `ds-sdk doctor` loads plugins in a process that is.
    """
    outer_s = signal.getitimer(signal.ITIMER_REAL)[0]
    if not (seconds and _alarm_is_ours() and (outer_s == 0 or outer_s > seconds)):
        yield
        return
    start_s = time.perf_counter()
    signal.signal(signal.SIGALRM, _overdue)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_S)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        if outer_s:  # an alarm that was set to end the process is set again
            left_s = outer_s - (time.perf_counter() - start_s)
            signal.setitimer(signal.ITIMER_REAL, max(left_s, 1e-3))


class _Turn:
    """The lock of loading; a forked child has one of its own, which nobody holds."""

    def __init__(self) -> None:
        self.renew()
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = threading.RLock()


_TURN: Final = _Turn()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one thread load plugins: streams, variables and library are those of the whole process.

    Raises:
        PluginError: another thread does not end.
    """
    lock = _TURN.lock
    if not lock.acquire(timeout=_WAIT_S):
        raise PluginError(
            f"another thread has been loading plugins for {_WAIT_S:g} s",
            remedy="ds-sdk doctor (it names a plugin whose import does not end)",
        )
    try:
        yield
    finally:
        lock.release()


def _alarm_is_ours() -> bool:
    try:
        if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # in another thread this raises
            return True
    except ValueError:
        pass
    return False


def _overdue(_number: int, _frame: FrameType | None) -> None:
    raise Overdue
