"""What tests of cache policies share."""

from __future__ import annotations

from collections.abc import Iterable

from deepseek_store.cache.evictor import Evictor


def hits_of(policy: Evictor, trace: Iterable[int]) -> int:
    """Requests of one byte each that found their tag."""
    hits = 0
    for tag in trace:
        if policy.hit(tag):
            hits += 1
        else:
            policy.admit(tag, 1)
    return hits
