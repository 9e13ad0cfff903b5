"""The same work on many items at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from deepseek_store.at_once import AtOnce

_THREADS: Final = 32


def at_once(work: Callable[[Any], Any], items: Sequence[Any], *, alone: bool = False) -> list[Any]:
    """The results for all items, in order; by several threads, unless `alone`."""
    if alone or len(items) < 2:
        return [work(item) for item in items]
    with AtOnce(min(_THREADS, len(items))) as threads:
        return list(threads.in_order(work, items))
