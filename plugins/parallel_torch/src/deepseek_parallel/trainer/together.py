"""What all ranks do together; alone, each of it gives what one has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from deepseek_parallel.errors import RankFailed, RankLost
from deepseek_parallel.lost import waited
from deepseek_parallel.ranks import Ranks


def add(tensor: Tensor, ranks: Ranks) -> None:
    """Make a tensor the sum of those of all ranks, in place and equal to the bit on all.

    Raises:
        RankLost: another rank does not answer.
    """
    if ranks.group is not None:
        waited(lambda: dist.all_reduce(tensor, group=ranks.group), ranks.rank)


def gathered(value: Any, ranks: Ranks) -> list[Any]:
    """The values of all ranks, by rank.

    Raises:
        RankLost: another rank does not answer.
    """
    if ranks.group is None:
        return [value]
    found: list[Any] = [None] * ranks.size
    waited(lambda: dist.all_gather_object(found, value, group=ranks.group), ranks.rank)
    return found


def told(value: Any, first: int, ranks: Ranks) -> Any:
    """The value of rank `first`; what the others give is not looked at.

    Raises:
        RankLost: another rank does not answer.
    """
    if ranks.group is None:
        return value
    held = [value]
    source = dist.get_global_rank(ranks.group, first)
    waited(lambda: dist.broadcast_object_list(held, source, group=ranks.group), ranks.rank)
    return held[0]


def said_of(failure: Exception | None) -> str | None:
    """What the others are told of an error of this rank."""
    return None if failure is None else f"{type(failure).__name__}: {failure}".splitlines()[0]


def raise_failed(
    told: Sequence[str | None], failure: Exception | None, when: str, remedy: str
) -> None:
    """Raise the error of this rank as it is, else that of another one by what it said.

    A rank that has only lost another is none that has failed, where one is.

    Raises:
        RankFailed: another rank has failed; `when` says where.
    """
    failed = [(rank, said) for rank, said in enumerate(told) if said is not None]
    if not failed:
        return
    rank, said = min(failed, key=lambda one: one[1].startswith(RankLost.__name__))
    is_only_lost = isinstance(failure, RankLost) and not said.startswith(RankLost.__name__)
    if failure is not None and not is_only_lost:
        raise failure
    raise RankFailed(f"rank {rank} failed {when}: {said}", rank=rank, remedy=remedy) from failure


def place(ranks: Ranks, near: torch.device) -> torch.device:
    """Where small tensors must lie to be exchanged: on the host, if the ranks can."""
    if ranks.group is not None and dist.get_backend(ranks.group) == "nccl":
        return near
    return torch.device("cpu")
