"""Two processes that hammer one store: nothing is lost, and nobody reads what is over.

Each object has one owner who writes it again and again, numbered, some of the numbers being
deletes. The numbers that were begun and acknowledged stand in shared memory: whoever reads an
object must find a number between that acknowledged before the read and that begun after it.
Counters belong to all, who raise them by compare-and-set.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.errors import GenerationMismatch, IndexUnavailable

PROCESSES = 2
THREADS = 2
KEYS = 8
COUNTERS = 3
SIZES = (0, 200, 5000, 5000, 64 << 10, 150_000)
POLICY = Policy(
    warm_fragment_nbytes=256 << 10,
    cold_fragment_nbytes=128 << 10,
    codes={"hot": "auto", "warm": "rs(2,1)", "cold": "lrc(4,2,1)"},
    sizing=64 << 10,
    grace_s=1.0,
    min_residence_s=0.0,
)
_FORK = multiprocessing.get_context("fork")


class Board:
    """What the processes know of each other: numbers in shared memory."""

    def __init__(self) -> None:
        total = PROCESSES * THREADS * KEYS
        self.begun = _FORK.RawArray("q", total)
        self.acknowledged = _FORK.RawArray("q", total)
        self.raised = _FORK.RawArray("q", PROCESSES * THREADS * COUNTERS)
        self.unsure = _FORK.RawArray("q", PROCESSES * THREADS * COUNTERS)
        self.operations = _FORK.RawArray("q", PROCESSES * (THREADS + 1))
        self.refused = _FORK.RawArray("q", PROCESSES * (THREADS + 1))


def is_delete(number: int) -> bool:
    """Whether that operation on an object takes it away; so is it before the first one."""
    return number % 5 == 0


def payload_of(slot: int, number: int) -> bytes:
    """Bytes that tell whose they are."""
    rng = random.Random(slot * 1_000_003 + number)
    nbytes = rng.choice(SIZES)
    return number.to_bytes(8, "little") + slot.to_bytes(8, "little") + rng.randbytes(nbytes)


@attrs.frozen(kw_only=True)
class Worker:
    """One thread of one process."""

    store: Store
    board: Board
    number: int
    deadline_s: float
    rng: random.Random

    def run(self) -> None:
        """Write, raise, read, until the time is over."""
        while time.monotonic() < self.deadline_s:
            action = self.rng.choice(
                (self._write, self._write, self._raise, self._read, self._read)
            )
            try:
                action()
            except IndexUnavailable:
                # Only where the database is killed: what was under way is done or not.
                self.board.refused[self.number] += 1
                time.sleep(0.02)
            self.board.operations[self.number] += 1

    def _write(self) -> None:
        slot = self.number * KEYS + self.rng.randrange(KEYS)
        number = self.board.begun[slot] + 1
        self.board.begun[slot] = number
        if is_delete(number):
            self.store.delete(key_of(slot))
        else:
            self.store.put(key_of(slot), payload_of(slot, number))
        self.board.acknowledged[slot] = number
        check(self.store, self.board, slot)

    def _raise(self) -> None:
        counter = self.rng.randrange(COUNTERS)
        slot = self.number * COUNTERS + counter
        while time.monotonic() < self.deadline_s:
            info = self._stat(f"counter/{counter}")
            now = 0 if info is None else int(info.meta["n"])
            generation = 0 if info is None else info.generation
            try:
                self.store.put(
                    f"counter/{counter}", b"x", meta={"n": str(now + 1)}, if_generation=generation
                )
            except GenerationMismatch:
                continue
            except IndexUnavailable:
                self.board.unsure[slot] += 1
                raise
            self.board.raised[slot] += 1
            return

    def _stat(self, key: str) -> Any:
        try:
            return self.store.stat(key)
        except errors.ObjectMissing:
            return None

    def _read(self) -> None:
        check(self.store, self.board, self.rng.randrange(len(self.board.begun)))


def key_of(slot: int) -> str:
    """The object of a slot."""
    return f"o/{slot:03d}"


def check(store: Store, board: Board, slot: int) -> None:
    """Read an object: it must be what it may be now."""
    least = board.acknowledged[slot]
    try:
        data: bytes | None = bytes(store.get(key_of(slot)))
    except errors.ObjectMissing:
        data = None
    most = board.begun[slot]
    if data is None:
        assert any(is_delete(number) for number in range(least, most + 1)), (
            f"{key_of(slot)} is not there at {least}..{most}"
        )
        return
    number = int.from_bytes(data[:8], "little")
    assert least <= number <= most, f"{key_of(slot)} reads as {number}, not {least}..{most}"
    assert data == payload_of(slot, number), f"{key_of(slot)} reads wrong at {number}"


def move(store: Store, rng: random.Random) -> None:
    """One move."""
    if rng.random() < 0.4:
        store.maintenance.apply(store.maintenance.plan(flush=rng.random() < 0.5))
    else:
        keys = [info.key for info in store.list()]
        store.maintenance.send(
            rng.sample(keys, min(6, len(keys))), rng.choice(("hot", "warm", "cold"))
        )


def collect(store: Store, _rng: random.Random) -> None:
    """One collection."""
    store.maintenance.gc()


def _process(
    home: Path, board: Board, number: int, deadline_s: float, failures: Any, seed: int
) -> None:
    """What one process does."""
    store = Store(home, shared=True)

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException:  # noqa: BLE001 - told to the parent, which fails
            failures.put(traceback.format_exc())

    def care() -> None:
        rng = random.Random(seed + number)
        act = move if number == 0 else collect
        place = PROCESSES * THREADS + number
        while time.monotonic() < deadline_s:
            try:
                act(store, rng)
            except IndexUnavailable:
                board.refused[place] += 1
            board.operations[place] += 1
            time.sleep(0.05)

    workers = [
        Worker(
            store=store, board=board, number=number * THREADS + i, deadline_s=deadline_s,
            rng=random.Random(seed * 100 + number * THREADS + i),
        )
        for i in range(THREADS)
    ]  # fmt: skip
    threads = [threading.Thread(target=guarded, args=(worker.run,)) for worker in workers]
    threads.append(threading.Thread(target=guarded, args=(care,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    guarded(store.close)


def make_store(folder: Path, index: str = "sqlite") -> Path:
    """A store with tiers of folders."""
    urls = []
    for name, count in (("warm", 4), ("cold", 8)):
        (folder / name).mkdir()
        urls.append(f"{(folder / name).as_uri()}?domains={count}")
    store = Store.init(
        folder / "home", warm=urls[:1], cold=urls[1:], policy=POLICY, index=index, shared=True
    )
    store.close()
    return folder / "home"


@attrs.frozen(kw_only=True)
class Result:
    """What was done, and refused because the database was down."""

    operations: int
    moves: int
    collections: int
    raised: int
    refused: int


def hammer(
    home: Path, seconds: float, *, seed: int = 0, meanwhile: Callable[[], None] = lambda: None
) -> Result:
    """Let two processes use a store; `meanwhile` is called again and again.

    Raises:
        AssertionError: something was lost, or read wrong.
    """
    board, failures = Board(), _FORK.SimpleQueue()
    deadline_s = time.monotonic() + seconds
    children = [
        _FORK.Process(target=_process, args=(home, board, n, deadline_s, failures, seed))
        for n in range(PROCESSES)
    ]
    for child in children:
        child.start()
    while time.monotonic() < deadline_s and failures.empty():
        meanwhile()
        time.sleep(0.05)
    for child in children:
        child.join(60)
        if child.exitcode is None:
            child.kill()
            child.join()
            raise AssertionError("a process hangs")
    assert failures.empty(), failures.get()
    assert [child.exitcode for child in children] == [0] * PROCESSES
    _settle(home, board)
    places = PROCESSES * THREADS
    return Result(
        operations=sum(board.operations[:places]),
        moves=board.operations[places],
        collections=board.operations[places + 1],
        raised=sum(board.raised),
        refused=sum(board.refused),
    )


def _settle(home: Path, board: Board) -> None:
    """All is there when the store is opened again, and no raise of a counter was lost."""
    with Store(home, shared=True) as store:
        for _ in range(2):
            for slot in range(len(board.begun)):
                check(store, board, slot)
            for counter in range(COUNTERS):
                _check_counter(store, board, counter)
            store.maintenance.gc()


def _check_counter(store: Store, board: Board, counter: int) -> None:
    raised, unsure = sum(board.raised[counter::COUNTERS]), sum(board.unsure[counter::COUNTERS])
    try:
        found = int(store.stat(f"counter/{counter}").meta["n"])
    except errors.ObjectMissing:
        found = 0
    assert raised <= found <= raised + unsure, f"counter {counter}: {found}, not {raised}"
