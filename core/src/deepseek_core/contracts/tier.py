"""Storage tiers: places for objects, as a store uses them.

A plugin offers a `TierSpec`; its factory opens a `Tier` from a URL.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final, Literal, Self

import attrs

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.units import as_names, check_finite, check_locator, check_name


@attrs.frozen(kw_only=True)
class TierSpec:
    """A kind of place for objects; `factory` names a callable `(url: str) -> Tier`.

    `schemes` are those of the URLs that it opens (`file`, `s3`); `capabilities` may name
    `durable-put`, `ranged-get`, `failure-domains`.
    `probe`, where there is one, names a function `() -> None` that raises a `DeepSeekError`
    when this can't be used here.
    """

    name: str = attrs.field(validator=check_name)
    temperature: Literal["hot", "warm", "cold"]
    schemes: tuple[str, ...] = attrs.field(converter=as_names)
    factory: str = attrs.field(validator=check_locator)
    probe: str | None = attrs.field(default=None, validator=check_locator)
    summary: str = ""
    durable: bool = True
    capabilities: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0


@attrs.frozen(kw_only=True)
class ObjectStat:
    """What a tier knows of an object without reading it; `modified_s` is since the epoch."""

    key: str
    nbytes: int
    modified_s: float


@attrs.frozen(kw_only=True)
class TierProfile:
    """What a planner has to know of an open tier.

    A read of n bytes takes about `latency_s + n / bytes_per_s` seconds. None: not known.
    `nines` is the annual durability that the place itself promises (11 for most object stores).
    `evidence` tells whether the failure domains are separate devices or only stand for them.
    """

    medium: Literal["memory", "ssd", "hdd", "object-store"]
    latency_s: float = attrs.field(validator=check_finite)
    bytes_per_s: float = attrs.field(validator=attrs.validators.gt(0.0))
    capacity_nbytes: int | None = None
    free_nbytes: int | None = None
    nines: float | None = None
    evidence: Literal["hardware", "simulated"] = "hardware"


MOST_KEY_NBYTES: Final = 1024
"""Of a key in UTF-8, as S3 has it; a tier takes at least half of that, and all if it can."""

MOST_DOMAINS: Final = 1000
"""That one URL may name."""

_DOMAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_KEY_REMEDY: Final = f"use up to {MOST_KEY_NBYTES} bytes of parts between slashes, no . or .."


class Tier(ABC):
    """An open tier. Keys are relative, `/`-separated UTF-8 without `.` or `..` parts.

    Safe to use from several threads. An object is there whole or not at all.
    """

    url: str
    failure_domains: tuple[str, ...] = ()
    """Parts that fail independently of each other (disks, hosts); empty if it does not know.

    A key whose first part is one of these names lies in that domain.
    """

    @staticmethod
    def check_key(key: str) -> None:
        """Refuse what is a key in no tier; for the first line of `put_if_absent` and `get`.

        Raises:
            InputError: it is empty, absolute or ends in `/`, has an empty, `.` or `..` part or a
                control character, is not UTF-8, or has more than `MOST_KEY_NBYTES`.
        """
        problem = _problem_of(key)
        if problem:
            raise InputError(f"{key[:100]!r} is not a key: {problem}", remedy=_KEY_REMEDY)

    @staticmethod
    def read_domains(text: str) -> tuple[str, ...]:
        """Names that `domains=` of a URL means: `3` is `d0`, `d1`, `d2`; `a,b` is itself.

        Raises:
            ValueError: no number from 1 to 1000, or names that are equal or no parts of keys.
        """
        if text.isdecimal():
            number = int(text) if len(text) < 10 else 0
            names = tuple(f"d{i}" for i in range(number)) if number <= MOST_DOMAINS else ()
        else:
            names = tuple(text.split(","))
        fits = all(map(_DOMAIN.fullmatch, names)) and len(set(names)) == len(names)
        if not 0 < len(names) <= MOST_DOMAINS or not fits:
            raise ValueError("no failure domains: give 1 to 1000, or different names: a,b,c")
        return names

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes | bytearray | memoryview) -> bool:
        """Write an object unless the key is taken; True if it was written.

        When it returns, the object survives a crash if the tier is durable.

        Raises:
            TierFull: no space; nothing is left behind.
            TierUnavailable: the tier can't be reached.
            InputError: the key is not allowed.
        """

    @abstractmethod
    def get(self, key: str, start: int = 0, nbytes: int | None = None) -> bytes:
        """Bytes from `start`; all the rest without `nbytes`, fewer where the object ends.

        Raises:
            ObjectMissing: no such object.
            TierUnavailable: the tier can't be reached.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; none of that name is no error."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Objects whose key starts with `prefix`, by key."""

    @abstractmethod
    def stat(self, key: str) -> ObjectStat:
        """Size and age of an object.

        Raises:
            ObjectMissing: no such object.
        """

    def profile(self) -> TierProfile:
        """Medium, speed and space, as they are now; an SSD of unknown size if it does not say.

        Raises:
            TierUnavailable: the tier can't be reached.
        """
        return TierProfile(medium="ssd", latency_s=1e-4, bytes_per_s=5e8)

    def close(self) -> None:
        """Let go of connections and locks; idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _problem_of(key: str) -> str | None:
    """What is wrong with a key, in words."""
    if any(part in ("", ".", "..") for part in key.split("/")):
        return "a part is empty, . or .."
    if _CONTROL.search(key):
        return "it has a control character"
    try:
        nbytes = len(key.encode())
    except UnicodeEncodeError:
        return "it is no UTF-8"
    return f"it has {nbytes} bytes" if nbytes > MOST_KEY_NBYTES else None
