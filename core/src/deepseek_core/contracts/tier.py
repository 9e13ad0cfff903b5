"""Storage tiers: places for objects, as a store uses them.

A plugin offers a `TierSpec`; its factory opens a `Tier` from a URL.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal, Self

import attrs

from deepseek_core.contracts.units import as_names, check_locator, check_name


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


class Tier(ABC):
    """An open tier. Keys are relative, `/`-separated UTF-8 without `.` or `..` parts.

    Safe to use from several threads. An object is there whole or not at all.
    """

    url: str
    failure_domains: tuple[str, ...] = ()
    """Parts that fail independently of each other (disks, hosts); empty if it does not know."""

    @abstractmethod
    def put_if_absent(self, key: str, data: bytes | bytearray | memoryview) -> bool:
        """Write an object unless the key is taken; True if it was written.

        When it returns, the object survives a crash if the tier is durable.

        Raises:
            TierFull: no room; nothing is left behind.
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

    def close(self) -> None:
        """Let go of connections and locks; idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
