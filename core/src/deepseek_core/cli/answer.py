"""The answer of a command, and the only writers to its stdout.

With `--json`, stdout is theirs alone: what plugins and their libraries print, in Python or below
it, goes to stderr. What people read is escaped here, where no command can forget it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from threading import get_ident
from typing import Any, BinaryIO, TextIO

from deepseek_core.contracts.units import printable
from deepseek_core.discovery.strangers import Process


class _Answer(TextIOWrapper):
    """Text of the main thread; what other threads print, as those of plugins, goes to stderr."""

    main = 0  # as at first: a plugin may replace what tells, and the thread that is the main one

    def write(self, text: str, /) -> int:
        if get_ident() == self.main:
            return super().write(text)
        return sys.stderr.write(text)


class _Stdout:
    """Where the answer goes: `kept`, or `sys.stdout` as it is."""

    kept: _Answer | None = None


def begin_answer(words: list[str]) -> None:
    """Take stdout for the answer, for a script from now on: in a program of its own."""
    Process.is_ours = True
    if any(word == "--json" or word.startswith("--json=") for word in words):
        _keep_stdout()


def _keep_stdout() -> None:
    """Let descriptor 1, and with it `print`, lead to stderr, and only the answer to stdout."""
    out = sys.stdout
    if _Stdout.kept is not None or not isinstance(out, TextIOWrapper) or out.closed:
        return
    try:
        out.flush()
        descriptor = os.dup(out.fileno())
        os.dup2(2, 1)
    except (OSError, ValueError):
        return
    raw = os.fdopen(descriptor, "wb", closefd=False)  # open to the end, as the usual one is
    _Stdout.kept = _Answer(raw, encoding=out.encoding, errors=out.errors)
    _Stdout.kept.main = get_ident()
    out.reconfigure(line_buffering=True)  # as stderr


def share_answer() -> None:
    """Let `print` in the main thread write the answer: a third party's command does so."""
    if _Stdout.kept is not None:
        sys.stdout = _Stdout.kept


def stream() -> TextIO | None:
    """What the answer is written to; None if the caller closed stdout."""
    return sys.stdout if _Stdout.kept is None else _Stdout.kept


def answer_bytes() -> BinaryIO | None:
    """Stdout for bytes, of which it has no others from now on; None if the caller closed it."""
    if Process.is_ours:
        _keep_stdout()
    out = stream()
    return None if out is None else out.buffer


def end_stream() -> None:
    """Let nothing follow the answer: what handlers of `atexit` and threads print goes to stderr."""
    out = stream()
    if out is not None and not out.closed:
        with suppress(OSError, ValueError):
            os.dup2(2 if _is_flushed(out) else os.open(os.devnull, os.O_WRONLY), out.fileno())
            os.dup2(2, 1)


def _is_flushed(out: TextIO) -> bool:
    """Whether all of the answer is out; after a full disk, Python would try the rest again."""
    try:
        out.flush()
    except OSError:
        return False
    return True


def flush() -> None:
    """Let the reader have what was written so far."""
    out = stream()
    if out is not None:
        out.flush()


def write(text: str) -> None:
    """Write what is fit to be shown; `print_text` and the like make text of strangers so."""
    out = stream()
    if out is not None:
        out.write(text)


def print_lines(text: str = "", *, end: str = "\n") -> None:
    """Print lines as they are, which are to be copied: none is wrapped."""
    write(printable(text, keep="\n\t") + end)


def print_json(
    value: Any, *, indent: int | None = None, default: Callable[[Any], object] | None = None
) -> None:
    """Print one value for a script."""
    import json

    write(json.dumps(value, indent=indent, default=default) + "\n")


def print_note(text: str) -> None:
    """Print lines on stderr, beside the answer."""
    if sys.stderr is not None:
        sys.stderr.write(printable(text, keep="\n\t") + "\n")
        sys.stderr.flush()
