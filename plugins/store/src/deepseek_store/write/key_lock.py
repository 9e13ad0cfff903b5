"""Keeps compare-and-set apart from other writers of the same key."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from deepseek_store.errors import StoreLocked
from deepseek_store.index.slot_locks import LONGEST_S


class KeyLock:
    """Many plain writers of a key at once, or one that compares and sets.

    A thread is in one gate at a time. An interrupt may fall anywhere: what a thread left behind
    goes when it comes again.

    Raises (both gates):
        StoreLocked: somebody is at the key for too long.
    """

    def __init__(self, *, longest_s: float = LONGEST_S) -> None:
        self._longest_s = longest_s
        # `with` on the lock itself: that of a `Condition` has a gap in which an interrupt would
        # leave it taken.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._plain: dict[int, str] = {}
        self._alone: dict[int, frozenset[str]] = {}

    def plain(self, key: str) -> AbstractContextManager[None]:
        """Among others that write without a condition."""
        return _Plain(self, key)

    def enter_plain(self, key: str) -> None:
        """Say that this thread writes to a key, once nobody is alone at it."""
        me = threading.get_ident()
        # First we say that we are here, then look whether somebody is alone; who wants to be
        # alone says so first, then looks for us: one of the two sees the other.
        self._plain[me] = key
        if self._alone:
            with self._lock:
                self._forget(me)
                self._wait_until(lambda: not any(key in k for k in self._alone.values()))
                self._plain[me] = key

    def leave_plain(self) -> None:
        """This thread does not write any more."""
        self._plain.pop(threading.get_ident(), None)
        if self._alone:
            with self._lock:
                self._changed.notify_all()

    @contextmanager
    def alone(self, keys: frozenset[str]) -> Iterator[None]:
        """With nobody else at any of these keys."""
        me = threading.get_ident()
        try:
            with self._lock:
                self._forget(me)
                self._wait_until(lambda: not any(keys & k for k in self._alone.values()))
                self._alone[me] = keys
                self._wait_until(lambda: keys.isdisjoint(list(self._plain.values())))
            yield
        finally:
            with self._lock:
                self._forget(me)

    def _wait_until(self, is_free: Callable[[], bool]) -> None:
        if not self._changed.wait_for(is_free, self._longest_s):
            raise StoreLocked(
                f"another thread has written to this key for {self._longest_s:.0f} s",
                remedy="try it again; see what that thread waits for",
            )

    def _forget(self, thread: int) -> None:
        had_alone = self._alone.pop(thread, None) is not None
        had_plain = self._plain.pop(thread, None) is not None
        if had_alone or (had_plain and self._alone):
            self._changed.notify_all()


class _Plain:
    """One stay among plain writers; a class, for a generator costs three times as much a put."""

    __slots__ = ("_key", "_lock")

    def __init__(self, lock: KeyLock, key: str) -> None:
        self._lock, self._key = lock, key

    def __enter__(self) -> None:
        try:
            self._lock.enter_plain(self._key)
        except BaseException:
            self._lock.leave_plain()
            raise

    def __exit__(self, *_: object) -> None:
        self._lock.leave_plain()
