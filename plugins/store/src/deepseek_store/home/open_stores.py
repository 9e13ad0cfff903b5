"""The stores that this process has open, by home; a forked child has none of them.

A store that was open before a fork is closed in the child, without a write: it is the parent's. The
child lets go of its locks too, or they would outlive the parent's closing.
"""

from __future__ import annotations

import os
import threading
import weakref
from pathlib import Path
from typing import Protocol


class Abandoned(Protocol):
    """What a store has to offer."""

    @property
    def closed(self) -> bool:
        """Whether it can't be used any more."""
        ...

    def abandon(self) -> None:
        """Be closed, without writing anything."""
        ...


_stores: dict[str, weakref.ref[Abandoned]] = {}
_lock = threading.Lock()
# Collected in the child, their connections would be closed: files of the parent would be touched.
_parents: list[Abandoned] = []


def note(home: Path, store: Abandoned) -> None:
    """A store was opened."""
    with _lock:
        for name in [name for name, kept in _stores.items() if kept() is None]:
            del _stores[name]
        _stores[os.path.realpath(home)] = weakref.ref(store)


def find(home: str) -> Abandoned | None:
    """The store that is open in a home, a path as `realpath` gives it; None if none is."""
    kept = _stores.get(home)
    store = None if kept is None else kept()
    return None if store is None or store.closed else store


def _forget_parents() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()
    for kept in _stores.values():
        store = kept()
        if store is not None:
            _parents.append(store)
            store.abandon()
    _stores.clear()


os.register_at_fork(after_in_child=_forget_parents)
