"""When a process of `ds-sdk` looks for garbage: not while it starts, as what it imports stays."""

from __future__ import annotations

import gc
from typing import Final

_AT_START: Final = 100_000  # objects; a start makes fewer, and to look among them takes 4 % of it

_usual: list[int] = []


def begin_start() -> None:
    """Look for garbage after `_AT_START` objects only, until `end_start`."""
    _usual[:] = gc.get_threshold()
    gc.set_threshold(_AT_START, *_usual[1:])


def end_start() -> None:
    """Look as often as usual from here on, among what is made from here on.

    To be called before a model is loaded: what is left behind until then is small, and stays.
    """
    if _usual:
        gc.freeze()
        gc.set_threshold(*_usual)
        _usual.clear()
