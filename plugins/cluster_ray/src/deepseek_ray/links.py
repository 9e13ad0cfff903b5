"""What it takes to move bytes between the nodes of a cluster: measured once, when asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Final

from deepseek_core import places
from deepseek_ray.pieces import cut

_SMALL: Final = 256 * 1024  # results below 100 KiB go by another way
_LARGE: Final = 8 * 1024 * 1024
_ROUNDS: Final = 3
_MOST_PAIRS: Final = 64
_LIMIT_S: Final = 3.0  # for one transfer
_ALL_S: Final = 15.0  # for all of them

Timed = Callable[[int], float]
"""Seconds until so many bytes are there."""


def measured(workers: Mapping[str, Any]) -> dict[tuple[str, str], places.Link]:
    """Links between nodes by (from, to), `HOME` among them; `workers` has an actor of each.

    Of many pairs some are measured, as far as time allows; the others count as the slowest of
    these. A pair that can't be measured counts so, too.
    """
    ends = [places.HOME, *workers]
    pairs = [(a, b) for a in ends for b in ends if (a, b) != (places.HOME, places.HOME)]
    found: dict[tuple[str, str], places.Link] = {}
    until_s = time.monotonic() + _ALL_S
    for a, b in pairs[:_MOST_PAIRS]:
        if time.monotonic() > until_s:
            break
        link = _link(_way(workers.get(a), workers.get(b)))
        if link is not None:
            found[a, b] = link
    slowest = max(found.values(), key=lambda link: link.seconds(_LARGE), default=places.Link())
    return {pair: found.get(pair, slowest) for pair in pairs}


def _link(timed: Timed) -> places.Link | None:
    from ray.exceptions import RayError

    try:
        timed(_SMALL)
        small_s = median(timed(_SMALL) for _ in range(_ROUNDS))
        large_s = median(timed(_LARGE) for _ in range(_ROUNDS))
    except RayError:  # a node that is lost is told by who uses it
        return None
    s_per_byte = max(large_s - small_s, 0.0) / (_LARGE - _SMALL)
    return places.Link(latency_s=max(small_s - _SMALL * s_per_byte, 0.0), s_per_byte=s_per_byte)


def _way(source: Any, target: Any) -> Timed:
    """From a worker to another; None stands for this process."""
    import numpy as np
    import ray

    def made(nbytes: int) -> Sequence[Any]:
        if source is None:
            pieces, look = cut(np.zeros(nbytes, np.uint8))
            return pieces if look else [ray.put(*pieces)]
        ref = source.make.remote(nbytes)
        ray.wait([ref], timeout=_LIMIT_S, fetch_local=False)
        return [ref]

    def timed(nbytes: int) -> float:
        sent = made(nbytes)
        start_s = time.perf_counter()
        if target is None:
            ray.get(*sent, timeout=_LIMIT_S)
        else:
            ray.get(target.take.remote(*sent), timeout=_LIMIT_S)
        return time.perf_counter() - start_s

    return timed
