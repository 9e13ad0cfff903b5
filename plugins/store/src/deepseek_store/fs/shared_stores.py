"""One open store for each home, for all in this process who only know its path.

A store that somebody has opened with `Store` is lent too. What was opened here is closed when the
process ends; a forked child opens its own.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import suppress
from typing import cast

from deepseek_core import DeepSeekError
from deepseek_store.home import open_stores as open_homes
from deepseek_store.store import Store

_opened_here: dict[tuple[str, bool], Store] = {}
_opening = threading.Lock()


def open_shared(home: str, *, shared: bool, read_only: bool = False) -> Store:
    """The open store of a home, a path as `realpath` gives it; opened at the first call.

    `shared`: other processes may have it open at the same time, if they share it too.
    `read_only`: nothing of it is to be changed.

    Raises:
        ConfigError: there is no store.
        StoreLocked: another process has it open, and not both share it.
        ForeignStore: its files are damaged or another store's.
    """
    found = open_homes.find(home, read_only=read_only)
    if found is None:
        with _opening:
            found = open_homes.find(home, read_only=read_only)
            if found is None:
                found = Store(home, shared=shared, read_only=read_only)
                _opened_here[home, read_only] = found
                _close_in_time()
    return cast(Store, found)


def close_shared(home: str, *, read_only: bool = False) -> bool:
    """Close a store that was opened here; False if there is none. Who asks again gets a new one."""
    with _opening:  # also while it closes: who asks meanwhile waits, or would find it locked
        store = _opened_here.pop((home, read_only), None)
        if store is None or store.closed:
            return False
        store.close()
        return True


def _close_in_time() -> None:
    # Processes of multiprocessing, torch's workers too, end without a call of atexit's functions.
    if "multiprocessing" in sys.modules:
        from multiprocessing.util import Finalize

        Finalize(None, _close_all, exitpriority=0)


def _close_all() -> None:
    for home, read_only in list(_opened_here):
        with suppress(DeepSeekError):  # nobody is left to be told; what was acknowledged is safe
            close_shared(home, read_only=read_only)


def _after_fork() -> None:
    global _opening  # noqa: PLW0603 - another thread of the parent may have held it
    _opening = threading.Lock()
    _opened_here.clear()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_close_all)
