"""A PCIe tree as XML files have it, and the distances in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import attrs

_RATE: Final = re.compile(r"\s*([\d.]+)\s*GT/s")


@attrs.frozen(kw_only=True)
class Leaf:
    """A device and its way up: `bridges` from the root of the tree to it, then host and NUMA."""

    name: str
    bridges: tuple[str, ...]
    host: str | None
    numa: int | None


def distances(leaves: Sequence[Leaf], *, ports: bool) -> dict[tuple[str, str], str]:
    """What lies between all pairs that is known, in the words of `nvidia-smi topo`.

    `ports`: the tree has both ports of a switch as bridges, as the kernel has; NCCL joins them.
    """
    found = {}
    for place, one in enumerate(leaves):
        for other in leaves[place + 1 :]:
            between = _between(one, other, 1 if ports else 0)
            if between is not None:
                found[one.name, other.name] = between
    return found


def _between(one: Leaf, other: Leaf, below: int) -> str | None:
    common = 0
    for a, b in zip(one.bridges, other.bridges, strict=False):
        if a != b:
            break
        common += 1
    if common:
        deepest = max(len(one.bridges), len(other.bridges)) - common
        return "PIX" if deepest <= below else "PXB"
    if one.host is not None and one.host == other.host:
        return "PHB"
    if one.numa is None or other.numa is None:
        return None
    return "NODE" if one.numa == other.numa else "SYS"


def pcie_bytes_per_s(speed: str, width: str) -> float | None:
    """`16 GT/s` and `16` -> bytes a second in one direction; None where nothing is told."""
    found = _RATE.match(speed)
    lanes = int(width) if width.strip().isdecimal() else 0
    if found is None or not 0 < lanes <= 64:
        return None
    rate = float(found[1]) * 1e9
    return rate * lanes / 8 * (0.8 if rate < 8e9 else 128 / 130)


def bus_order(bus: str) -> tuple[int, ...]:
    """Order of bus ids, as the driver counts devices; `0000:1d:00.0` or without a domain."""
    try:
        return tuple(int(part, 16) for part in re.split(r"[:.]", bus))
    except ValueError:
        return (1 << 40,)
