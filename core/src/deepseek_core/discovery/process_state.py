"""The state of the process that plugins share, by what reads each part of it.

Each takes about a microsecond. `undoing` has what puts them back, under the same names.
"""

from __future__ import annotations

import _codecs
import _signal  # type: ignore[import-not-found]  # `signal` makes an enum of each, which is slow
import builtins
import faulthandler
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final


class Objects(tuple[Any, ...]):
    """Objects that are compared by identity: a stranger's `==` may do anything."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Objects) or len(self) != len(other):
            return False
        return all(mine is its for mine, its in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self)))


def _working_folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - text, and at every start
    except OSError:  # it was deleted
        return None


def _umask() -> int:
    mask = os.umask(0o077)  # the only way to ask; a file that is made meanwhile is private
    os.umask(mask)
    return mask


def _handlers() -> Objects:
    return Objects(map(_signal.getsignal, SIGNALS))


def _standard_descriptors() -> tuple[tuple[int, int] | None, ...]:
    return file_of(0), file_of(2)


def file_of(descriptor: int) -> tuple[int, int] | None:
    """Device and inode of the file that is open there; None if none is."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _collector() -> tuple[object, ...]:
    return gc.isenabled(), gc.get_threshold(), gc.get_debug()  # to count what is frozen takes long


def _locale() -> str | None:
    import _locale as native  # what `locale` asks, which is not imported at every start

    return native.setlocale(native.LC_ALL, None)


def _hooks() -> Objects:
    return Objects(getattr(sys, name, None) for name in SYS_HOOKS)


def _thread_hooks() -> Objects:
    return Objects((threading.excepthook, threading.gettrace(), threading.getprofile()))


def _tracing() -> Objects:
    return Objects((sys.gettrace(), sys.getprofile()))


def _loaded(module: str, read: Callable[[Any], object]) -> Callable[[], object]:
    """The reader of a module's state; None while that is not imported."""

    def state() -> object:
        found = sys.modules.get(module)
        return None if found is None else read(found)

    return state


def _logging(module: Any) -> tuple[object, ...]:
    root = module.root
    handlers, filters = Objects(root.handlers), Objects(root.filters)
    return (
        root.level, handlers, filters, root.manager.disable, module.raiseExceptions,
        module.getLoggerClass(),
    )  # fmt: skip


def decimal_state(context: Any) -> tuple[object, ...]:
    """The settings of a decimal context, without the flags of past calculations."""
    c = context
    traps = tuple(signal for signal, is_set in c.traps.items() if is_set)
    return c.prec, c.rounding, c.Emin, c.Emax, c.capitals, c.clamp, traps


def _streams() -> tuple[object, ...]:
    """How Python's own streams are: a plugin may close, detach or reconfigure them."""
    return tuple(stream_state(getattr(sys, name)) for name in STREAMS)


def stream_state(stream: Any) -> tuple[object, ...] | None:
    """Encoding, errors and buffering; None for one that is closed, detached or not there."""
    try:
        if stream.closed:
            return None
        return stream.encoding, stream.errors, stream.line_buffering
    except (AttributeError, ValueError):
        return None


def _timers() -> tuple[bool, ...]:
    return tuple(_signal.getitimer(which)[0] > 0 for which in TIMERS)


def _settings() -> Objects:
    return Objects(getattr(sys, name, None) for name in SYS_SETTINGS)


def _printing(module: Any) -> Objects:
    return Objects((module.showwarning, module.formatwarning))


def _torch_defaults(module: Any) -> tuple[object, ...] | None:
    if not hasattr(module, "is_grad_enabled"):  # it is being imported
        return None
    return str(module.get_default_dtype()), module.is_grad_enabled()


def _numpy_errors(module: Any) -> tuple[object, ...] | None:
    if not hasattr(module, "geterr"):  # it is being imported
        return None
    return tuple(module.geterr().items())


def _numpy_random(module: Any) -> tuple[object, ...]:
    kind, keys, *rest = module.get_state()
    return kind, keys.tobytes(), *rest


def _lowest_free() -> int:
    """The descriptor that the next file gets: it rises when one is left open."""
    try:
        free = os.dup(2)
    except OSError:
        return -1
    os.close(free)
    return free


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (ChildProcessError, AttributeError):
        return False
    return True


SYS_HOOKS: Final = (
    "stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__", "displayhook",
    "excepthook", "unraisablehook", "breakpointhook",
)  # fmt: skip
STREAMS: Final = ("__stdin__", "__stdout__", "__stderr__")
SYS_SETTINGS: Final = (
    "dont_write_bytecode", "executable", "exec_prefix", "prefix", "pycache_prefix",
    "tracebacklimit",
)  # fmt: skip
TEXT_ERRORS: Final = ("strict", "ignore", "replace", "backslashreplace", "surrogateescape")
TIMERS: Final = (
    (_signal.ITIMER_VIRTUAL, _signal.ITIMER_PROF) if hasattr(_signal, "ITIMER_PROF") else ()
)
SIGNALS: Final = tuple(sorted(_signal.valid_signals()))

_READERS: Final[dict[str, Callable[[], object]]] = {
    "the working folder": _working_folder,
    "the umask": _umask,
    "signal handlers": _handlers,
    "standard descriptors": _standard_descriptors,
    "the process group": os.getpgrp if hasattr(os, "getpgrp") else lambda: None,
    "sys.argv": lambda: tuple(sys.argv),
    "sys.path": lambda: tuple(sys.path),
    "sys.meta_path": lambda: Objects(sys.meta_path),
    "sys.path_hooks": lambda: Objects(sys.path_hooks),
    "sys hooks": _hooks,
    "the streams": _streams,
    "sys settings": _settings,
    "the handling of text errors": lambda: Objects(map(_codecs.lookup_error, TEXT_ERRORS)),
    "names in builtins": lambda: frozenset(vars(builtins)),
    "modules that are blocked": lambda: frozenset(
        name for name, module in sys.modules.copy().items() if module is None
    ),
    "timers": _timers,
    "the stack size of threads": threading.stack_size,
    "threading hooks": _thread_hooks,
    "tracing": _tracing,
    "the recursion limit": sys.getrecursionlimit,
    "the switch interval": sys.getswitchinterval,
    "the digits limit": sys.get_int_max_str_digits,
    "the garbage collector": _collector,
    "faulthandler": faulthandler.is_enabled,
    "the locale": _locale,
    "the time zone": lambda: (time.tzname, time.timezone),
    "the root logger": _loaded("logging", _logging),
    "the time-out of sockets": _loaded("_socket", lambda m: m.getdefaulttimeout()),
    "the decimal context": _loaded("decimal", lambda m: decimal_state(m.getcontext())),
    "the asyncio policy": _loaded(
        "asyncio.events", lambda m: Objects((getattr(m, "_event_loop_policy", None),))
    ),
    "the printing of warnings": _loaded("warnings", _printing),
    "numpy's handling of errors": _loaded("numpy", _numpy_errors),
    "torch's defaults": _loaded("torch", _torch_defaults),
    "the start method of processes": _loaded(
        "multiprocessing", lambda m: m.get_start_method(allow_none=True)
    ),
}
if sys.platform != "win32":
    _READERS["blocked signals"] = lambda: frozenset(_signal.pthread_sigmask(_signal.SIG_BLOCK, ()))
    _READERS["the flags of dlopen"] = sys.getdlopenflags
if hasattr(os, "getpriority"):
    _READERS["the priority"] = lambda: os.getpriority(os.PRIO_PROCESS, 0)
    _READERS["the limit of open files"] = lambda: os.sysconf("SC_OPEN_MAX")
if hasattr(os, "sched_getaffinity"):
    _READERS["the CPU affinity"] = lambda: frozenset(os.sched_getaffinity(0))

# Other threads of the program change these all the time: they are looked at if there are none.
_READERS_ALONE: Final[dict[str, Callable[[], object]]] = {
    "warning filters": _loaded("warnings", lambda m: tuple(m.filters)),
    "random numbers": _loaded("random", lambda m: m.getstate()),
    "numpy's random numbers": _loaded("numpy.random.mtrand", _numpy_random),
    "threads": lambda: Objects(threading.enumerate()),
    "open files": _lowest_free,
    "child processes": _has_children,
}


def all_readers() -> Mapping[str, Callable[[], object]]:
    """Everything that can be looked at, for a process in which nothing else goes on."""
    return {**_READERS, **_READERS_ALONE}


def readers() -> Mapping[str, Callable[[], object]]:
    """What is looked at: what the main thread changes meanwhile is no plugin's doing."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return all_readers() if threading.active_count() == 1 else _READERS
