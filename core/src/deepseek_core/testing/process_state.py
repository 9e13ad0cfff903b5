"""What all code of a process shares, and a plugin has no business with."""

from __future__ import annotations

import faulthandler
import gc
import json  # noqa: F401 - watched, as _PARTS says
import locale
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_TESTER: Final = "PYTEST_"  # variables that pytest writes while it runs
_STREAMS: Final = ("stdin", "stdout", "stderr")
_ODD_S: Final = 86_399.0
_ODD_LEVEL: Final = 37
_VARIABLES: Final = dict(os.environ)
"""Before any plugin was used: the kit is imported first."""

_PARTS: Final = {name: tuple(vars(sys.modules[name])) for name in ("builtins", "json", "os")}


def process_state() -> dict[str, object]:
    """Each shared part by its name in a sentence, as a value that can be compared.

    None stands for a part of a library that is not imported.
    """
    return {
        "the environment": _variables(),
        "the working folder": _folder(),
        "the umask": _umask(),
        "signal handlers": [signal.getsignal(number) for number in signal.valid_signals()],
        "timers of signals": signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        "sys.path": list(sys.path),
        "sys.meta_path": [*map(id, sys.meta_path), *map(id, sys.path_hooks)],
        "the time-out of sockets": _of("socket", "getdefaulttimeout"),
        "the locale": locale.setlocale(locale.LC_ALL, None),
        "warning filters": (_broad_filters(), id(warnings.showwarning)),
        "the root logger": _logging(),
        "the random state": random.getstate(),
        "the random state of numpy": _numpy_random(),
        "numpy's handling of errors": _of("numpy", "geterr"),
        "the recursion limit": sys.getrecursionlimit(),
        "garbage collection": (gc.isenabled(), gc.get_threshold()),
        "the standard streams": ([id(getattr(sys, name)) for name in _STREAMS], _descriptors()),
        "hooks of exceptions": [
            id(part)
            for part in (sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook)
        ],
        "tracing": (sys.gettrace(), sys.getprofile()),
        "the switch interval": sys.getswitchinterval(),
        "the fault handler": faulthandler.is_enabled(),
        "the time zone": time.tzname,
        "arithmetic of very small numbers": sys.float_info.min / 2 > 0,  # flushed to zero?
        "limits of the process": _limits(),
        "the json module": _parts("json"),
        "the os module": _parts("os"),
        "the builtins": _parts("builtins"),
    }


def differing(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """Names of the parts that were changed; a library that is new is no change."""
    return tuple(n for n, value in before.items() if value is not None and value != after[n])


@contextmanager
def odd_state(folder: Path) -> Iterator[None]:
    """Give shared parts values that nobody has chosen, and restore them.

    What code sets whenever it is used is then seen, however often it was used before.
    """
    import socket

    root, thresholds = logging.getLogger(), gc.get_threshold()
    before = (Path.cwd(), socket.getdefaulttimeout(), sys.getrecursionlimit(), random.getstate())
    logged, place, umask = (root.level, root.handlers[:]), locale.setlocale(locale.LC_ALL), None
    streams, variables = [getattr(sys, name) for name in _STREAMS], dict(os.environ)
    try:
        _set_variables(_VARIABLES)
        os.chdir(folder)
        umask = os.umask(0o026)
        socket.setdefaulttimeout(_ODD_S)
        sys.setrecursionlimit(before[2] + 13)
        random.seed(13)
        gc.set_threshold(thresholds[0] + 13, *thresholds[1:])
        root.setLevel(_ODD_LEVEL)
        root.handlers[:] = []
        locale.setlocale(locale.LC_ALL, "C")
        with _odd_signals(), _odd_numpy():
            yield
    finally:
        _set_variables(variables)
        os.chdir(before[0])
        if umask is not None:
            os.umask(umask)
        socket.setdefaulttimeout(before[1])
        sys.setrecursionlimit(before[2])
        random.setstate(before[3])
        gc.set_threshold(*thresholds)
        gc.enable()
        root.setLevel(logged[0])
        root.handlers[:] = logged[1]
        for name, stream in zip(_STREAMS, streams, strict=True):
            setattr(sys, name, stream)
        with suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, place)


def _set_variables(wanted: Mapping[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


@contextmanager
def _odd_signals() -> Iterator[None]:
    """Handlers that do nothing for the signals that programs handle; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def _odd_numpy() -> Iterator[None]:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        yield
        return
    state = numpy.random.get_state()
    numpy.random.seed(13)
    try:
        with numpy.errstate():
            yield
    finally:
        numpy.random.set_state(state)


def _broad_filters() -> list[object]:
    """Warning filters for all messages of a builtin category; libraries filter their own."""
    return [f for f in warnings.filters if f[1] is f[3] is None and f[2].__module__ == "builtins"]


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_TESTER)}


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "one that was removed"


def _umask() -> int:
    """By setting it twice, which is all that POSIX offers."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _of(module: str, function: str) -> object:
    found = sys.modules.get(module)
    return None if found is None else [getattr(found, function)()]


def _numpy_random() -> object:
    """Random state of a numpy that has begun to draw; looking at it first would make the state."""
    module = sys.modules.get("numpy.random")
    return None if module is None else repr(module.get_state())


def _logging() -> tuple[object, ...]:
    root = logging.getLogger()
    parts = [*map(id, root.handlers), *map(id, root.filters), id(logging.getLoggerClass())]
    return root.level, root.manager.disable, logging.raiseExceptions, parts


def _descriptors() -> list[object]:
    """What the descriptors 0 to 2 are."""
    found: list[object] = []
    for number in range(3):
        try:
            seen = os.fstat(number)
            found.append((seen.st_dev, seen.st_ino))
        except OSError:
            found.append("closed")
    return found


def _limits() -> list[object]:
    """Resources, priority and cores, where the system has them."""
    found: list[object] = [os.nice(0)] if hasattr(os, "nice") else []
    if hasattr(os, "sched_getaffinity"):
        found.append(sorted(os.sched_getaffinity(0)))
    with suppress(ImportError):
        import resource

        names = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
        found += [resource.getrlimit(getattr(resource, name)) for name in names]
    return found


def _parts(name: str) -> list[int]:
    """What the names of a module stand for; new ones are no change."""
    return [id(getattr(sys.modules[name], part, None)) for part in _PARTS[name]]
