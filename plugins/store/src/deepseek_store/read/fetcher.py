"""Fetches shards from slow tiers: demand first, each shard once at a time, some ahead of demand."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)
_MOST_QUEUED: Final = 65_536  # groups; more than any cache has space for


class _Fetch:
    """One fetch under way; whoever wants the same shard waits for it."""

    __slots__ = ("data", "done", "error")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.data: bytes = b""
        self.error: BaseException | None = None

    def result(self) -> bytes:
        self.done.wait()
        if self.error is not None:
            raise self.error
        return self.data


class Fetcher(Generic[T]):
    """Reads through `read(tags)`; `keep(tag, data, prefetched)` is told what came.

    Several tags that are read at once are a group: one request to the tier. A demand is read by the
    thread that asks, so that no hop adds to its wait; what is fetched ahead is read by up to
    `threads` threads of its own, which start with the first of it.
    """

    def __init__(
        self,
        read: Callable[[Sequence[T]], Sequence[bytes]],
        keep: Callable[[T, bytes, bool], None],
        *,
        threads: int,
    ) -> None:
        self._read, self._keep, self._most = read, keep, threads
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._under_way: dict[T, _Fetch] = {}  # by tag: also those that a group brings along
        # tags of a group that a reader waits for: it reads one itself, threads the rest
        self._demands: deque[T] = deque()
        self._ahead: deque[tuple[T, ...]] = deque()  # groups to fetch ahead, the most urgent first
        self._queued: set[T] = set()  # tags in `_ahead`
        self._threads: list[threading.Thread] = []
        self._idle = 0  # threads that wait for work
        self._closed = False

    @property
    def queued(self) -> int:
        """How many are wanted ahead of demand and have not begun."""
        return len(self._ahead)

    def demand(self, tag: T) -> bytes:
        """The shard, now: by joining a fetch under way, or at once in this thread."""
        with self._lock:
            fetch = self._under_way.get(tag)
            mine = fetch is None
            if fetch is None:
                fetch = self._begin(tag)
        if mine:
            self._run([(tag, fetch)], prefetched=False)
        return fetch.result()

    def demand_all(self, tags: Sequence[T]) -> list[bytes]:
        """Several shards, in parallel; this thread reads too.

        Raises:
            What `read` raised for the first of them that failed.
        """
        if len(tags) == 1:
            return [self.demand(tags[0])]
        with self._lock:
            fetches = []
            mine = []
            for tag in tags:
                fetch = self._under_way.get(tag)
                if fetch is None:
                    fetch = self._begin(tag)
                    mine.append((tag, fetch))
                fetches.append(fetch)
            for tag, _ in mine[1:]:
                self._demands.append(tag)
            self._start(len(mine) - 1)
        if mine:
            self._run(mine[:1], prefetched=False)
        for tag, fetch in reversed(mine[1:]):
            if self._take_back(tag):
                self._run([(tag, fetch)], prefetched=False)
        return [fetch.result() for fetch in fetches]

    def ahead(self, groups: Iterable[Sequence[T]]) -> int:
        """Fetch these when no demand waits; how many were not on their way yet."""
        with self._lock:
            if self._closed:
                return 0
            new = [tuple(tag for tag in group if self._is_new(tag)) for group in groups]
            room = max(0, _MOST_QUEUED - len(self._ahead))
            new = [group for group in new if group][:room]
            self._ahead.extend(new)
            for group in new:
                self._queued.update(group)
            self._start(len(new))
        return sum(map(len, new))

    def _is_new(self, tag: T) -> bool:
        return tag not in self._under_way and tag not in self._queued

    def close(self) -> None:
        """End the threads; fetches under way are waited for."""
        with self._lock:
            self._closed = True
            self._ahead.clear()
            self._queued.clear()
            self._wake.notify_all()
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join()

    def _begin(self, tag: T) -> _Fetch:
        fetch = self._under_way[tag] = _Fetch()
        if tag in self._queued:
            self._queued.discard(tag)  # demand overtakes; its place in the queue is skipped
        return fetch

    def _take_back(self, tag: T) -> bool:
        with self._lock:
            try:
                self._demands.remove(tag)
            except ValueError:
                return False
            return True

    def _start(self, count: int) -> None:
        self._wake.notify(count)
        for _ in range(min(count - self._idle, self._most - len(self._threads))):
            thread = threading.Thread(target=self._work, name="ds-fetch", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError):  # no more: who asks for a shard reads it itself
                return
            self._threads.append(thread)

    def _work(self) -> None:
        while (found := self._next()) is not None:
            self._run(*found)

    def _next(self) -> tuple[list[tuple[T, _Fetch]], bool] | None:
        with self._lock:
            while True:
                if self._demands:
                    tag = self._demands.popleft()
                    return [(tag, self._under_way[tag])], False
                while self._ahead:
                    # Those that a demand has overtaken are not in the queue any more.
                    group = [tag for tag in self._ahead.popleft() if tag in self._queued]
                    if group:
                        return [(tag, self._begin(tag)) for tag in group], True
                if self._closed:
                    return None
                self._idle += 1
                self._wake.wait()
                self._idle -= 1

    def _run(self, group: Sequence[tuple[T, _Fetch]], prefetched: bool) -> None:
        try:
            got = self._read([tag for tag, _ in group])
            for (tag, fetch), data in zip(group, got, strict=True):
                fetch.data = data
                self._keep(tag, data, prefetched)
        except BaseException as error:  # noqa: BLE001 - told to everyone who waits for these shards
            for _, fetch in group:
                fetch.error = error
        finally:
            with self._lock:
                for tag, _ in group:
                    del self._under_way[tag]
            for _, fetch in group:
                fetch.done.set()
