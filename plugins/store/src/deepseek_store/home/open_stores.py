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

    @property
    def read_only(self) -> str:
        """Why nothing can be changed; empty where it can."""
        ...

    def abandon(self) -> None:
        """Be closed, without writing anything."""
        ...


_stores: dict[str, list[weakref.ref[Abandoned]]] = {}
_lock = threading.Lock()
# Collected in the child, their connections would be closed: files of the parent would be touched.
_parents: list[Abandoned] = []


def note(home: Path, store: Abandoned) -> None:
    """A store was opened."""
    with _lock:
        for name, kept in list(_stores.items()):
            _stores[name] = [each for each in kept if each() is not None]
            if not _stores[name]:
                del _stores[name]
        _stores.setdefault(os.path.realpath(home), []).append(weakref.ref(store))


def find(home: str, *, read_only: bool = False) -> Abandoned | None:
    """The store that is open in a home, a path as `realpath` gives it; None if none is.

    One that can be written comes first, unless `read_only`: then it is none of those.
    """
    noted = [kept() for kept in _stores.get(home, ())]
    found = [store for store in noted if store is not None and not store.closed]
    for store in reversed(found):
        if bool(store.read_only) == read_only:
            return store
    return found[-1] if found and not read_only else None


def _forget_parents() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()
    for kept in [each for stores in _stores.values() for each in stores]:
        store = kept()
        if store is not None:
            _parents.append(store)
            store.abandon()
    _stores.clear()


os.register_at_fork(after_in_child=_forget_parents)
