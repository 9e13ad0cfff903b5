"""Takes the disks of a log away in turn, also under processes that write, and kills these.

A round: some disks are away, one or two processes put, overwrite, delete and collect, a disk may go
meanwhile, and all are shot or end. When all disks are back, each key has its newest acknowledged
state, or one that was tried after it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.errors import ReadOnlyStore

KEYS = 6
SIZES = (0, 10, 3_000, 40_000)
POLICY = Policy(
    warm_fragment_nbytes=1 << 16,
    cold_fragment_nbytes=1 << 16,
    prefetch=False,
    learn=False,
    cache_nbytes=0,
    grace_s=0.0,
)


def payload_of(number: int) -> bytes:
    rng = random.Random(number)
    return b"" if number < 0 else b"%d:" % number + rng.randbytes(rng.choice(SIZES))


class Child:
    """A process that works until it is shot or done; it tells what it tries and what is done."""

    def __init__(self, work: Callable[[Callable[[str], None]], None]) -> None:
        read, write = os.pipe()
        self.process = os.fork()
        if not self.process:
            os.close(read)
            code = 1
            try:
                work(lambda line: _tell(write, line))
                code = 0
            except BaseException:  # noqa: BLE001 - told to the parent
                _tell(write, "error " + traceback.format_exc().replace("\n", "|"))
            finally:
                os._exit(code)
        os.close(write)
        self._read = read

    def end(self, after_s: float | None) -> list[str]:
        """Shoot it after so many seconds, or let it end; what it told."""
        if after_s is not None:
            time.sleep(after_s)
            with suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGKILL)
        with os.fdopen(self._read, "rb") as pipe:
            told = pipe.read().decode()
        os.waitpid(self.process, 0)
        lines = told.split("\n")[:-1]  # the last one may be half a line
        wrong = [line for line in lines if line.startswith("error")]
        assert not wrong, wrong[0].replace("|", "\n")
        return lines


def _tell(pipe: int, line: str) -> None:
    os.write(pipe, f"{line}\n".encode())


class Rounds:
    """A store on several disks, and what its keys may be."""

    def __init__(self, folder: Path, seed: int, *, count: int = 2) -> None:
        self.rng = random.Random(seed)
        self.folder, self.home = folder, folder / "home"
        self.paths = [self.home / "log", *(folder / f"disk{n}" for n in range(1, count))]
        # Per key: numbers that were tried, and whether they were acknowledged; -1: deleted.
        self.states: dict[str, list[int]] = defaultdict(lambda: [-1])
        self.ever: dict[str, set[int]] = defaultdict(lambda: {-1})
        self.number = self.acknowledged = self.kills = 0

        def make(_tell: Callable[[str], None]) -> None:
            Store.init(self.home, policy=POLICY, mirrors=self.paths[1:]).close()

        Child(make).end(None)

    def run(self, rounds: int) -> None:
        """So many rounds; the disks are all there after some of them, and in the end."""
        for number in range(rounds):
            self._place_disks(everything=False)
            self._write()
            if number == rounds - 1 or self.rng.random() < 0.4:
                self._place_disks(everything=True)
                if self.rng.random() < 0.5:  # in the middle of making them level
                    self._shot(lambda tell: self._open().close(), self.rng.uniform(0.0, 0.06))
                self._check()
            else:
                Child(self._read_some).end(None)

    def _open(self) -> Store:
        return Store(self.home, shared=True)

    def _shot(self, work: Callable[[Callable[[str], None]], None], after_s: float) -> list[str]:
        self.kills += 1
        return Child(work).end(after_s)

    def _place_disks(self, *, everything: bool) -> None:
        there = set(range(len(self.paths)))
        if not everything:
            there = set(self.rng.sample(sorted(there), self.rng.randint(1, len(there))))
        for number, path in enumerate(self.paths):
            away = self.folder / f"away{number}"
            if number in there and away.exists():
                if path.exists():
                    shutil.rmtree(path)
                away.rename(path)
            elif number not in there and not away.exists():
                path.rename(away)

    def _write(self) -> None:
        writers = self.rng.choice((1, 1, 2))
        seeds = [self.rng.random() for _ in range(writers)]
        first = self.number
        self.number += 10_000 * writers
        children = [
            Child(
                lambda tell, at=at, seed=seed: self._work(
                    tell, random.Random(seed), at, first + 10_000 * at, alone=writers == 1
                )
            )
            for at, seed in enumerate(seeds)
        ]
        after_s = self.rng.uniform(0.05, 0.5) if self.rng.random() < 0.8 else None
        for child in children:
            self._take(child.end(after_s))
            self.kills += after_s is not None
            after_s = None if after_s is None else 0.0

    def _work(
        self,
        tell: Callable[[str], None],
        rng: random.Random,
        at: int,
        number: int,
        *,
        alone: bool,
    ) -> None:
        try:
            self._work_on(tell, rng, at, number, alone=alone)
        except (errors.TierUnavailable, ReadOnlyStore):
            # The last disk that was level has gone: the others wait for a repair.
            assert not all(path.exists() for path in self.paths)

    def _work_on(
        self,
        tell: Callable[[str], None],
        rng: random.Random,
        at: int,
        number: int,
        *,
        alone: bool,
    ) -> None:
        with self._open() as store:
            for _ in range(rng.randint(5, 60)):
                number += 1
                key = f"{at}/{rng.randrange(KEYS)}"
                if rng.random() < 0.03:
                    self._unplug(rng, copied=alone)
                if rng.random() < 0.08:
                    with suppress(errors.TierUnavailable):
                        store.maintenance.apply(store.maintenance.plan(flush=True))
                        store.maintenance.gc()
                    if rng.random() < 0.3:
                        store.maintenance.repair()
                if rng.random() < 0.25:
                    tell(f"try {key} -1")
                    store.delete(key)
                    tell(f"did {key} -1")
                else:
                    tell(f"try {key} {number}")
                    store.put(key, payload_of(number))
                    tell(f"did {key} {number}")

    def _unplug(self, rng: random.Random, *, copied: bool) -> None:
        """A disk goes while it is in use, but never the last."""
        there = [n for n, path in enumerate(self.paths) if path.exists()]
        if len(there) < 2:
            return
        number = rng.choice(there)
        path, away = self.paths[number], self.folder / f"away{number}"
        if away.exists():
            return
        if not copied:  # others write to it, and what they wrote must be in it
            with suppress(OSError):
                path.rename(away)
            return
        partial = self.folder / f"partial{number}"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(path, partial)
        partial.rename(away)
        shutil.rmtree(path)

    def _take(self, lines: list[str]) -> None:
        for line in lines:
            sign, key, text = line.split()
            state = int(text)
            if sign == "try":
                self.states[key].append(state)
                self.ever[key].add(state)
            else:
                self.acknowledged += 1
                self.states[key] = [state]

    def _read_some(self, _tell: Callable[[str], None]) -> None:
        """Disks are away: what is read was put once, and what is not read is said to be away."""
        with self._open() as store:
            for key in list(self.ever):
                with suppress(errors.TierUnavailable):
                    found = _read(store, key)
                    assert found in {_content(n) for n in self.ever[key]}, key

    def _check(self) -> None:
        for line in Child(self._read_all).end(None):
            _sign, key, text = line.split()
            self.states[key] = [int(text)]

    def _read_all(self, tell: Callable[[str], None]) -> None:
        with self._open() as store:
            for key, states in self.states.items():
                self._read_one(tell, store, key, states)
            if self.rng.random() < 0.5:
                store.maintenance.repair()
                report = store.maintenance.fsck(deep=True)
                assert report.ok, report.to_json()
        if self.rng.random() < 0.3:
            assert Store.rebuild(self.home).ok
            with self._open() as store:
                for key, states in self.states.items():
                    self._read_one(lambda _line: None, store, key, states)

    def _read_one(
        self, tell: Callable[[str], None], store: Store, key: str, states: list[int]
    ) -> None:
        found = _read(store, key)
        fitting = [n for n in states if _content(n) == found]
        was = [n for n in self.ever[key] if _content(n) == found]
        assert fitting, f"{key} is {was}, and must be one of {states}"
        tell(f"is {key} {fitting[-1]}")


def _content(number: int) -> bytes | None:
    return None if number < 0 else payload_of(number)


def _read(store: Store, key: str) -> bytes | None:
    try:
        return bytes(store.get(key))
    except errors.ObjectMissing:
        return None


def sequences(folder: Path, seeds: Iterator[int], rounds: int = 8) -> str:
    """Several stores, each through so many rounds; what was done."""
    done = acknowledged = kills = 0
    for seed in seeds:
        one = folder / f"store{seed}"
        one.mkdir()
        work = Rounds(one, seed, count=3 if seed % 3 == 0 else 2)
        try:
            work.run(rounds)
        except BaseException as error:
            error.add_note(f"seed {seed}, in {one}")
            raise
        shutil.rmtree(one)
        done, kills = done + 1, kills + work.kills
        acknowledged += work.acknowledged
    return f"{done} sequences of {rounds} rounds, {kills} kills, {acknowledged} acknowledged"
