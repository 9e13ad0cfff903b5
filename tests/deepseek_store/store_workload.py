"""One thread that does everything a store does, and a ledger of what must be left after a crash."""

from __future__ import annotations

import random

import attrs
from store_site import SimStore, Site

from deepseek_core import errors
from deepseek_store.errors import GenerationMismatch

Content = dict[str, bytes]

KEYS = [f"k/{number}" for number in range(9)]
SIZES = (0, 10, 700, 700, 3000, 3000, 20_000, 70_000, 200_000)
STEPS = {
    "put": 24, "loose": 8, "stream": 8, "delete": 10, "rename": 6, "copy": 6, "compare": 6,
    "adopt": 4, "send": 8, "gc": 4, "seal": 3, "flush": 2, "snapshot": 3, "reopen": 2,
}  # fmt: skip


class Lost(AssertionError):
    """What must never happen."""


@attrs.define(eq=False)
class Ledger:
    """What the store holds after each operation; a crash may go back to `floor`, not further."""

    states: list[Content] = attrs.field(factory=lambda: [{}])
    floor: int = 0
    snapshots: dict[str, Content] = attrs.field(factory=dict)

    @property
    def now(self) -> Content:
        return self.states[-1]

    def begin(self, **changes: bytes | None) -> None:
        """An operation that leads to this is under way."""
        self.states.append({k: v for k, v in {**self.now, **changes}.items() if v is not None})

    def settle(self) -> None:
        """All that was begun is acknowledged as durable."""
        self.floor = len(self.states) - 1

    def match(self, found: Content) -> int:
        """Which of the allowed states this is.

        Raises:
            Lost: none.
        """
        for number in reversed(range(self.floor, len(self.states))):
            if self.states[number] == found:
                return number
        raise Lost(_difference(self.states[self.floor], self.now, found))


class Workload:
    """One thread that does everything that a store does, by a seed."""

    def __init__(self, site: Site, seed: int, ledger: Ledger, *, shared: bool) -> None:
        self.site, self.ledger, self._shared = site, ledger, shared
        self._rng = random.Random(seed)
        self.store = self._open()

    def step(self) -> str:
        """One operation; its name."""
        name = self._rng.choices(list(STEPS), weights=list(STEPS.values()))[0]
        getattr(self, f"_{name}")()
        return name

    def _open(self) -> SimStore:
        store = self.site.open(shared=self._shared)
        self.site.watch_disk()
        return store

    def _data(self) -> bytes:
        return self._rng.randbytes(self._rng.choice(SIZES))

    def _put(self, *, durable: bool = True) -> None:
        key, data = self._rng.choice(KEYS), self._data()
        self.ledger.begin(**{key: data})
        self.store.put(key, data, durable=durable)
        if durable:
            self.ledger.settle()
        self._see(key)

    def _loose(self) -> None:
        self._put(durable=False)

    def _stream(self) -> None:
        key, data = self._rng.choice(KEYS), self._data()
        self.ledger.begin(**{key: data})
        step = self._rng.choice((1000, 50_000, 1 << 20))
        self.store.put_stream(key, (data[at : at + step] for at in range(0, len(data), step)))
        self.ledger.settle()
        self._see(key)

    def _delete(self) -> None:
        key = self._rng.choice(KEYS)
        there = key in self.ledger.now
        self.ledger.begin(**{key: None})
        if self.store.delete(key) is not there:
            raise Lost(f"{key} was {'' if there else 'not '}there, and a delete says otherwise")
        if there:
            self.ledger.settle()
        self._see(key)

    def _rename(self) -> None:
        self._link(remove=True)

    def _copy(self) -> None:
        self._link(remove=False)

    def _link(self, *, remove: bool) -> None:
        if not self.ledger.now:
            return
        source, target = self._rng.choice(sorted(self.ledger.now)), self._rng.choice(KEYS)
        data = self.ledger.now[source]
        self.ledger.begin(**({source: None, target: data} if remove else {target: data}))
        (self.store.rename if remove else self.store.copy)(source, target)
        self.ledger.settle()
        self._see(target)

    def _compare(self) -> None:
        key, data = self._rng.choice(KEYS), self._data()
        generation = self.store.stat(key).generation if key in self.ledger.now else 0
        try:
            self.store.put(key, b"wrong", if_generation=generation + 7)
            raise Lost("compare-and-set without comparing")
        except GenerationMismatch:
            pass
        self.ledger.begin(**{key: data})
        self.store.put(key, data, if_generation=generation)
        self.ledger.settle()

    def _adopt(self) -> None:
        self.store.maintenance.apply(self.store.maintenance.plan(flush=True))

    def _send(self) -> None:
        wanted = self._rng.sample(KEYS, 4)
        self.store.maintenance.send(wanted, self._rng.choice(("hot", "warm", "cold", "cold")))
        self.ledger.settle()
        self._see_all()

    def _gc(self) -> None:
        self.store.maintenance.gc()
        self.ledger.settle()
        self._see_all()

    def _seal(self) -> None:
        self.store.parts.journal.seal()
        self.ledger.settle()

    def _flush(self) -> None:
        self.store.flush()
        self.ledger.settle()

    def _snapshot(self) -> None:
        names = sorted(self.ledger.snapshots)
        if names and self._rng.random() < 0.6:
            self.ledger.snapshots.pop(names[0])
            self.store.drop_snapshot(names[0])
            return
        name = f"s{self._rng.random()}"
        self.store.snapshot(name)
        self.ledger.settle()
        self.ledger.snapshots = {**self.ledger.snapshots, name: self.ledger.now}

    def _reopen(self) -> None:
        self.store.close()
        self.ledger.settle()
        self.store = self._open()
        self._see_all()

    def _see(self, key: str) -> None:
        """What was just written is what is read, without any crash."""
        wanted = self.ledger.now.get(key)
        try:
            found: bytes | None = bytes(self.store.get(key))
        except errors.ObjectMissing:
            found = None
        if found != wanted:
            raise Lost(f"{key} reads otherwise than it was written a moment ago")

    def _see_all(self) -> None:
        for key in KEYS:
            self._see(key)


def _difference(before: Content, after: Content, found: Content) -> str:
    parts = []
    for key in sorted({*before, *after, *found}):
        shown = [_short(each.get(key)) for each in (before, after, found)]
        if shown[2] not in shown[:2]:
            parts.append(f"{key}: {shown[0]} or {shown[1]}, found {shown[2]}")
    return "; ".join(parts) or "each object is allowed, but not all of them together"


def _short(data: bytes | None) -> str:
    return "none" if data is None else f"{len(data)} bytes {data[:4].hex()}"
