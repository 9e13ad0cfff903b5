"""A tier in the memory of this process: for tests and for scratch data.

`memory://NAME` is one place for the whole process: whoever opens the name finds its objects, and
they are gone with the process. `?domains=150` gives it failure domains `d000` to `d149`, which
only stand for devices; `?capacity=BYTES` bounds it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import attrs

from deepseek_core import ObjectStat, Tier, TierProfile, errors

_MOST_DOMAINS: Final = 4096
_SETTINGS: Final = ("capacity", "domains")


@attrs.define
class _Place:
    """The objects of one name: content and time of writing, under one lock."""

    objects: dict[str, tuple[bytes, float]] = attrs.field(factory=dict)
    nbytes: int = 0
    lock: threading.Lock = attrs.field(factory=threading.Lock)


# By name: tiers that are opened apart have to meet, as they do in a folder or a bucket.
_places: dict[str, _Place] = {}
_places_lock = threading.Lock()


class MemoryTier(Tier):
    """Objects of one name; not durable. Opened by `open_memory`."""

    def __init__(
        self, url: str, name: str, *, domains: int = 0, capacity: int | None = None
    ) -> None:
        self.url = url
        self.name = name
        self.failure_domains = tuple(f"d{number:03d}" for number in range(domains))
        self.capacity_nbytes = capacity
        with _places_lock:
            self._place = _places.setdefault(name, _Place())

    def put_if_absent(self, key: str, data: bytes | bytearray | memoryview) -> bool:
        """Keep a copy of the data unless the key is taken; True if it was kept.

        Raises:
            InputError: a key that is absolute or leaves the tier.
            TierFull: it would exceed the capacity.
        """
        _check_key(key)
        content = bytes(data)
        place = self._place
        with place.lock:
            if key in place.objects:
                return False
            self._check_room(len(content))
            place.objects[key] = (content, time.time())
            place.nbytes += len(content)
        return True

    def get(self, key: str, start: int = 0, nbytes: int | None = None) -> bytes:
        """Bytes from `start`; fewer where the object ends.

        Raises:
            ObjectMissing: no such object.
        """
        content, _ = self._find(key)
        return content[start:] if nbytes is None else content[start : start + nbytes]

    def delete(self, key: str) -> None:
        """Forget an object; none of that name is no error."""
        place = self._place
        with place.lock:
            content, _ = place.objects.pop(key, (b"", 0.0))
            place.nbytes -= len(content)

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Objects whose key starts with `prefix`, as they are at this moment."""
        with self._place.lock:
            found = [
                ObjectStat(key=key, nbytes=len(content), modified_s=written_s)
                for key, (content, written_s) in self._place.objects.items()
                if key.startswith(prefix)
            ]
        return iter(sorted(found, key=lambda stat: stat.key))

    def stat(self, key: str) -> ObjectStat:
        """Size and age of an object.

        Raises:
            ObjectMissing: no such object.
        """
        content, written_s = self._find(key)
        return ObjectStat(key=key, nbytes=len(content), modified_s=written_s)

    def profile(self) -> TierProfile:
        """About what a process' own memory does; its failure domains are simulated."""
        limit = self.capacity_nbytes
        return TierProfile(
            medium="memory",
            latency_s=1e-6,
            bytes_per_s=1e10,
            capacity_nbytes=limit,
            free_nbytes=None if limit is None else max(0, limit - self._place.nbytes),
            evidence="simulated",
        )

    def clear(self) -> None:
        """Forget all objects of this name."""
        with self._place.lock:
            self._place.objects.clear()
            self._place.nbytes = 0

    def _find(self, key: str) -> tuple[bytes, float]:
        found = self._place.objects.get(key)
        if found is None:
            raise errors.ObjectMissing(f"{self.url} has no object {key!r}", url=self.url)
        return found

    def _check_room(self, nbytes: int) -> None:
        limit = self.capacity_nbytes
        if limit is not None and self._place.nbytes + nbytes > limit:
            raise errors.TierFull(
                f"{self.url} holds {self._place.nbytes} of {limit} bytes; no space for {nbytes}",
                url=self.url,
                remedy="delete objects, or open it with a larger capacity",
            )


def open_memory(url: str) -> MemoryTier:
    """The tier of a URL such as `memory://scratch?domains=12&capacity=1000000`.

    Raises:
        ConfigError: it has no name, or a setting is unknown or out of range.
    """
    parts = urlsplit(url)
    name = f"{parts.netloc}{parts.path}".strip("/")
    if not name:
        raise errors.ConfigError(f"{url!r} names no place", remedy="write memory://NAME")
    settings = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(settings.keys() - set(_SETTINGS)):
        raise errors.ConfigError(
            f"{url!r}: unknown setting {unknown[0]!r}", remedy=f"known: {', '.join(_SETTINGS)}"
        )
    domains = _number(url, settings, "domains", most=_MOST_DOMAINS)
    capacity = _number(url, settings, "capacity", most=1 << 60)
    return MemoryTier(url, name, domains=domains or 0, capacity=capacity)


def _number(url: str, settings: dict[str, str], name: str, *, most: int) -> int | None:
    text = settings.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or not 0 <= int(text) <= most:
        raise errors.ConfigError(
            f"{url!r}: {name} is {text!r}", remedy=f"give a whole number from 0 to {most}"
        )
    return int(text)


def _check_key(key: str) -> None:
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise errors.InputError(
            f"{key!r} is not a key of a tier", remedy="use relative keys without '.' and '..' parts"
        )
    try:
        key.encode()
    except UnicodeEncodeError as error:
        raise errors.InputError(f"{key!r} is not UTF-8", remedy="use Unicode text") from error
