"""The ranks that save and load together, and how they agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

from deepseek_core import DeepSeekError
from deepseek_parallel.lost import waited

T = TypeVar("T")


class Peers:
    """All ranks of a group; the default group, or this process alone where there is none."""

    def __init__(self, group: dist.ProcessGroup | None) -> None:
        is_alone = group is None and not (dist.is_available() and dist.is_initialized())
        self._group = group
        self.rank = 0 if is_alone else dist.get_rank(group)
        self.size = 1 if is_alone else dist.get_world_size(group)

    def gather(self, value: T) -> list[T]:
        """What every rank gave, by rank.

        Raises:
            RankLost: a rank does not answer.
        """
        if self.size == 1:
            return [value]
        told: list[Any] = [None] * self.size
        waited(lambda: dist.all_gather_object(told, value, group=self._group), self.rank)
        return told

    def agree(self, deed: Callable[[], T]) -> list[T]:
        """What `deed` gave on every rank; where it failed on one, all are told.

        Raises:
            RankLost: a rank does not answer.
            DeepSeekError: the error of this rank, else the first one of another.
        """
        try:
            value, failed = deed(), None
        except DeepSeekError as error:
            value, failed = None, error
        told = self.gather((value, failed))
        if failed is not None:
            raise failed
        for rank, (_, theirs) in enumerate(told):
            if theirs is not None:
                raise _of_rank(theirs, rank)
        return [one for one, _ in told]  # type: ignore[misc]

    def agreed(self, deed: Callable[[], T]) -> T:
        """What `deed` gave on rank 0, which alone calls it.

        Raises:
            RankLost: rank 0 does not answer.
            DeepSeekError: what it raised there.
        """
        return self.agree(lambda: deed() if self.rank == 0 else None)[0]  # type: ignore[return-value]


def _of_rank(error: DeepSeekError, rank: int) -> DeepSeekError:
    """The same error, which says whose it is."""
    error.message = f"rank {rank}: {error.message}"
    return error


def check_equal(told: list[Any], what: str, error: Callable[..., DeepSeekError]) -> None:
    """See that all ranks gave the same.

    Raises:
        DeepSeekError: one gave something else than rank 0.
    """
    for rank, one in enumerate(told):
        if one != told[0]:
            raise error(
                f"rank {rank} has {what} {one}, and rank 0 has {told[0]}",
                remedy="let all ranks run the same code on the same step",
            )
