"""Tiers that count, fail and die on command, and stripes to put on them."""

import random
import threading
from collections.abc import Iterator

from deepseek_core import ObjectStat, Tier, errors
from deepseek_store.codes import Code
from deepseek_store.memory_tier import MemoryTier, open_memory
from deepseek_store.stripes import Stripe, StripeIO, place

STORE = b"store-of-a-test!"
OTHER_STORE = b"another store's!"


class Killed(BaseException):
    """The process ends here: nobody tidies up after it."""


class WatchedTier(Tier):
    """A tier in memory that notes what is asked of it, with domains that can go down.

    `down`, `full` and `lying` (damages what is written) name domains; `flaky` domains write and
    then say that they did not, once; after `lives` calls every call raises `Killed`.
    """

    def __init__(self, inner: MemoryTier) -> None:
        self.inner = inner
        self.url = inner.url
        self.failure_domains = inner.failure_domains
        self.gets: list[tuple[str, int, int | None]] = []
        self.down: set[str] = set()
        self.full: set[str] = set()
        self.lying: set[str] = set()
        self.flaky: set[str] = set()
        self.lives: int | None = None
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def put_if_absent(self, key: str, data: bytes | bytearray | memoryview) -> bool:
        domain = self._enter(key)
        if domain in self.full:
            raise errors.TierFull(f"{domain} is full", url=self.url)
        if domain in self.lying:
            data = flipped(bytes(data), len(data) - 1)
        wrote = self.inner.put_if_absent(key, data)
        if domain in self.flaky:
            self.flaky.discard(domain)
            raise errors.TierUnavailable(f"{domain} timed out", url=self.url)
        return wrote

    def get(self, key: str, start: int = 0, nbytes: int | None = None) -> bytes:
        self._enter(key)
        with self._lock:
            self.gets.append((key, start, nbytes))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self.inner.get(key, start, nbytes)
        finally:
            with self._lock:
                self._at_once -= 1

    def delete(self, key: str) -> None:
        self._enter(key)
        self.inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        self._enter(prefix)
        return self.inner.list(prefix)

    def stat(self, key: str) -> ObjectStat:
        self._enter(key)
        return self.inner.stat(key)

    def content(self) -> dict[str, bytes]:
        """All that lies there."""
        return {found.key: self.inner.get(found.key) for found in self.inner.list()}

    def replace(self, key: str, data: bytes) -> None:
        """Other bytes under a key that is taken."""
        self.inner.delete(key)
        self.inner.put_if_absent(key, data)

    def _enter(self, key: str) -> str:
        with self._lock:
            if self.lives is not None:
                if self.lives <= 0:
                    raise Killed
                self.lives -= 1
        domain = key.partition("/")[0]
        if domain in self.down:
            raise errors.TierUnavailable(f"{domain} does not answer", url=self.url)
        return domain


def watched(name: str, domains: int) -> WatchedTier:
    """An empty tier of a name."""
    inner = open_memory(f"memory://{name}?domains={domains}")
    inner.clear()
    return WatchedTier(inner)


def flipped(data: bytes, at: int) -> bytes:
    """The data with one bit changed."""
    changed = bytearray(data)
    changed[at] ^= 0x10
    return bytes(changed)


def random_segments(
    rng: random.Random, count: int, nbytes: int, *, first: int = 1, even: bool = False
) -> list[tuple[int, bytes]]:
    """Segments of up to so many random bytes."""
    lengths = [nbytes if even else rng.randint(1, nbytes) for _ in range(count)]
    return [(first + number, rng.randbytes(length)) for number, length in enumerate(lengths)]


def write(
    io: StripeIO, number: int, segments: list[tuple[int, bytes]], code: str, **more: object
) -> Stripe:
    """A stripe over all domains of all tiers."""
    parsed = Code.parse(code)
    places = place(parsed, io.places(), turn=number)
    return io.write(number, segments, parsed, places, created_s=float(number), **more)


def payload_of(io: StripeIO, stripe: Stripe, index: int) -> bytes:
    """The whole payload of a fragment, by a plain read."""
    return io.read(stripe, index, 0, stripe.fragments[index].nbytes)
