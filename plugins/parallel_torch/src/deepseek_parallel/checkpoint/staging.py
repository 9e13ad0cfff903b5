"""Copies of tensors, taken while the training waits, into memory that is used again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.distributed.checkpoint import planner, utils

from deepseek_parallel.checkpoint.plans import Planned, Tensors


class Staged:
    """What DCP's writer asks for the data of a plan: the copies."""

    def __init__(self, copies: Mapping[Any, torch.Tensor]) -> None:
        self._copies = copies

    def resolve_data(self, write_item: planner.WriteItem) -> torch.Tensor:
        """The copy."""
        return self._copies[write_item.index]


class Staging:
    """The memory of the copies: new memory costs more than copying into what is there."""

    def __init__(self) -> None:
        self._buffers: dict[Any, torch.Tensor] = {}

    def copied(
        self, parts: Mapping[str, Tensors], plans: Mapping[str, Planned]
    ) -> dict[str, Staged]:
        """Copies of what this rank writes, and of nothing else."""
        before, self._buffers = self._buffers, {}
        made = {
            part: Staged(
                {
                    item.index: self._copy(part, item, parts[part], before)
                    for item in plan.mine.items
                }
            )
            for part, plan in plans.items()
        }
        if any(t.is_cuda for tensors in parts.values() for t in tensors.values()):
            torch.cuda.synchronize()
        return made

    def _copy(
        self, part: str, item: planner.WriteItem, tensors: Tensors, before: Mapping[Any, Any]
    ) -> torch.Tensor:
        source = utils.find_state_dict_object(tensors, item.index).detach()
        key = part, item.index
        kept = before.get(key)
        if kept is None or kept.shape != source.shape or kept.dtype != source.dtype:
            kept = torch.empty(
                source.shape, dtype=source.dtype, pin_memory=source.is_cuda, device="cpu"
            )
        kept.copy_(source, non_blocking=source.is_cuda)
        self._buffers[key] = kept
        return kept
