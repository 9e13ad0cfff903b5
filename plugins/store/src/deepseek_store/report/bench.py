"""Measures a store beside its bare disk: durable puts, and reads from each tier."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_store import from_os_error
from deepseek_store.check.check_round import check_writable
from deepseek_store.home.config import LOG_FOLDER
from deepseek_store.log.records import unpack_extents

if TYPE_CHECKING:
    from deepseek_store.store import Store

PREFIX: Final = ".bench/"
"""Below it lie the objects of a run; they are deleted when it ends."""
SEED: Final = 20_240
_WARM_UP: Final = 8

Progress = Callable[[int, int, str], None]


@attrs.frozen(kw_only=True)
class Rate:
    """So many calls of `nbytes` each in a time, by several threads."""

    name: str
    threads: int
    calls: int
    nbytes: int
    seconds: float

    @property
    def per_s(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    @property
    def bytes_per_s(self) -> float:
        """Bytes a second."""
        return self.per_s * self.nbytes


@attrs.frozen(kw_only=True)
class Latency:
    """Times of single calls of `nbytes` each."""

    name: str
    nbytes: int
    samples_s: tuple[float, ...]

    def quantile_s(self, share: float) -> float:
        """The time that such a share of the calls stays within."""
        ordered = sorted(self.samples_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@attrs.frozen(kw_only=True)
class BenchReport:
    """All of one run; `raw` names are of the bare folder."""

    nbytes: int
    rates: tuple[Rate, ...]
    latencies: tuple[Latency, ...]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values, with the ratios to the bare disk."""
        return {
            "object_nbytes": self.nbytes,
            "puts": [
                {
                    "name": rate.name,
                    "threads": rate.threads,
                    "calls": rate.calls,
                    "seconds": rate.seconds,
                    "per_s": rate.per_s,
                    "bytes_per_s": rate.bytes_per_s,
                }
                for rate in self.rates
            ],
            "gets": [
                {
                    "name": latency.name,
                    "calls": len(latency.samples_s),
                    "p50_s": latency.quantile_s(0.5),
                    "p99_s": latency.quantile_s(0.99),
                }
                for latency in self.latencies
            ],
            "put_time_ratio": self.put_time_ratio,
            "get_time_ratio": self.get_time_ratio,
        }

    @property
    def put_time_ratio(self) -> float:
        """Time of a durable put over that of pwrite and fdatasync, one thread each."""
        single = {rate.name: rate.per_s for rate in self.rates if rate.threads == 1}
        return single["raw"] / single["store"]

    @property
    def get_time_ratio(self) -> float:
        """Median time of a hot get over that of a bare pread."""
        median = {each.name: each.quantile_s(0.5) for each in self.latencies}
        return median["hot"] / median["raw"]


def bench(
    store: Store,
    *,
    nbytes: int,
    seconds: float,
    threads: Sequence[int],
    progress: Progress | None = None,
) -> BenchReport:
    """Measure each thing for about `seconds`; what it put is deleted again.

    Raises:
        ReadOnlyStore: the store is open for reading only.
        StorageError: a put or a get failed, or the folder of the log takes no file.
    """
    check_writable(store.parts, "a measurement")
    tell = progress or (lambda _done, _steps, _text: None)
    data = Random(SEED).randbytes(nbytes)  # noqa: S311 - no secret
    steps = 2 * len(threads) + 2 + len(store.parts.config.tiers)
    rates: list[Rate] = []
    ledger = store.parts.ledger
    counted = ledger.mine().counts
    try:
        with _raw_file(store.home / LOG_FOLDER) as raw:
            for count in threads:
                # In turn, so that a slow spell of the machine hits both.
                tell(len(rates), steps, f"{count} threads write to the bare folder")
                rates.append(_rate("raw", count, raw.write(data), nbytes, seconds))
                tell(len(rates), steps, f"{count} threads put")
                rates.append(_rate("store", count, _put(store, data), nbytes, seconds))
            tell(len(rates), steps, "reads")
            latencies = [*_hot(store, raw, nbytes, seconds)]
        for done, tier in enumerate(store.maintenance.codes(), start=len(rates) + 1):
            tell(done, steps, f"reads from {tier}")
            latencies.append(_distant(store, tier, data, seconds))
        tell(steps, steps, "done")
    finally:
        clean(store)
        ledger.leave_out_since(counted)
    return BenchReport(nbytes=nbytes, rates=tuple(rates), latencies=tuple(latencies))


def clean(store: Store) -> None:
    """Delete what a run has put; the space is freed by the next collection."""
    for info in list(store.list(PREFIX)):
        store.delete(info.key)


class _Raw:
    """A file of its own for each thread, in the folder where the log is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: list[tuple[int, Path]] = []
        self._lock = threading.Lock()

    def write(self, data: bytes) -> Callable[[int], Callable[[int], None]]:
        """For a thread's number, a function that writes and flushes once."""

        def of_thread(number: int) -> Callable[[int], None]:
            file = self.open(number)

            def once(call: int) -> None:
                os.pwrite(file, data, call * len(data))
                os.fdatasync(file)

            return once

        return of_thread

    def open(self, number: int) -> int:
        """A new file."""
        with self._lock:
            path = self._folder / f"bench-{os.getpid()}-{number}-{len(self._opened)}.tmp"
            try:
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            except OSError as error:
                raise from_os_error.typed(error, str(path), str(self._folder)) from error
            self._opened.append((file, path))
        return file

    def close(self) -> None:
        """Remove all."""
        for file, path in self._opened:
            os.close(file)
            path.unlink(missing_ok=True)


@contextmanager
def _raw_file(folder: Path) -> Iterator[_Raw]:
    raw = _Raw(folder)
    try:
        yield raw
    finally:
        raw.close()


def _put(store: Store, data: bytes) -> Callable[[int], Callable[[int], None]]:
    def of_thread(number: int) -> Callable[[int], None]:
        def once(call: int) -> None:
            store.put(f"{PREFIX}{number}/{call}", data)

        return once

    return of_thread


def _rate(
    name: str,
    threads: int,
    make: Callable[[int], Callable[[int], None]],
    nbytes: int,
    seconds: float,
) -> Rate:
    """All threads begin together, and each ends with the call that passes the time."""
    calls = [0] * threads
    failed: list[BaseException] = []
    begin = threading.Barrier(threads + 1)

    # Here, where an error is met by somebody: a thread that fails before it waits stops all.
    made = [make(number) for number in range(threads)]

    def work(number: int) -> None:
        once = made[number]
        begin.wait()
        until_s = time.perf_counter() + seconds
        try:
            while time.perf_counter() < until_s and not failed:
                once(calls[number])
                calls[number] += 1
        except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
            failed.append(error)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    begin.wait()
    start_s = time.perf_counter()
    for worker in workers:
        worker.join()
    passed_s = time.perf_counter() - start_s
    if failed:
        raise failed[0]
    return Rate(name=name, threads=threads, calls=sum(calls), nbytes=nbytes, seconds=passed_s)


def _hot(store: Store, raw: _Raw, nbytes: int, seconds: float) -> Iterator[Latency]:
    """Gets from the log, and preads of as many bytes from the bare folder, in turn."""
    keys = [info.key for info in store.list(PREFIX)][:1000]
    file = raw.open(0)
    data = store.get(keys[0])
    for place in range(len(keys)):
        os.pwrite(file, data, place * nbytes)
    order = Random(SEED)  # noqa: S311 - no secret
    mine: list[float] = []
    bare: list[float] = []
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        number = order.randrange(len(keys))
        start_s = time.perf_counter()
        os.pread(file, nbytes, number * nbytes)
        middle_s = time.perf_counter()
        store.get(keys[number])
        mine.append(time.perf_counter() - middle_s)
        bare.append(middle_s - start_s)
    yield Latency(name="raw", nbytes=nbytes, samples_s=_settled(bare))
    yield Latency(name="hot", nbytes=nbytes, samples_s=_settled(mine))


def _distant(store: Store, tier: str, data: bytes, seconds: float) -> Latency:
    """Reads of objects that are in stripes of a tier, past the cache."""
    keys = [f"{PREFIX}{tier}/{number}" for number in range(32)]
    for key in keys:
        store.put(key, data, durable=False)
    store.maintenance.send(keys, tier)
    order = Random(SEED)  # noqa: S311 - no secret
    samples: list[float] = []
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s or len(samples) <= len(keys):
        key = order.choice(keys)
        _forget(store, key)
        start_s = time.perf_counter()
        store.get(key)
        samples.append(time.perf_counter() - start_s)
    return Latency(name=tier, nbytes=len(data), samples_s=_settled(samples))


def _forget(store: Store, key: str) -> None:
    """Take an object's shards out of the cache, so that the next read has to fetch them."""
    parts = store.parts
    version = parts.state.catalog.get(key)
    if parts.cache is not None and version is not None:
        for extent in unpack_extents(version.extents):
            parts.cache.remove(extent)


def _settled(samples: Sequence[float]) -> tuple[float, ...]:
    return tuple(samples[_WARM_UP:] if len(samples) > 2 * _WARM_UP else samples)
