"""Processes that use a store and are killed with SIGKILL at random moments.

Each round forks a process whose threads write to one store while another moves and collects. Each
operation is told before it begins and after it is acknowledged. After the kill the store is opened:
each thread's objects are as its last acknowledged operation, or the one under way, left them.
"""

from __future__ import annotations

import itertools
import os
import random
import select
import signal
import threading
import time
from pathlib import Path

import attrs

from deepseek_store import Policy, Store

THREADS = 3
KEYS = 6
SIZES = (0, 100, 3000, 3000, 40_000, 70_000, 200_000)
LONGEST_S = 0.12
MOST_WAITED_FOR = 5
LONGEST_WAIT_S = 10.0
POLICY = Policy(
    warm_fragment_nbytes=128 << 10,
    cold_fragment_nbytes=64 << 10,
    codes={"hot": "auto", "warm": "rs(2,1)", "cold": "lrc(4,2,1)"},
    sizing=64 << 10,
    grace_s=0.05,
    min_residence_s=0.0,
)
Objects = dict[str, int]


@attrs.frozen
class Step:
    """One operation of a thread: what it changes, None for what goes away."""

    thread: int
    name: str
    keys: tuple[str, ...]
    number: int

    def line(self) -> str:
        return f"{self.thread} {self.name} {','.join(self.keys)} {self.number}"

    @classmethod
    def of(cls, line: str) -> Step:
        thread, name, keys, number = line.split()
        return cls(int(thread), name, tuple(keys.split(",")), int(number))

    def apply(self, before: Objects) -> Objects:
        after = dict(before)
        if self.name in ("put", "stream", "compare"):
            after[self.keys[0]] = self.number
        elif self.name == "delete":
            after.pop(self.keys[0], None)
        elif self.keys[0] in before:
            after[self.keys[1]] = before[self.keys[0]]
            if self.name == "rename" and self.keys[0] != self.keys[1]:
                del after[self.keys[0]]
        return after


def payload_of(number: int) -> bytes:
    """Bytes that anyone can tell from a number alone."""
    rng = random.Random(number)
    return rng.randbytes(rng.choice(SIZES))


def make_store(folder: Path) -> None:
    """A store with tiers of folders."""
    urls = {name: f"{(folder / name).as_uri()}?domains={n}" for name, n in DOMAINS.items()}
    for name in DOMAINS:
        (folder / name).mkdir()
    Store.init(folder / "home", warm=[urls["warm"]], cold=[urls["cold"]], policy=POLICY).close()


DOMAINS = {"warm": 4, "cold": 8}


class Child:
    """What runs in the process that is killed."""

    def __init__(self, folder: Path, pipe: int, known: Objects, first: int, *, lies: bool) -> None:
        self._store = Store(folder / "home")
        self._pipe, self._known, self._lies = pipe, known, lies
        self._numbers = itertools.count(first)

    def work_forever(self) -> None:
        for number in range(THREADS):
            threading.Thread(target=self._guarded, args=(number,), daemon=True).start()
        self._guarded(None)

    def _guarded(self, thread: int | None) -> None:
        try:
            if thread is None:
                self._care()
            else:
                self._write(thread)
        except BaseException as error:  # noqa: BLE001 - told to the parent, which fails
            import traceback

            text = "".join(traceback.format_exception(error)).replace("\n", "|")
            os.write(self._pipe, f"!{text[-3000:]}\n".encode())
            os._exit(4)

    def _write(self, thread: int) -> None:
        rng = random.Random(next(self._numbers))
        mine = {k: v for k, v in self._known.items() if k.startswith(f"t{thread}/")}
        while True:
            step = self._next(thread, rng, mine)
            self._tell("+" if not self._lies else "=", step)
            self._do(step)
            mine = step.apply(mine)
            if not self._lies:
                self._tell("-", step)
            if mine and rng.random() < 0.3:
                key = rng.choice(sorted(mine))
                assert bytes(self._store.get(key)) == payload_of(mine[key]), f"{key} reads wrong"

    def _next(self, thread: int, rng: random.Random, mine: Objects) -> Step:
        names = [f"t{thread}/{number}" for number in range(KEYS)]
        kind = rng.choice(("put", "put", "put", "stream", "compare", "delete", "rename", "copy"))
        if kind in ("rename", "copy") and mine:
            keys: tuple[str, ...] = (rng.choice(sorted(mine)), rng.choice(names))
        else:
            kind = "put" if kind in ("rename", "copy") else kind
            keys = (rng.choice(names),)
        return Step(thread, kind, keys, next(self._numbers))

    def _do(self, step: Step) -> None:
        store, data = self._store, payload_of(step.number)
        if step.name == "put":
            store.put(step.keys[0], data)
        elif step.name == "stream":
            store.put_stream(
                step.keys[0], (data[at : at + 9000] for at in range(0, len(data), 9000))
            )
        elif step.name == "compare":
            there = store.exists(step.keys[0])
            generation = store.stat(step.keys[0]).generation if there else 0
            store.put(step.keys[0], data, if_generation=generation)
        elif step.name == "delete":
            store.delete(step.keys[0])
        else:
            getattr(store, step.name)(*step.keys)

    def _care(self) -> None:
        rng = random.Random(next(self._numbers))
        store = self._store
        while True:
            kind = rng.choice(("adopt", "send", "send", "gc", "gc", "pause"))
            if kind == "adopt":
                store.maintenance.apply(store.maintenance.plan(flush=True))
            elif kind == "send":
                keys = [info.key for info in store.list()]
                wanted = rng.sample(keys, min(5, len(keys)))
                store.maintenance.send(wanted, rng.choice(("hot", "warm", "cold")))
            elif kind == "gc":
                store.maintenance.gc()
            else:
                time.sleep(0.005)

    def _tell(self, sign: str, step: Step) -> None:
        os.write(self._pipe, f"{sign}{step.line()}\n".encode())


@attrs.define
class Told:
    """What a killed process said: acknowledged steps in order, and those under way."""

    done: list[Step] = attrs.field(factory=list)
    under_way: dict[int, Step] = attrs.field(factory=dict)

    @classmethod
    def of(cls, text: str) -> Told:
        told = cls()
        for line in text[: text.rfind("\n") + 1].splitlines():
            if line[0] == "!":
                raise AssertionError(f"the process failed: {line[1:].replace('|', chr(10))}")
            step = Step.of(line[1:])
            if line[0] == "+":
                told.under_way[step.thread] = step
            else:
                told.under_way.pop(step.thread, None)
                told.done.append(step)
        return told


def one_round(
    folder: Path, known: Objects, first: int, rng: random.Random, *, lies: bool = False
) -> Told:
    """Fork a process, kill it, return what it said."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            Child(folder, writing, known, first, lies=lies).work_forever()
        finally:
            os._exit(3)
    os.close(writing)
    # Two rounds of three count from an operation's end: on a busy machine none may end by then.
    ends = rng.randint(1, MOST_WAITED_FOR) if rng.random() < 2 / 3 else 0
    text = _read_ends(reading, ends) + _read_for(reading, rng.uniform(0.004, LONGEST_S))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    while chunk := os.read(reading, 1 << 16):
        text += chunk
    os.close(reading)
    told = Told.of(text.decode())
    if not os.WIFSIGNALED(status):
        raise AssertionError(f"the process ended by itself: {status}")
    return told


def _read_ends(pipe: int, ends: int) -> bytes:
    """All that is said until so many operations are acknowledged, if that comes in time."""
    text, limit_s = b"", time.monotonic() + LONGEST_WAIT_S
    while sum(line[:1] in (b"-", b"=") for line in text.splitlines()) < ends:
        chunk = _read_until(pipe, limit_s)
        if not chunk:
            break
        text += chunk
    return text


def _read_for(pipe: int, seconds: float) -> bytes:
    """All that is said within the seconds."""
    end_s = time.monotonic() + seconds
    return b"".join(iter(lambda: _read_until(pipe, end_s), b""))


def _read_until(pipe: int, end_s: float) -> bytes:
    """What is said next; nothing if it does not come by then, or never."""
    left_s = max(0.0, end_s - time.monotonic())
    return os.read(pipe, 1 << 16) if select.select([pipe], [], [], left_s)[0] else b""


class Loop:
    """Kills, and what was found after each."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._rng = folder, random.Random(seed)
        self._known: Objects = {}
        self.kills = self.acknowledged = self.lost = self.orphans = self.objects = 0
        self.first = 1
        make_store(folder)

    def run(self, kills: int, *, lies: bool = False) -> None:
        """So many rounds."""
        for _ in range(kills):
            told = one_round(self._folder, self._known, self.first, self._rng, lies=lies)
            self.kills += 1
            self.acknowledged += len(told.done)
            last = [*told.done, *told.under_way.values()]
            self.first = max([self.first, *(step.number for step in last)]) + 1000
            self._settle(told)

    def _settle(self, told: Told) -> None:
        found: Objects = {}
        for step in told.done:
            self._known = step.apply(self._known)
        with Store(self._folder / "home") as store:
            for thread in range(THREADS):
                step = told.under_way.get(thread)
                before = _of(thread, self._known)
                allowed = [before] if step is None else [step.apply(before), before]
                content = {
                    info.key: bytes(store.get(info.key)) for info in store.list(f"t{thread}/")
                }
                fitting = [one for one in allowed if _payloads(one) == content]
                if not fitting:
                    self.lost += 1
                    self._known = {}
                    return
                found |= fitting[0]
            if self.kills % 5 == 0:
                time.sleep(POLICY.grace_s)
                store.maintenance.gc()
                self.orphans += len(orphans(store))
        self._known = found
        self.objects += len(found)


def orphans(store: Store) -> set[str]:
    """Fragments and files of the log that nothing knows of, or that are missing."""
    state = store.parts.state
    names = ["warm", "cold"]
    known = {
        f"{names[f.tier]}/{f.key}" for s in state.stripes.values() for f in s.fragments if f.key
    }
    known |= {
        f"{names[f.tier]}/{f.key}" for s, _ in state.given_up.values() for f in s.fragments if f.key
    }
    found = {
        f"{name}/{stat.key}"
        for number, name in enumerate(names)
        for stat in store.parts.tiers.tier(number).list()
        if not stat.key.startswith("stores/")  # the mark by which the store knows its tier
    }
    files = {f"{row.id:016x}" for row in state.segments.values() if row.local}
    active = store.parts.journal.active
    files |= {f"{active:016x}"} if active is not None else set()
    there = {path.stem.rpartition("-")[2] for path in (store.home / "log").glob("*.seg")}
    return (known ^ found) | (files ^ there)


def _of(thread: int, objects: Objects) -> Objects:
    return {key: number for key, number in objects.items() if key.startswith(f"t{thread}/")}


def _payloads(objects: Objects) -> dict[str, bytes]:
    return {key: payload_of(number) for key, number in objects.items()}
