"""What could be pruned in a model, and what stays and why: records for people."""

from __future__ import annotations

import math

import attrs
import torch

from deepseek_compress.prune.budget import PruneBudget, choices
from deepseek_compress.prune.pruner import Pruner


@attrs.frozen(kw_only=True)
class GroupReport:
    """One group of layers that share channels.

    `channels`: of each layer, in the order of `layers`; `units`: how many channels, or sets of
    channels, go or stay on their own; `least`: how many of these a budget leaves; `params`: in
    the layers' weights; `stays`: why nothing of it can go, or empty; `inexact`: why what is left
    is not the same function as with zeros, or empty.
    """

    name: str
    layers: tuple[str, ...]
    channels: tuple[int, ...]
    units: int
    least: int
    params: int
    stays: str
    inexact: str


def inspect(pruner: Pruner, budget: PruneBudget | None = None) -> tuple[GroupReport, ...]:
    """Every group of a traced model, in the model's order; `budget` for its rounding."""
    structure, rules = pruner.structure, budget or PruneBudget()
    found = []
    for group in structure.groups:
        weights = [
            w for w in structure.weights if structure.names.get((w.layer, w.name)) in group.layers
        ]
        least = sum(int(choices(group, block, rules)[0]) for block in group.blocks)
        report = GroupReport(
            name=group.name,
            layers=group.layers,
            channels=tuple(structure.shapes[w.name][w.out or 0] for w in weights),
            units=len(group.units),
            least=least,
            params=sum(math.prod(structure.shapes[name]) for name in {w.name for w in weights}),
            stays=group.reason,
            inexact=group.inexact,
        )
        found.append(report)
    order = {name: at for at, name in enumerate(structure.names.values())}
    return tuple(sorted(found, key=lambda report: order[report.name]))


def channel_counts(pruner: Pruner, model: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """For each layer with a weight, its output channels before and in `model`."""
    tensors = dict(model.named_parameters())
    found = {}
    for weight in pruner.structure.weights:
        name = pruner.structure.names.get((weight.layer, weight.name))
        if name is not None and weight.out is not None and weight.name in tensors:
            before = pruner.structure.shapes[weight.name][weight.out]
            found[name] = (before, tensors[weight.name].shape[weight.out])
    return found
