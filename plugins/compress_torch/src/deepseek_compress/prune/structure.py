"""What a trace found: groups of channels, and sizes as functions of what is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import partial

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from deepseek_compress.prune.classes import Classes
from deepseek_compress.prune.run import Run, Weight


@attrs.frozen(kw_only=True)
class Axis:
    """One axis of a parameter: the unit of each entry, -1 for entries that stay."""

    parameter: str
    axis: int
    units: np.ndarray


@attrs.frozen(kw_only=True)
class Block:
    """Units of a group that are alike: they lie in the same axes, as many times each.

    `multiplicities`: the channels that one unit has in an axis, for each number that occurs.
    """

    units: tuple[int, ...]
    multiplicities: tuple[int, ...]


@attrs.frozen(kw_only=True)
class Group:
    """Channels that weights share, by the names in `layers`.

    `units` go or stay one by one, each in all the layers; `blocks` are units that are alike.

    `reason`: why no unit of the group may go, empty if it may; `inexact`: why what is left is
    not the same function as with zeros.
    """

    name: str
    layers: tuple[str, ...]
    units: tuple[int, ...]
    blocks: tuple[Block, ...]
    reason: str = ""
    inexact: str = ""


@attrs.frozen(kw_only=True)
class Cost:
    """Multiply-adds of one operator: `factor` times the product of the vectors' lengths."""

    layer: str
    factor: float
    vectors: tuple[np.ndarray, ...]


@attrs.frozen(kw_only=True)
class LayerSize:
    """A layer's input and output channels: the unit of each, -1 for what stays."""

    layer: str
    into: np.ndarray
    out: np.ndarray


@attrs.frozen(kw_only=True)
class Structure:
    """All that plans need to know of a model.

    `axes`: every axis that can shrink; `shapes`: of all parameters (buffers apart);
    `names`: of the channels of each (layer, weight); `fingerprint`: of names and shapes, so that
    a plan meets its own model.
    """

    fingerprint: str
    groups: tuple[Group, ...]
    axes: tuple[Axis, ...]
    shapes: Mapping[str, tuple[int, ...]]
    buffers: frozenset[str]
    costs: tuple[Cost, ...]
    weights: tuple[Weight, ...]
    layer_sizes: tuple[LayerSize, ...]
    names: Mapping[tuple[str, str], str]

    @property
    def unit_count(self) -> int:
        """Number of units over all groups."""
        return 1 + max((max(group.units) for group in self.groups if group.units), default=-1)

    def group(self, name: str) -> Group:
        """A group by name; `KeyError` if there is none."""
        return next(group for group in self.groups if group.name == name)


def fingerprint(model: nn.Module) -> str:
    """SHA-256 over names and shapes of all parameters and buffers, 16 digits of it."""
    named = (*model.named_parameters(), *model.named_buffers())
    text = ";".join(f"{name}{tuple(tensor.shape)}" for name, tensor in named)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def settle_elements(run: Run) -> None:
    """Find the one axis of tensors that were met elementwise; keep those that have none."""
    parameters, classes = run.parameters, run.classes
    for name, elements in parameters.elements.items():
        goes = classes.prunable_later(elements)
        if not goes.any():
            continue
        axes = [a for a in range(elements.dim()) if not _constant_along(classes, elements, a)]
        if len(axes) != 1:
            classes.pin(elements, partial("{}: its channels lie along no single axis".format, name))
            continue
        first = elements.movedim(axes[0], 0).flatten(1)[:, 0]
        known = parameters.vectors.setdefault((name, axes[0]), first)
        classes.tie(known, first, lambda: "")


def _constant_along(classes: Classes, ids: Tensor, axis: int) -> bool:
    roots = classes.roots(ids)
    return bool((roots == roots.narrow(axis, 0, 1)).all())


def build(run: Run, model: nn.Module) -> Structure:
    """The structure of a finished first run, whose classes are frozen."""
    parameters, classes = run.parameters, run.classes
    numbering = _Numbering(run)
    axes = tuple(
        Axis(parameter=name, axis=axis, units=numbering.units(vector))
        for (name, axis), vector in parameters.vectors.items()
        if bool(classes.prunable(vector).any())
    )
    buffers = {name for name, _ in model.named_buffers()}
    shapes = {name: tuple(tensor.shape) for name, tensor in parameters.tensors.items()}
    costs = tuple(
        Cost(layer=w.layer, factor=w.factor, vectors=tuple(numbering.units(v) for v in w.vectors))
        for w in run.works
    )
    return Structure(
        fingerprint=fingerprint(model),
        groups=numbering.groups(axes),
        axes=axes,
        shapes=shapes,
        buffers=frozenset(buffers),
        costs=costs,
        weights=tuple(run.weights.values()),
        layer_sizes=_layer_sizes(run, numbering),
        names=numbering.names,
    )


_SIZES = (
    ("in_channels", "out_channels"),
    ("in_features", "out_features"),
    ("input_size", "hidden_size"),
)


def _layer_sizes(run: Run, numbering: _Numbering) -> tuple[LayerSize, ...]:
    """Input and output channels by layer, in the order of the first calls."""
    vectors = {(fix.layer, fix.attribute): fix.vector for fix in reversed(run.fixes)}
    layers = dict.fromkeys(fix.layer for fix in run.fixes)
    found = []
    for layer in layers:
        for into, out in _SIZES:
            if (layer, into) in vectors and (layer, out) in vectors:
                first, second = (numbering.units(vectors[layer, each]) for each in (into, out))
                found.append(LayerSize(layer=layer, into=first, out=second))
    return tuple(found)


class _Numbering:
    """Numbers classes that may go as units.

    Fields: `run`, `number` by class, `outs`, the weights with outputs, and their `names`.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.number: dict[int, int] = {}
        self.outs = [w for w in run.weights.values() if w.out is not None and w.kind != "norm"]
        self.names = _names(self.outs)
        for weight in self.outs:
            if weight.out is not None:
                for root in self._prunable_roots(run.parameters.vectors[weight.name, weight.out]):
                    self.number.setdefault(root, len(self.number))

    def _prunable_roots(self, vector: Tensor) -> list[int]:
        roots = self.run.classes.roots(vector)
        return [int(r) for r in roots[self.run.classes.prunable(roots)]]

    def units(self, vector: Tensor) -> np.ndarray:
        """The unit of each entry, -1 for what stays."""
        classes = self.run.classes
        return np.array(
            [self.number.get(int(root), -1) for root in classes.roots(vector)], dtype=np.int64
        )

    def groups(self, axes: tuple[Axis, ...]) -> tuple[Group, ...]:
        """Groups of units that lie in one output axis, and groups of layers that stay."""
        found: list[Group] = []
        members = self._connected()
        signatures = _signatures(axes, len(self.number))
        for units, layers in members:
            blocks: dict[tuple[tuple[int, int], ...], list[int]] = {}
            for unit in units:
                blocks.setdefault(signatures[unit], []).append(unit)
            made = tuple(
                Block(units=tuple(each), multiplicities=tuple(sorted({m for _, m in key})))
                for key, each in blocks.items()
            )
            inexact = self._inexact(units)
            group = Group(
                name=layers[0], layers=layers, units=tuple(units), blocks=made, inexact=inexact
            )
            found.append(group)
        return (*found, *self._kept())

    def _connected(self) -> list[tuple[list[int], tuple[str, ...]]]:
        """Units joined by output axes, with the layers that own these; in the model's order."""
        owner: dict[int, int] = {}
        names: list[tuple[str, list[int]]] = []
        for weight in self.outs:
            vector = self.run.parameters.vectors[weight.name, weight.out or 0]
            units = sorted({self.number[r] for r in self._prunable_roots(vector)})
            if units:
                names.append((self.names[weight.layer, weight.name], units))
        parent = list(range(len(names)))
        for at, (_, units) in enumerate(names):
            for unit in units:
                _join(parent, owner.setdefault(unit, at), at)
        groups: dict[int, tuple[set[int], dict[str, None]]] = {}
        for at, (layer, units) in enumerate(names):
            held, layers = groups.setdefault(_find(parent, at), (set(), {}))
            held.update(units)
            layers[layer] = None
        return [(sorted(units), tuple(layers)) for units, layers in groups.values()]

    def _inexact(self, units: list[int]) -> str:
        wanted = set(units)
        for ids, why in self.run.inexact:
            flat = torch.unique(self.run.classes.roots(ids))
            if any(self.number.get(int(root), -1) in wanted for root in flat):
                return why
        return ""

    def _kept(self) -> tuple[Group, ...]:
        """Layers all of whose outputs stay, and why."""
        kept: dict[str, Group] = {}
        for weight in self.outs:
            vector = self.run.parameters.vectors[weight.name, weight.out or 0]
            if not self._prunable_roots(vector):
                name = self.names[weight.layer, weight.name]
                reason = self.run.classes.reason(vector) or "its channels are of a fixed size"
                kept.setdefault(
                    name, Group(name=name, layers=(name,), units=(), blocks=(), reason=reason)
                )
        return tuple(kept.values())


def _names(weights: Iterable[Weight]) -> dict[tuple[str, str], str]:
    """A name for the channels of each weight: its layer's, for the first of the layer."""
    taken: set[str] = set()
    found = {}
    for weight in weights:
        own = weight.layer and (weight.layer not in taken or weight.kind == "recurrent")
        found[weight.layer, weight.name] = weight.layer if own else weight.name
        taken.add(weight.layer)
    return found


def _signatures(axes: tuple[Axis, ...], count: int) -> list[tuple[tuple[int, int], ...]]:
    """For each unit, in which axes it lies and how many times."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for at, axis in enumerate(axes):
        units, times = np.unique(axis.units[axis.units >= 0], return_counts=True)
        for unit, number in zip(units.tolist(), times.tolist(), strict=True):
            found[unit].append((at, number))
    return [tuple(each) for each in found]


def _find(parent: list[int], at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


def _join(parent: list[int], a: int, b: int) -> None:
    a, b = _find(parent, a), _find(parent, b)
    parent[max(a, b)] = min(a, b)
