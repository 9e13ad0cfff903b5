"""What a plugin may not do to the process while it loads: found, undone and told.

It may not hang, fork, change environment variables, replace parts of the standard library, or leave
the process in another state than it found: `process_state` has what is looked at.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

from deepseek_core.contracts.errors import PluginError
from deepseek_core.discovery.process_state import file_of, readers
from deepseek_core.discovery.strangers import Overdue

# A plugin that catches everything is told again.
_AGAIN_S: Final = 1.0
# What the SDK and every other plugin rely on, () for all of a module. One that is not imported yet
# is looked at afterwards, by whether its parts still come from it.
_WATCHED: Final[dict[str, tuple[str, ...]]] = {
    "_thread": ("allocate_lock", "get_ident", "start_new_thread"),
    "asyncio": ("get_event_loop", "run"),
    "builtins": (),
    "deepseek_core": (),
    "json": ("dump", "dumps", "load", "loads"),
    "os": (),
    "pickle": ("dump", "dumps", "load", "loads"),
    "select": ("select",),
    "signal": ("signal",),
    "socket": ("create_connection", "getaddrinfo", "socket"),
    "ssl": ("SSLContext", "_create_default_https_context", "create_default_context"),
    "subprocess": ("Popen", "run"),
    "sys": ("exit",),
    "threading": ("Event", "Lock", "RLock", "Thread"),
    "time": ("monotonic", "perf_counter", "sleep", "time"),
}
# Of what a plugin imports first: parts that are another part of their module, unless replaced.
_ALIASES: Final = {"_create_default_https_context": "create_default_context"}
Parts = dict[str, dict[str, Any]]
_STREAMS: Final = "the streams"
_MISSING: Final = object()
_UNREADABLE: Final = object()

_WAIT_S: Final = 120.0
"""How long a thread waits for another that loads plugins: a hang of one is not a hang of all."""


class Guard:
    """What the process is like before a plugin loads; `with` it, plugins one after the other."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._environ = os.environ  # the object: a plugin may put another one in its place
        # by module: what of it is looked at
        self._parts = library_parts()
        self._readers = readers()  # part of the state -> how it is read
        self._kept: dict[int, int] = {}  # standard descriptor -> a copy, to put it back from
        for descriptor in (0, 2):
            with suppress(OSError):
                self._kept[descriptor] = os.dup(descriptor)
        self._files = {kept: file_of(kept) for kept in self._kept.values()}
        self._lost: list[str] = []  # parts of the import system that were put back early
        self.look()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        for kept in self._kept.values():
            with suppress(OSError):  # a plugin has closed it
                os.close(kept)

    def look(self) -> None:
        """Take the process as it is now for what is to be kept."""
        self._variables = _raw(self._environ)
        self._state = self._read()

    def _read(self) -> dict[str, object]:
        state: dict[str, object] = {}
        for name, read in self._readers.items():
            try:
                state[name] = read()
            except Exception:  # noqa: BLE001 - a plugin may have put anything there
                state[name] = _UNREADABLE
        return state

    def restored(self) -> str | None:
        """Undo what a plugin did to the process; says what, and what it has left behind.

        Parts of the standard library that it has replaced are not among it: see `library_restored`.
        """
        lost = [f"its import changed {name}, which was restored" for name in self._lost]
        self._lost.clear()
        told = [self._variables_restored(), *lost, self._state_restored()]
        if told[
            -1
        ]:  # a stream that lost its place to the one before may have closed it, as it went
            told.append(self._state_restored(_STREAMS))
        found = "; ".join(filter(None, told))
        if found:
            self.look()
        return found or None

    def _state_restored(self, only: str | None = None) -> str | None:
        now, before = self._read(), self._state
        if only is not None:
            before = {name: value for name, value in before.items() if name == only}
        if all(now[name] == value for name, value in before.items()):
            return None
        from deepseek_core.discovery.undoing import undone

        return undone(before, now, self._kept)

    def _variables_restored(self) -> str | None:
        if _raw(self._environ) == self._variables:
            return None
        from deepseek_core.discovery.undoing import variables_undone

        return variables_undone(self._environ, self._variables)

    def library_restored(self) -> str | None:
        """Undo replacements in the standard library; says which.

        What else such a plugin has changed can't be known.
        """
        replaced = [f"{module}.{name}" for module, name in self._restore()]
        if not replaced:
            return None
        return f"its import replaced {', '.join(sorted(replaced))}, which was restored"

    def _restore(self) -> Iterator[tuple[str, str]]:
        yield from put_back_parts(self._parts)
        for module, names in _WATCHED.items():
            if module in sys.modules and module not in self._parts:
                yield from _reloaded(module, names)

    def let_import(self) -> None:
        """Put back what is gone of the import system: the SDK itself imports to tell of it."""
        for attribute in ("meta_path", "path_hooks", "path"):
            name = f"sys.{attribute}"
            known: Any = self._state.get(name, ())
            now = getattr(sys, attribute)
            if any(not any(old is new for new in now) for old in known):
                setattr(sys, attribute, list(known))
                self._lost.append(name)

    def has_files(self) -> bool:
        """Whether the files that this process had open are open still, as far as is known."""
        return all(file_of(kept) == file for kept, file in self._files.items())

    def end_copies(self) -> None:
        """Leave at once in a copy that the plugin made of this process."""
        # The copy of a plugin that forks would run the user's command a second time.
        if os.getpid() != self._pid:
            os._exit(0)


def _raw(environ: Any) -> dict[Any, Any]:
    """The variables as the system has them: to decode all of them takes longer than the rest."""
    return dict(getattr(environ, "_data", environ))


def library_parts() -> Parts:
    """What is watched of the modules that are imported."""
    return {
        module: {name: home[name] for name in names if name in home} if names else dict(home)
        for module, names in _WATCHED.items()
        if module in sys.modules and (home := vars(sys.modules[module]))
    }


def replaced_parts(parts: Parts) -> Iterator[tuple[str, str]]:
    """Module and name of each part that is another one now."""
    for module, known in parts.items():
        for name in _replaced(known, vars(sys.modules[module])):
            yield module, name


def put_back_parts(parts: Parts) -> Iterator[tuple[str, str]]:
    """Put back each part that was replaced; says which."""
    for module, name in replaced_parts(parts):
        vars(sys.modules[module])[name] = parts[module][name]
        yield module, name


def _replaced(parts: dict[str, Any], home: dict[str, Any]) -> list[str]:
    with suppress(Exception):  # of what is identical `==` asks nothing, else it asks a stranger
        if parts == home:
            return []
    return [name for name, value in parts.items() if home.get(name, _MISSING) is not value]


def _reloaded(module: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Parts of a module, new in this process, that do not come from it; it is loaded again."""
    home = vars(sys.modules[module])
    foreign = [name for name in names if not _is_own(module, name, home)]
    if foreign:
        from importlib import reload

        for name in [n for n in sys.modules if n.startswith(f"{module}.")] + [module]:
            reload(sys.modules[name])
    for name in foreign:
        yield module, name


def _is_own(module: str, name: str, home: dict[str, Any]) -> bool:
    """Whether a part of a module comes from it, or from the C module or package below it."""
    value = home.get(name)
    if name in _ALIASES and value is not home.get(_ALIASES[name]):
        return False
    origin = getattr(value, "__module__", None)
    top = origin.partition(".")[0].strip("_") if isinstance(origin, str) else ""
    namespace = getattr(value, "__globals__", {"__name__": origin})
    return bool(top) and module.strip("_").startswith(top) and namespace.get("__name__") == origin


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `Overdue` in this thread when the time is up; 0 is no limit.

    It needs the alarm clock of the process: in any thread but the main one, and where the
    application handles the alarm itself, there is no limit. Native code that never returns to
    Python is not stopped: see `fatal`. `ds-sdk doctor` loads plugins in a process that is.
    """
    outer_s = signal.getitimer(signal.ITIMER_REAL)[0] if hasattr(signal, "getitimer") else 0.0
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
        self.holder: int | None = None  # the thread that loads plugins


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
    outer, _TURN.holder = _TURN.holder, threading.get_ident()
    try:
        yield
    finally:
        _TURN.holder = outer
        try:
            lock.release()
        except RuntimeError:  # a plugin has replaced the locks of the process by its own
            _TURN.renew()


def is_loading() -> bool:
    """Whether this thread loads plugins now."""
    return _TURN.holder == threading.get_ident()


def _alarm_is_ours() -> bool:
    if not hasattr(signal, "setitimer"):  # Windows
        return False
    try:
        if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # in another thread this raises
            return True
    except ValueError:
        pass
    return False


def _overdue(_number: int, _frame: FrameType | None) -> None:
    raise Overdue
