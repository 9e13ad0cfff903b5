"""Buffers of a module, such as running statistics, kept equal on all ranks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepseek_parallel.ranks import Ranks
from deepseek_parallel.trainer.together import add


class Buffers:
    """Notes which buffers a step changes, makes those one on all ranks, or puts them back.

    Numbers with a fraction become their mean over the ranks, weighted by microbatches. Whole ones
    become what all have added to them, as one rank would have counted.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._before: list[Tensor] = []

    def note(self) -> None:
        """Look at them before a step; only what the last one has changed is copied."""
        held = self._held()
        if len(self._before) != len(held):
            self._before = [one.clone() for one in held]
        for one, before in zip(held, self._before, strict=True):
            if not _is_same(one, before):
                before.resize_(one.shape).copy_(one)

    def changed(self) -> list[bool]:
        """Which of them have changed on this rank since `note`.

        By their values: torch's batch normalization does not count its versions.
        """
        return [not _is_same(one, old) for one, old in zip(self._held(), self._before, strict=True)]

    def merge(self, changed: Sequence[bool], microbatches: Sequence[int], ranks: Ranks) -> None:
        """Make those that some rank has changed one on all.

        Raises:
            RankLost: another rank does not answer.
        """
        if ranks.group is None:
            return
        share = microbatches[ranks.rank] / sum(microbatches)
        for has, one, before in zip(changed, self._held(), self._before, strict=True):
            if has and one.is_floating_point():
                wide = torch.float64 if one.dtype == torch.float64 else torch.float32
                mean = one.to(wide) * share
                add(mean, ranks)
                one.copy_(mean)
            elif has and one.dtype != torch.bool:
                added = one - before
                add(added, ranks)
                one.copy_(before + added)

    def undo(self) -> None:
        """Put back what a step has changed that was not taken."""
        for has, one, before in zip(self.changed(), self._held(), self._before, strict=True):
            if has:
                one.copy_(before)

    def _held(self) -> list[Tensor]:
        return [one for _, one in self._model.named_buffers()]


def _is_same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(one, other))
