"""Keep what plugins print out of the output of the command that loads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send to stderr what plugins print, in Python or below it: it would corrupt `--json`."""
    _flush_stdout()
    saved = _swap_stdout()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if _is_dead(sys.stdout):
            sys.stdout = sys.__stdout__  # a plugin has closed the one before; this is a new one
        _flush_stdout()
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


def _is_dead(stream: object) -> bool:
    try:
        return bool(getattr(stream, "closed", False))
    except ValueError:  # it has no buffer any more
        return True


def _swap_stdout() -> int | None:
    """Let descriptor 1 lead to stderr; the old one, or None in a process without either."""
    try:
        os.fstat(2)
        saved = os.dup(1)
    except OSError:
        return None
    os.dup2(2, 1)
    return saved


def _flush_stdout() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        if stream is not None:
            with suppress(ValueError):  # a plugin has closed or detached it
                stream.flush()
