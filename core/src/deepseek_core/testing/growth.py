"""Whether memory grows with each call: of Python's blocks, and of the whole process."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

_ROUNDS: Final = 4  # the first one fills pools and caches, which may be kept
_CALLS: Final = 2_000
_ROUND_S: Final = 0.5
_LEAST_CALLS: Final = 20
_BLOCKS: Final = 0.9  # for each call: an allocation that is kept
_NBYTES: Final = 2 << 20  # in a round; pools of threads and of allocators stay below


@attrs.frozen
class _Used:
    calls: int
    blocks: int
    nbytes: int


def growth(call: Callable[[], object]) -> str | None:
    """What grows round after round while `call` is repeated, as a sentence; None if nothing."""
    rounds = [_round(call) for _ in range(_ROUNDS)][1:]
    calls = sum(one.calls for one in rounds)
    if all(one.blocks >= _BLOCKS * one.calls for one in rounds):
        blocks = sum(one.blocks for one in rounds)
        return f"{blocks / calls:.1f} Python objects more after each of {calls} runs"
    if all(one.nbytes >= _NBYTES for one in rounds):
        grown = sum(one.nbytes for one in rounds)
        return f"{grown / calls / 1024:.1f} KiB more after each of {calls} runs"
    return None


def _round(call: Callable[[], object]) -> _Used:
    blocks, nbytes = _in_use()
    start_s, calls = time.monotonic(), 0
    while calls < _CALLS and (calls < _LEAST_CALLS or time.monotonic() - start_s < _ROUND_S):
        call()
        calls += 1
    after_blocks, after_nbytes = _in_use()
    return _Used(calls, after_blocks - blocks, after_nbytes - nbytes)


def _in_use() -> tuple[int, int]:
    gc.collect()
    return sys.getallocatedblocks(), _resident_nbytes()


def _resident_nbytes() -> int:
    """Memory of the process that is not of files; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = (line.split() for line in status.read_text().splitlines())
    return next((int(words[1]) << 10 for words in lines if words[0] == "RssAnon:"), 0)
