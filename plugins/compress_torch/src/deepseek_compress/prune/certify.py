"""Certify a pruned copy: run it with the ids that are left, and compare with the first run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from deepseek_compress.prune.classes import Classes, collapse
from deepseek_compress.prune.parameters import Kept
from deepseek_compress.prune.run import Run
from deepseek_compress.prune.trace import Example, follow


def certify(pruned: nn.Module, first: Run, example: Example, kept: Kept, gone: Tensor) -> Any:
    """Raise unless each consumer of the pruned model sees what the plan left; its output.

    Raises:
        CannotPrune: the operation is named that sees something else, or fails.
    """
    parameters = first.parameters.of_copy(pruned, kept)
    run = Run(first.classes, parameters)
    run.expected = [(name, _without(first.classes, ids, gone)) for name, ids in first.events]
    out = follow(run, pruned, example)
    if len(run.events) != len(run.expected):
        raise run.refuse("the pruned model does less than the model did")
    return out


def _without(classes: Classes, ids: Tensor, gone: Tensor) -> Tensor:
    """What is left of ids, which are whole slices along each axis."""
    ids = classes.roots(ids)
    stays = ~gone[ids]
    if bool(stays.all()):
        return ids
    for axis in range(ids.dim()):
        others = [a for a in range(ids.dim()) if a != axis]
        left = stays.any(dim=others) if others else stays
        if not bool(left.all()):
            ids = ids.index_select(axis, torch.nonzero(left).flatten())
            stays = ~gone[ids]
    return collapse(ids)
