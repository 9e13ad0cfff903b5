"""The kit's list of what a process shares: a change is seen, and odd values are put back."""

import builtins
import decimal
import gc
import io
import locale
import logging
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.random
import pytest

from deepseek_core.testing.process_state import differing, odd_state, process_state


@contextmanager
def attribute(owner, name, value):
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def called(function, value, back):
    function(value)
    try:
        yield
    finally:
        function(back)


class Importer:
    def find_spec(self, *_):
        return None


@contextmanager
def in_list(values, value):
    values.insert(0, value)
    try:
        yield
    finally:
        values.remove(value)


@contextmanager
def variable():
    os.environ["KIT_SAMPLE"] = "1"
    try:
        yield
    finally:
        del os.environ["KIT_SAMPLE"]


@contextmanager
def collector_off():
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def handled(number):
    before = signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def filtered():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def drawn(module, get, put):
    state = getattr(module, get)()
    module.seed(99)
    try:
        yield
    finally:
        getattr(module, put)(state)


@contextmanager
def moved_descriptor():
    kept = os.dup(0)
    null = os.open(os.devnull, os.O_RDWR)
    pipe = os.pipe()
    os.dup2(pipe[0], 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        for number in (kept, null, *pipe):
            os.close(number)


@contextmanager
def limited():
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if soft == 0 else 0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


ROOT = logging.getLogger()
CHANGES = {
    "the environment": lambda p: variable(),
    "the working folder": lambda p: called(os.chdir, p, Path.cwd()),
    "the umask": lambda p: called(os.umask, 0o070, 0o022),
    "signal handlers": lambda p: handled(signal.SIGUSR2),
    "sys.path": lambda p: in_list(sys.path, "/nowhere"),
    "sys.meta_path": lambda p: in_list(sys.meta_path, Importer()),
    "the time-out of sockets": lambda p: called(socket.setdefaulttimeout, 5.0, None),
    "the locale": lambda p: called(
        lambda v: locale.setlocale(locale.LC_CTYPE, v), "C.UTF-8", locale.setlocale(locale.LC_CTYPE)
    ),
    "warning filters": lambda p: filtered(),
    "the root logger": lambda p: in_list(ROOT.handlers, logging.NullHandler()),
    "the root logger's level": lambda p: called(ROOT.setLevel, 3, ROOT.level),
    "random numbers": lambda p: drawn(random, "getstate", "setstate"),
    "numpy's random numbers": lambda p: drawn(numpy.random, "get_state", "set_state"),
    "numpy's handling of errors": lambda p: np.errstate(divide="raise"),
    "the recursion limit": lambda p: called(sys.setrecursionlimit, 4321, sys.getrecursionlimit()),
    "the garbage collector": lambda p: collector_off(),
    "sys hooks": lambda p: attribute(sys, "stdin", io.StringIO()),
    "standard descriptors": lambda p: moved_descriptor(),
    "threading hooks": lambda p: attribute(threading, "excepthook", print),
    "tracing": lambda p: called(sys.setprofile, lambda *_: None, None),
    "the switch interval": lambda p: called(sys.setswitchinterval, 0.5, 0.005),
    "the decimal context": lambda p: attribute(decimal.getcontext(), "prec", 5),
    "limits of the process": lambda p: limited(),
    "the os module": lambda p: attribute(os, "getpid", lambda: 1),
    "the builtins": lambda p: attribute(builtins, "print", id),
}


@pytest.fixture
def plain_locale():
    """The one that a change can be told from."""
    usual = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    yield
    locale.setlocale(locale.LC_CTYPE, usual)


@pytest.mark.parametrize("part", CHANGES)
def test_a_change_is_named_and_nothing_else(tmp_path, part, plain_locale):
    before = process_state()
    assert differing(before, process_state()) == ()
    with CHANGES[part](tmp_path):
        after = process_state()
    assert [name for name in differing(before, after) if not part.startswith(name)] == []
    assert differing(before, after)
    assert differing(before, process_state()) == ()


def test_odd_values_are_put_back(tmp_path):
    before = process_state()
    with odd_state(tmp_path):
        changed = differing(before, process_state())
    assert {"the working folder", "the umask", "random numbers", "signal handlers"} <= {*changed}
    assert differing(before, process_state()) == ()


def test_what_was_set_before_is_seen_again(tmp_path):
    os.umask(0o022)
    with odd_state(tmp_path):
        before = process_state()
        os.umask(0o022)
        assert differing(before, process_state()) == ("the umask",)


def test_switches_of_telemetry_are_set_as_in_every_process_of_the_sdk(tmp_path):
    """A plugin that sets one as it loads its library changes nothing."""
    code = (
        "import os, sys; from pathlib import Path\n"
        "from deepseek_core.testing.process_state import differing, odd_state, process_state\n"
        "with odd_state(Path(sys.argv[1])):\n"
        "    before = process_state()\n"
        "    os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')\n"
        "    print(differing(before, process_state()))\n"
    )
    environ = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        env=environ, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "()\n"
