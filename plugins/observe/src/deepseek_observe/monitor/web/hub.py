"""The stream of the page: each reader has a short queue, from which the oldest row is dropped."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec

from deepseek_observe.monitor.engines import Engines
from deepseek_observe.monitor.families import (
    FAMILIES,
    MEMORY,
    TEMPERATURE,
    UP,
    UTILIZATION,
    Series,
)
from deepseek_observe.monitor.history.past import number, rows
from deepseek_observe.monitor.history.table import Recent, row_table
from deepseek_observe.monitor.sample import Sample

ROWS: Final = 600
"""What is kept in memory, and what a new reader gets."""
MOST_READERS: Final = 256
_QUEUE: Final = 8
_QUIET_S: Final = 15.0  # then a comment is sent, so that proxies keep the connection
_TILES: Final = (UTILIZATION, MEMORY, TEMPERATURE)


class Reader:
    """One stream; `device` is the one that its charts are of, None for all."""

    def __init__(self, device: str | None) -> None:
        self.device = device
        self.rows: deque[bytes] = deque()
        self.ready = asyncio.Event()


class Hub:
    """Takes samples from the sampler's thread and gives rows to the readers, in the server's loop.

    `_readers` are of the loop's thread alone; `_recent` of both, under the lock.
    """

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._lock = threading.Lock()
        self._recent = Recent(ROWS)
        self._sample: Sample | None = None
        self._readers: set[Reader] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = False
        self.dropped = 0

    def restore(self, fill: Callable[[Recent], None]) -> None:
        """Fill the rows from a history, before the first sample."""
        fill(self._recent)

    def values(self) -> dict[Series, float]:
        """What the hub tells of itself."""
        return {("deepseek_monitor_rows_dropped_total", ()): float(self.dropped)}

    def run_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop that readers are in."""
        self._loop = loop

    def take(self, sample: Sample) -> None:
        """Keep a sample and send it on; from any thread."""
        with self._lock:
            kept = {s: v for s, v in sample.drawn.items() if FAMILIES[s[0]].panel or s[0] == UP}
            self._recent.add(sample.time_s, kept)
            self._sample = sample
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send, sample)

    def end(self) -> None:
        """End all streams; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    @property
    def is_full(self) -> bool:
        """Whether there are as many readers as there may be."""
        return len(self._readers) >= MOST_READERS

    def knows(self, device: str) -> bool:
        """Whether the last sample has the device."""
        sample = self._sample
        return sample is not None and any(
            name == UP and labels[0] == device for name, labels in sample.drawn
        )

    async def stream(self, device: str | None) -> AsyncIterator[bytes]:
        """A snapshot, then rows, until the monitor ends or the reader goes."""
        reader = Reader(device)
        self._readers.add(reader)
        try:
            yield _message("snapshot", self._snapshot(device))
            while not self._ended:
                if not reader.rows:
                    reader.ready.clear()
                    try:
                        async with asyncio.timeout(_QUIET_S):
                            await reader.ready.wait()
                    except TimeoutError:
                        yield b": still here\n\n"
                        continue
                if reader.rows:
                    yield reader.rows.popleft()
        finally:
            self._readers.discard(reader)

    def _send(self, sample: Sample) -> None:
        made: dict[str | None, bytes] = {}
        for reader in self._readers:
            if reader.device not in made:
                made[reader.device] = _message("row", self._row(sample, reader.device))
            if len(reader.rows) >= _QUEUE:
                reader.rows.popleft()
                self.dropped += 1
            reader.rows.append(made[reader.device])
            reader.ready.set()

    def _end(self) -> None:
        self._ended = True
        for reader in self._readers:
            reader.ready.set()

    def _snapshot(self, device: str | None) -> dict[str, Any]:
        with self._lock:
            table = self._recent.table(float("-inf"))
            sample = self._sample
        return {"past": rows(table, device), "now": None if sample is None else self._now(sample)}

    def _row(self, sample: Sample, device: str | None) -> dict[str, Any]:
        return {**rows(row_table(sample.time_s, sample.drawn), device), "now": self._now(sample)}

    def _now(self, sample: Sample) -> dict[str, Any]:
        """What the page shows beside its charts: devices, alerts, events, notes."""
        drawn = sample.drawn
        devices = [
            [*labels, value, *(number(drawn.get((name, labels), float("nan"))) for name in _TILES)]
            for (name_, labels), value in drawn.items()
            if name_ == UP
        ]
        alerts = [[one.name, one.subject, one.text, one.since_s] for one in sample.alerts]
        return {
            "t": sample.time_s,
            "devices": devices,
            "alerts": alerts,
            "events": self._engines.facts()[-20:],
            "notes": dict(sample.notes),
        }


def _message(kind: str, content: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(content))
