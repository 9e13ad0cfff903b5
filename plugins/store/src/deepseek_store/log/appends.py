"""What the threads of a journal wait for: appends, and how each ended."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from deepseek_core import errors
from deepseek_store.log import records as rec
from deepseek_store.log.records import Kind, Placed, Record
from deepseek_store.log.reserve import Purpose


class Append:
    """What one call of `append` wants, and what has become of it."""

    __slots__ = (
        "body_nbytes", "done", "durable", "error", "placed", "purpose", "ready",
        "table_nbytes", "wake",
    )  # fmt: skip

    def __init__(
        self, records: Sequence[Record], *, durable: bool, makes_room: bool = False
    ) -> None:
        self.durable = durable
        self.ready: list[rec.Prepared] = []  # records as bytes, in their order
        # `body_nbytes`: of the records, and of their entries in the footer
        self.body_nbytes = self.table_nbytes = 0
        is_care = True
        for record in records:
            ready = rec.prepare(record, batch_start=not self.ready)
            self.ready.append(ready)
            self.body_nbytes += ready.nbytes
            self.table_nbytes += ready.table_nbytes
            is_care = is_care and (record.kind is Kind.DELETE or record.move > 0)
        # what a full disk still allows depends on it
        self.purpose: Purpose = "room" if makes_room else "deletes" if is_care else "objects"
        self.placed: list[Placed] = []  # where the records went, once they are written
        self.error: Exception | None = None
        self.done = False
        self.wake: threading.Lock | None = None  # the lock on which its thread sleeps

    def finish(self, error: Exception | None = None) -> None:
        """Done, well or not; wakes the one who waits."""
        self.error = error
        self.done = True
        self.rouse()

    def rouse(self) -> None:
        """Make the one who waits look again."""
        wake = self.wake
        if wake is not None:
            release(wake)

    def wait(self, busy: threading.Lock, longest_s: float) -> None:
        """Sleep until roused, unless it is done or nobody is busy; the first time, not at all.

        Most appends find nobody who writes, and never need a lock to wait for.
        """
        if self.wake is None:
            wake = threading.Lock()
            wake.acquire()
            self.wake = wake  # who rouses it from now on is heard; what came before is looked up
        elif not self.done and busy.locked():
            self.wake.acquire(timeout=longest_s)


def release(lock: threading.Lock) -> None:
    """Let go of a lock that somebody else may have let go of."""
    try:
        lock.release()
    except RuntimeError:  # somebody else did
        return


def fresh(error: Exception) -> Exception:
    """Copy an error: one object raised by several threads would collect all their tracebacks."""
    if isinstance(error, errors.TierFull | errors.TierUnavailable):
        return type(error)(error.message, url=error.url, remedy=error.remedy)
    return error
