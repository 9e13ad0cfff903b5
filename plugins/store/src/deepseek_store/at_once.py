"""The same work on many items by several threads, bounded, and ended cleanly by Ctrl-C."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from typing import Final, Self, TypeVar

THREADS: Final = 8
CHANGES: Final = 32  # for small changes, which share the flushes of the log
_WAITING: Final = 4  # items a thread that are handed out ahead

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """Another item ended all of the work."""


class AtOnce:
    """Runs work on items; `check` raises in all threads once one of them has failed.

    As a context, it outlives no work: what that is about may be closed right after. `pool`: whose
    threads do it, and go on after it; else it has its own. `ahead`: so many items a thread are
    handed out at once.
    """

    def __init__(
        self, threads: int = THREADS, *, pool: Executor | None = None, ahead: int = _WAITING
    ) -> None:
        self._most = threads * ahead  # items handed out at once
        self._stop = threading.Event()
        self._own: Executor | None = None
        if pool is None:
            pool = self._own = ThreadPoolExecutor(threads, thread_name_prefix="ds-at-once")
        self._pool = pool
        self._at_work = 0  # items that a thread works at
        self._one_ended = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        try:
            self._end()
        except KeyboardInterrupt:  # a second one, while they end
            self._end()
            raise

    def _end(self) -> None:
        if self._own is not None:
            self._own.shutdown(cancel_futures=True)
        # One that Ctrl-C met while it was started is unknown to the pool, and works all the same.
        with self._one_ended:
            self._one_ended.wait_for(lambda: not self._at_work)

    def check(self) -> None:
        """Called within long work.

        Raises:
            Stopped: the work has ended.
        """
        if self._stop.is_set():
            raise Stopped

    def results(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The results in the order in which they come; the first error ends it all."""
        pending: set[Future[Result]] = set()
        try:
            for item in items:
                pending.add(self._pool.submit(self._do, work, item))
                if len(pending) >= self._most:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (each.result() for each in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (each.result() for each in done)
        finally:
            _cancel(pending)

    def in_order(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The results in the order of the items; the first error ends it all."""
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(self._pool.submit(self._do, work, item))
                if len(pending) >= self._most:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            _cancel(pending)

    def _do(self, work: Callable[[Item], Result], item: Item) -> Result:
        with self._one_ended:
            self._at_work += 1
        try:
            self.check()
            return work(item)
        finally:
            with self._one_ended:
                self._at_work -= 1
                self._one_ended.notify_all()


def _cancel(pending: Iterable[Future[Result]]) -> None:
    for each in pending:
        each.cancel()
