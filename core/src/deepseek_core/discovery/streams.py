"""Keep what plugins print out of the output of the command that loads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send to stderr what plugins print, in Python or below it: it would corrupt `--json`."""
    _flush_stdout()
    saved = _swap_stdout()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _flush_stdout()
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


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
        if stream is not None and not stream.closed:
            stream.flush()
