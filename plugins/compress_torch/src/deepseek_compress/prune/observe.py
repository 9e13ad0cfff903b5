"""What data say of channels: activations after their functions, and gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from deepseek_compress.prune.apply import copy_of
from deepseek_compress.prune.classes import varying
from deepseek_compress.prune.pruner import Pruner, as_example
from deepseek_compress.prune.run import Run
from deepseek_compress.prune.trace import follow

Loss = Callable[..., Tensor]


@attrs.frozen(kw_only=True)
class Activations:
    """Means over data, one value for each unit; NaN for a unit that was not seen."""

    mean: np.ndarray
    share: np.ndarray


class _Sums:
    """Sums of what activation functions return, by unit; inputs of layers where there is none."""

    def __init__(self, pruner: Pruner) -> None:
        self.unit_of = pruner.unit_of()
        count = pruner.structure.unit_count
        self.totals = {kind: np.zeros((3, count)) for kind in ("function", "input")}

    def add(self, ids: Tensor, values: Tensor, name: str) -> None:
        """Add a tensor whose channels lie along one axis."""
        axes = varying(ids)
        if len(axes) != 1:
            return
        units = self.unit_of[ids.flatten()].numpy()
        rows = values.detach().movedim(axes[0], 0).flatten(1).float()
        found = np.stack(
            [
                rows.mean(1).cpu().numpy(),
                (rows > 0).float().mean(1).cpu().numpy(),
                np.ones(len(rows)),
            ]
        )
        totals = self.totals["input" if name == "input" else "function"]
        inside = units >= 0
        for row, each in zip(totals, found, strict=True):
            np.add.at(row, units[inside], np.abs(each[inside]))


def activations(pruner: Pruner, batches: Iterable[Any]) -> Activations:
    """Run batches with ids beside the activations, and average by unit."""
    model = copy_of(pruner.model).eval()
    sums, parameters = _Sums(pruner), pruner.run.parameters.of_copy(model)
    for batch in batches:
        run = Run(pruner.run.classes, parameters)
        run.watch = sums.add
        follow(run, model, as_example(inputs_of(batch)[0], model))
    first, second = sums.totals["function"], sums.totals["input"]
    chosen = np.where(first[2] > 0, first, second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Activations(mean=chosen[0] / chosen[2], share=chosen[1] / chosen[2])


def gradients(
    pruner: Pruner, batches: Iterable[Any], loss: Loss
) -> dict[tuple[str, str], np.ndarray]:
    """By weight and role: squares of the sums of gradient times weight, over batches."""
    model = copy_of(pruner.model).eval().requires_grad_(True)
    named = dict(model.named_parameters())
    found: dict[tuple[str, str], np.ndarray] = {}
    for batch in batches:
        example, rest = inputs_of(batch)
        call = as_example(example, model)
        with torch.enable_grad():
            loss(model(*call.args, **dict(call.kwargs)), *as_example(rest, model).args).backward()
        _accumulate(pruner, named, found)
        model.zero_grad(set_to_none=True)
    return found


def _accumulate(
    pruner: Pruner, named: dict[str, nn.Parameter], found: dict[tuple[str, str], np.ndarray]
) -> None:
    for weight in pruner.structure.weights:
        tensor = named.get(weight.name)
        if tensor is None or tensor.grad is None or weight.kind == "norm":
            continue
        product = (tensor.detach() * tensor.grad).float()
        for role, axis in (("out", weight.out), ("in", weight.into)):
            if axis is not None:
                value = product.movedim(axis, 0).flatten(1).sum(1).square().cpu().numpy()
                found[weight.name, role] = found.get((weight.name, role), 0) + value


def inputs_of(batch: Any) -> tuple[Any, tuple[Any, ...]]:
    """The inputs of a batch, and what the loss gets besides the output."""
    if isinstance(batch, tuple | list) and batch:
        return batch[0], tuple(batch[1:])
    return batch, ()
