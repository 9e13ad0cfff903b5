"""The same work on many items at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

_THREADS: Final = 32


def at_once(work: Callable[[Any], Any], items: Sequence[Any], *, alone: bool = False) -> list[Any]:
    """The results for all items, in order; by several threads, unless `alone`."""
    if alone or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(_THREADS, len(items)), thread_name_prefix="ds-fs") as pool:
        return list(pool.map(work, items))
