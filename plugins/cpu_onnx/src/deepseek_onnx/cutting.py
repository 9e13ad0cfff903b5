"""Cuts a model into stages where another device may be worth a border."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from deepseek_core import ReadOptions, Stage, errors
from deepseek_onnx.asking import Answers, ask, unknown_operators
from deepseek_onnx.domain import COMMON_DOMAINS
from deepseek_onnx.model import Model, reads
from deepseek_onnx.partition import cut
from deepseek_onnx.parts import Part
from deepseek_onnx.regions import worthwhile
from deepseek_onnx.runtime_types import typed
from deepseek_onnx.stages import borders, part_stage, whole_stage
from deepseek_onnx.work import operation_flops

_NO_CROSSING: Final = "export it with a fixed rank, or with tensors in place of sequences"

Fuse = Callable[[tuple[str, ...], tuple[str, ...]], Stage]
"""(names of stages, tensors wanted of them) -> one stage that does what they do."""

Groups = list[list[int]] | None
"""Nodes of each stage by their number in `model.nodes`; None: the model is one stage."""


def cut_up(model: Model, options: ReadOptions) -> tuple[Model, list[Stage], Fuse | None]:
    """The model with what had to be found out, its stages, and what joins some of them.

    Raises:
        NoDevice: an operator that no device supports; says why each refused.
    """
    whole = options.whole if not unknown_operators(model) else frozenset[str]()
    model = typed(model)
    groups = _groups(model, options, whole)
    if groups is None:
        return model, [whole_stage(model, model.outputs)], None
    stages = _stages(model, groups)
    return model, stages, _Fuse(model, stages, groups)


def _groups(model: Model, options: ReadOptions, whole: frozenset[str]) -> Groups:
    answers = ask(model, options.supporters)
    labels = _with_worthwhile(answers, whole) if whole else answers.labels()
    if not labels or (len(set(labels)) == 1 and whole):
        return None
    groups = cut(labels, _needs(model))
    if _may_cut(model, groups):
        return groups
    return None if whole else _uncut(answers)


def _with_worthwhile(answers: Answers, whole: frozenset[str]) -> list[frozenset[str]]:
    """For each node those that take the model whole, and others where it may be worth a border."""
    needs = _needs(answers.model)
    work = [float(operation_flops(op, {})) for op in answers.operations]
    special = {i for i, op in enumerate(answers.operations) if op.domain not in COMMON_DOMAINS}
    devices = [whole] * len(work)
    for device_id in sorted(answers.devices - whole):
        able = answers.able(device_id)
        mine = able if len(able) == len(work) else worthwhile(able, needs, work, special)
        devices = [d | {device_id} if i in mine else d for i, d in enumerate(devices)]
    return devices


def _needs(model: Model) -> list[list[int]]:
    """For each node the earlier nodes whose outputs it reads."""
    makers = {name: i for i, node in enumerate(model.nodes) for name in node.output if name}
    return [sorted({makers[n] for n in reads(node) if n in makers}) for node in model.nodes]


def _may_cut(model: Model, groups: Sequence[Sequence[int]]) -> bool:
    """Whether only tensors of known rank would pass from one stage to another."""
    if model.defaults.intersection(model.outputs):
        return False  # only the file as it is knows whether the default was replaced
    parts = borders([[model.nodes[i] for i in group] for group in groups], model, model.outputs)
    ends = {*model.given, *model.outputs}
    inner = {name for part in parts for name in (*part.taken, *part.made)} - ends
    crossing = inner | {n for p in parts for n in p.made if n in ends and _is_read(n, parts, p)}
    return all(model.value(name).can_cross for name in crossing)


def _is_read(name: str, parts: Sequence[Part], maker: Part) -> bool:
    return any(name in part.taken for part in parts if part is not maker)


def _uncut(answers: Answers) -> list[list[int]]:
    """All nodes as one group, for a cut would pass what is not a tensor of known rank.

    Raises:
        NoDevice: no single device runs all of them.
    """
    if not frozenset.intersection(*answers.labels()):
        raise errors.NoDevice(
            "the model can't be cut, because a sequence or a tensor of unknown rank would pass "
            "from one stage to another, and no device runs all of it",
            refusals={},
            remedy=_NO_CROSSING,
        )
    return [list(range(len(answers.by_node)))]


def _stages(model: Model, groups: list[list[int]]) -> list[Stage]:
    parts = borders([[model.nodes[i] for i in group] for group in groups], model, model.outputs)
    used: Counter[str] = Counter()
    stages = []
    for part in parts:
        stage = part_stage(model, part)
        used[stage.kind] += 1
        number = used[stage.kind]
        name = stage.kind if number == 1 else f"{stage.kind}_{number}"
        stages.append(attrs.evolve(stage, name=name))
    return stages


class _Fuse:
    """Makes several stages one; all of them are the file itself."""

    def __init__(
        self, model: Model, stages: Sequence[Stage], groups: Sequence[Sequence[int]]
    ) -> None:
        names = (stage.name for stage in stages)
        self._model, self._groups = model, dict(zip(names, groups, strict=True))

    def __call__(self, names: tuple[str, ...], wanted: tuple[str, ...]) -> Stage:
        model, name = self._model, " + ".join(names)
        if set(names) == set(self._groups) and set(wanted) == set(model.outputs):
            return attrs.evolve(whole_stage(model, model.outputs), name=name)
        numbers = sorted(i for part in names for i in self._groups[part])
        (part,) = borders([[model.nodes[i] for i in numbers]], model, wanted)
        return attrs.evolve(part_stage(model, part), name=name)
