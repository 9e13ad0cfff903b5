"""Keep what plugins print out of the output of the command that loads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from deepseek_core.discovery.strangers import Process


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send to stderr what plugins print, in Python or below it: it would corrupt `--json`.

    In `ds-sdk`, they find stdin empty: it has what the user gives to the command.
    """
    _flush_stdout()
    saved = _swap_stdout()
    data = _hide_stdin() if Process.is_ours else None
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if _is_dead(sys.stdout):
            sys.stdout = sys.__stdout__  # a plugin has closed the one before; this is a new one
        _flush_stdout()
        for number, kept in ((1, saved), (0, data)):
            if kept is not None:
                with suppress(OSError):  # a plugin has closed it, and is told for that
                    os.dup2(kept, number)
                    os.close(kept)


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


def _hide_stdin() -> int | None:
    try:
        kept = os.dup(0)
    except OSError:
        return None
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return kept


def _flush_stdout() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        if stream is not None:
            with suppress(ValueError):  # a plugin has closed or detached it
                stream.flush()
