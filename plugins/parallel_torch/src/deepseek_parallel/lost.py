"""Failures of collectives, which torch raises as plain `RuntimeError`, as errors of ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from deepseek_parallel.ending import end_after_gloo
from deepseek_parallel.errors import RankLost

_SIGNS: Final = ("gloo/", "nccl", "connection closed by peer", "connection reset by peer")
"""Words of the backends' own texts; errors of a user's module have none of them."""

_since_s: list[float] = []  # when the main thread began to wait; empty where it does not


def waited(collective: Callable[[], object], rank: int) -> None:
    """Call a collective of torch, with no code of a user in it.

    Raises:
        RankLost: it failed, for another rank is gone or did not answer in time.
    """
    end_after_gloo()
    try:
        with noted():
            collective()
    except RuntimeError as error:  # torch has no kinds of error for this
        raise _lost(rank, error) from error


@contextmanager
def noted() -> Iterator[None]:
    """Note for `waits_since` that the main thread waits for other ranks in the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _since_s.append(time.monotonic())
    try:
        yield
    finally:
        _since_s.pop()


def waits_since() -> float | None:
    """When the main thread began to wait for other ranks, monotonic; None where it does not."""
    return _since_s[0] if _since_s else None


@contextmanager
def rank_errors(deed: str) -> Iterator[None]:
    """Tell a rank that is gone or does not answer from other errors in the block.

    Raises:
        RankLost: a collective of the block failed, or its process group's timeout is over.
    """
    import torch.distributed as dist

    try:
        yield
    except RuntimeError as error:
        if not is_lost(error):
            raise
        raise _lost(dist.get_rank(), error, f" in {deed}") from error


def is_lost(error: RuntimeError) -> bool:
    """Whether a collective failed, by the error's kind or the backend's words."""
    import torch.distributed as dist

    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(sign in text for sign in _SIGNS)


def _lost(rank: int, error: RuntimeError, where: str = "") -> RankLost:
    return RankLost(
        f"rank {rank} got no answer of another one{where}: {str(error).splitlines()[0]}",
        remedy="see the logs of the other ranks; the limit is the timeout of the process group",
    )
