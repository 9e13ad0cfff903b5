"""What all code of a process shares, and a plugin has no business with."""

from __future__ import annotations

import decimal  # noqa: F401 - what is watched is there from the beginning
import gc
import json  # noqa: F401 - watched, as _PARTS says
import locale
import logging
import multiprocessing  # noqa: F401
import os
import random
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from deepseek_core.discovery.process_state import all_readers
from deepseek_core.discovery.telemetry import without_telemetry

# Told by what was left, not by a number: see `leaks`.
_ELSEWHERE: Final = ("threads", "open files", "child processes")
_OF_NUMPY: Final = ("numpy's random numbers", "numpy's handling of errors")
_TESTER: Final = "PYTEST_"  # variables that pytest writes while it runs
_STREAMS: Final = ("stdin", "stdout", "stderr")
_ODD_S: Final = 86_399.0
_ODD_LEVEL: Final = 37
_VARIABLES: Final = without_telemetry(os.environ)
"""Before any plugin was used, since the kit is imported first; telemetry is off, as in `ds-sdk`."""

_PARTS: Final = {name: tuple(vars(sys.modules[name])) for name in ("builtins", "json", "os")}


def process_state() -> dict[str, object]:
    """Each shared part by its name in a sentence, as a value that can be compared.

    What discovery looks at while plugins are imported, and what takes longer to look at.
    """
    readers = all_readers()
    return {
        **{name: readers[name]() for name in readers if name not in _ELSEWHERE},
        "the environment": _variables(),
        "timers of signals": signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        "warning filters": (_broad_filters(), id(warnings.showwarning)),
        "the class of loggers": id(logging.getLoggerClass()),
        "numpy's handling of errors": _numpy_errors(),
        "arithmetic of very small numbers": sys.float_info.min / 2 > 0,  # flushed to zero?
        "limits of the process": _limits(),
        "the json module": _parts("json"),
        "the os module": _parts("os"),
        "the builtins": _parts("builtins"),
    }


def differing(before: Mapping[str, object], after: Mapping[str, object]) -> tuple[str, ...]:
    """Names of the parts that were changed; that a module was imported is no change."""
    from deepseek_core.discovery.undoing import parts_that_differ

    found = (name for name, _ in parts_that_differ(before, after))
    return tuple(name for name in found if not (name in _OF_NUMPY and before[name] is None))


@contextmanager
def odd_state(folder: Path) -> Iterator[None]:
    """Give shared parts values that nobody has chosen, and restore them.

    What code sets whenever it is used is then seen, however often it was used before.
    """
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


def _numpy_errors() -> object:
    found = sys.modules.get("numpy")
    return None if found is None else found.geterr()


def _limits() -> list[object]:
    """Resources and priority, where the system has them."""
    found: list[object] = [os.nice(0)] if hasattr(os, "nice") else []
    with suppress(ImportError):
        import resource

        names = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
        found += [resource.getrlimit(getattr(resource, name)) for name in names]
    return found


def _parts(name: str) -> list[int]:
    """What the names of a module stand for; new ones are no change."""
    return [id(getattr(sys.modules[name], part, None)) for part in _PARTS[name]]
