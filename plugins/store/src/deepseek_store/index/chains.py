"""The versions of one key as a tuple, the current one first; never changed, only replaced."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from deepseek_store.index.rows import Version

Chain = tuple[Version, ...]
EMPTY: Final[Chain] = ()


def is_live(chain: Chain) -> bool:
    """Whether its current version is there, and no tombstone."""
    return bool(chain) and not chain[0].deleted


def with_version(chain: Chain, version: Version) -> Chain:
    """The chain with a version in its place; the same chain if it has it already."""
    if not chain or version.order > chain[0].order:
        return (version, *chain)
    at = bisect_left(chain, _descending(version), key=_descending)
    if at < len(chain) and chain[at].order == version.order:
        if version.move <= chain[at].move:
            return chain
        return (*chain[:at], version, *chain[at + 1 :])
    return (*chain[:at], version, *chain[at:])


def _descending(version: Version) -> tuple[int, int]:
    return -version.generation, -version.writer
