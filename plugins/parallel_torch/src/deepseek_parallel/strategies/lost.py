"""Failures of collectives, which torch raises as plain `RuntimeError`, as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch.distributed as dist

from deepseek_parallel.errors import RankLost

_SIGNS: Final = ("gloo/", "nccl", "connection closed by peer", "connection reset by peer")
"""Words of the backends' own texts; errors of a user's module have none of them."""


@contextmanager
def rank_errors(deed: str) -> Iterator[None]:
    """Tell a rank that is gone or does not answer from other errors in the block.

    Raises:
        RankLost: a collective of the block failed, or its process group's timeout is over.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_lost(error):
            raise
        first = str(error).splitlines()[0]
        raise RankLost(
            f"rank {dist.get_rank()} got no answer of another one in {deed}: {first}",
            remedy="see the logs of the other ranks; the limit is the timeout of the process group",
        ) from error


def is_lost(error: RuntimeError) -> bool:
    """Whether a collective failed, by the error's kind or the backend's words."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(sign in text for sign in _SIGNS)
