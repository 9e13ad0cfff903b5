"""The state of the members, handed to who has joined or is a step behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import attrs
import torch
import torch.distributed as dist
from torch import Tensor

from deepseek_parallel.lost import waited
from deepseek_parallel.ranks import Ranks


@attrs.frozen
class _Place:
    """Where a tensor stands in a state that is told without its tensors."""

    number: int
    shape: tuple[int, ...]
    dtype: torch.dtype


def share(state: Any, step: int, ranks: Ranks) -> tuple[Any, int]:
    """The state of the rank that has taken most steps, and how many it has taken; on all ranks.

    All ranks call it after they have joined or renewed. `state` is made of mappings, lists, tuples,
    tensors and what can be pickled, as a `state_dict()` is; load what it gives. Tensors come on the
    host. Where all have taken as many steps, that of the lowest rank is given: a new training
    begins with its parameters.

    Raises:
        RankLost: another rank does not answer; renew and call it again.
    """
    if ranks.group is None:
        return state, step
    steps: list[Any] = [None] * ranks.size
    waited(lambda: dist.all_gather_object(steps, step, group=ranks.group), ranks.rank)
    most = max(steps)
    first = steps.index(most)
    tensors: list[Tensor] = []
    told = [_without_tensors(state, tensors) if ranks.rank == first else None]
    waited(lambda: dist.broadcast_object_list(told, first, group=ranks.group), ranks.rank)
    if ranks.rank != first:
        _each(told[0], _Place, lambda place: tensors.append(_empty(place)))
    for tensor in tensors:
        waited(partial(dist.broadcast, tensor, first, group=ranks.group), ranks.rank)
    if ranks.rank == first:
        return state, most
    return _each(told[0], _Place, lambda place: tensors[place.number]), most


def _without_tensors(state: Any, tensors: list[Tensor]) -> Any:
    def taken(tensor: Tensor) -> _Place:
        tensors.append(tensor.detach().cpu().contiguous())
        return _Place(len(tensors) - 1, tuple(tensor.shape), tensor.dtype)

    return _each(state, Tensor, taken)


def _empty(place: _Place) -> Tensor:
    return torch.empty(place.shape, dtype=place.dtype)


def _each(state: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """A state of the same form, with everything of a kind changed."""
    if isinstance(state, kind):
        return change(state)
    if isinstance(state, Mapping):
        return {name: _each(value, kind, change) for name, value in state.items()}
    if isinstance(state, list | tuple):
        made = [_each(value, kind, change) for value in state]
        return tuple(made) if isinstance(state, tuple) else made
    return state
