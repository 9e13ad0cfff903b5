"""The pruner of one model: traced once, then plans are made, certified, applied and verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from deepseek_compress.errors import CannotPrune
from deepseek_compress.prune.apply import copy_of, kept_entries, shrink, zero
from deepseek_compress.prune.certify import certify
from deepseek_compress.prune.classes import Classes
from deepseek_compress.prune.parameters import Parameters
from deepseek_compress.prune.plan import PrunePlan, removed_units
from deepseek_compress.prune.run import Run
from deepseek_compress.prune.sizes import Sizes
from deepseek_compress.prune.structure import Structure, build, settle_elements
from deepseek_compress.prune.trace import Example, follow
from deepseek_compress.prune.verify import Equivalence, compare, randomize_norms


@attrs.frozen(kw_only=True)
class Pruned:
    """A pruned copy of a model and how well it stands for the zeroed one."""

    model: nn.Module
    plan: PrunePlan
    equivalence: Equivalence


class Pruner:
    """Prunes copies of a model; the model itself is never written.

    Fields: `model`, the caller's; `example`, its inputs; `run`, the first run; `structure`.
    """

    def __init__(
        self, model: nn.Module, example: Any, *, protect: Sequence[str] = (), exact: bool = False
    ) -> None:
        """Trace a model.

        Args:
            model: any module; a copy of it is traced in eval mode.
            example: a tensor, a tuple of arguments, or a dict of keyword arguments, of the kinds
                and shapes that the model is used with; arrays are taken as tensors.
            protect: names of layers whose outputs stay, with `*` for any part.
            exact: keep the channels whose removal changes what a norm or a scale computes.

        Raises:
            CannotPrune: the model can't be followed; names the operation.
        """
        self.model, self.exact = model, exact
        self.example = as_example(example, model)
        eager = copy_of(model).eval()
        self.run = _settled(eager, self.example)
        classes = self.run.classes
        _protect(self.run, eager, protect)
        if exact:
            for ids, why in self.run.inexact:
                classes.pin(ids, _said(why))
        classes.freeze()
        self.structure: Structure = build(self.run, eager)
        self._try_all(copy_of(model).eval())

    # -- what can go ----------------------------------------------------------------------------
    def _try_all(self, eager: nn.Module) -> None:
        """Remove half of every group in a trial; keep those that can't go, with the reason."""
        groups = [group for group in self.structure.groups if not group.reason]
        failed = _failing(groups, lambda some: self._trial(some, eager))
        for group, why in failed:
            vector = torch.tensor(sorted(self._roots({*group.units})))
            self.run.classes.pin_frozen(vector, why)
        if failed:
            self.structure = build(self.run, eager)

    def _trial(self, groups: Sequence[Any], eager: nn.Module) -> str | None:
        """Why half of these groups can't go together, or None."""
        units = {unit for group in groups for block in group.blocks for unit in _half(block.units)}
        if not units:
            return "it has a single channel"
        try:
            pruned, zeroed = self._both(eager, units)
            if any(group.inexact for group in groups):
                return None
            found = compare(pruned, zeroed, self.example)
        except CannotPrune as error:
            return str(error)
        if found.holds:
            return None
        self._refuse_random(zeroed)
        return f"the result differs by {found.difference:.2g} from that with its channels zeroed"

    def _refuse_random(self, model: nn.Module) -> None:
        if not compare(model, model, self.example).holds:
            raise CannotPrune(
                "the model gives another result each time, so nothing can be verified",
                operation="verify",
                remedy="switch its noise off in eval mode, or pass it as an input",
            )

    def _both(self, eager: nn.Module, units: set[int]) -> tuple[nn.Module, nn.Module]:
        """A certified pruned copy and a zeroed one, of a copy with lively statistics."""
        base = copy_of(eager)
        randomize_norms(base)
        pruned = copy_of(base)
        self._cut(pruned, units)
        zero(base, self.structure, units)
        return pruned, base

    def _cut(self, copied: nn.Module, units: set[int]) -> None:
        """Shrink a copy in place, and certify a copy of it, which runs."""
        gone = torch.zeros(self.run.classes.count, dtype=torch.bool)
        gone[list(self._roots(units))] = True
        kept = kept_entries(self.structure, units)
        shrink(copied, self.run, kept, gone)
        certify(copy_of(copied), self.run, self.example, kept, gone)

    def _roots(self, units: set[int]) -> set[int]:
        """The classes of units."""
        unit_of = self.unit_of()
        wanted = torch.isin(unit_of, torch.tensor(sorted(units), dtype=torch.long))
        return set(torch.nonzero(wanted).flatten().tolist())

    def unit_of(self) -> Tensor:
        """The unit of each class, -1 for classes that stay."""
        found = torch.full((self.run.classes.count,), -1)
        for axis in self.structure.axes:
            roots = self.run.classes.roots(self.run.parameters.vectors[axis.parameter, axis.axis])
            found[roots] = torch.from_numpy(axis.units)
        return found

    # -- plans ----------------------------------------------------------------------------------
    def plan(self, remove: Mapping[str, Sequence[int]], *, notes: Sequence[str] = ()) -> PrunePlan:
        """A plan that removes these positions of these groups; checked, nothing is changed.

        Raises:
            CannotPrune: a group is not there, stays, or would lose all channels.
        """
        plan = PrunePlan(fingerprint=self.structure.fingerprint, remove=remove, notes=tuple(notes))
        units = removed_units(self.structure, plan)
        sizes = Sizes(self.structure)
        params, macs = sizes.after(units)
        whole = sizes.after(set())
        ratios = {"params": whole[0] / max(1, params), "macs": whole[1] / max(1, macs)}
        if not units:
            plan = attrs.evolve(plan, notes=(*plan.notes, "nothing would be pruned"))
        return attrs.evolve(plan, params=params, macs=macs, ratios=ratios)

    def apply(self, plan: PrunePlan) -> Pruned:
        """A pruned copy, certified and compared with the zeroed model.

        The copy has the layers and names of the model, its training mode, devices and formats.

        Raises:
            CannotPrune: the plan does not fit, or the copy would not compute the same.
        """
        units = removed_units(self.structure, plan)
        self._refuse_inexact(units)
        copied = copy_of(self.model)
        modes = [module.training for module in copied.modules()]
        self._cut(copied.eval(), units)
        equivalence = self.verify(plan)
        for module, mode in zip(copied.modules(), modes, strict=True):
            module.training = mode
        return Pruned(model=copied, plan=plan, equivalence=equivalence)

    def verify(self, plan: PrunePlan) -> Equivalence:
        """Masked equivalence of a plan: zero its channels in a copy, prune another, compare.

        Raises:
            CannotPrune: they differ by more than rounding, though the plan is of exact channels.
        """
        units = removed_units(self.structure, plan)
        pruned, zeroed = self._both(copy_of(self.model).eval(), units)
        found = compare(pruned, zeroed, self.example)
        inexact = tuple(dict.fromkeys(g.inexact for g in self._touched(units) if g.inexact))
        if not found.holds and not inexact:
            self._refuse_random(zeroed)
            raise CannotPrune(
                f"the pruned model differs by {found.difference:.2g} from the one with zeros",
                operation="verify",
                remedy="protect the layers that `inspect` lists, one by one",
            )
        return attrs.evolve(found, inexact=inexact)

    def _touched(self, units: set[int]) -> list[Any]:
        return [group for group in self.structure.groups if units.intersection(group.units)]

    def _refuse_inexact(self, units: set[int]) -> None:
        for group in self._touched(units):
            if self.exact and group.inexact:
                raise CannotPrune(group.inexact, operation="norm", layer=group.name)


def _settled(model: nn.Module, example: Example) -> Run:
    """Run a model until no more channels are tied.

    What is tied late in a run would have been met otherwise had it been known; only the last run
    says what stays.
    """
    classes = Classes()
    parameters = Parameters(classes)
    while True:
        before = classes.merges
        classes.reasons.clear()
        copied = copy_of(model)
        parameters.attach(copied)
        run = Run(classes, parameters)
        follow(run, copied, example)
        settle_elements(run)
        if classes.merges == before:
            parameters.attach(model)
            return run


def _said(text: str) -> Callable[[], str]:
    return lambda: text


def _half(units: Sequence[int]) -> Sequence[int]:
    """Every other unit, and never all."""
    return units[: len(units) - 1 : 2]


def _failing(groups: Sequence[Any], trial: Any) -> list[tuple[Any, str]]:
    """Groups that fail a trial, by halves; those that pass together are not tried alone."""
    why = trial(groups) if groups else None
    if why is None:
        return []
    if len(groups) == 1:
        return [(groups[0], why)]
    middle = len(groups) // 2
    found = [*_failing(groups[:middle], trial), *_failing(groups[middle:], trial)]
    if found:
        return found
    return [(group, why) for group in groups]


def as_example(example: Any, model: nn.Module) -> Example:
    """Inputs as arguments of a call, on the model's device."""
    place = next(model.parameters(), torch.empty(0)).device

    def tensor(value: Any) -> Any:
        if hasattr(value, "__array__") and not isinstance(value, Tensor):
            value = torch.as_tensor(value)
        return value.to(place) if isinstance(value, Tensor) else value

    if isinstance(example, Example):
        return example
    if isinstance(example, Mapping):
        return Example(args=(), kwargs={str(k): tensor(v) for k, v in example.items()})
    args = tuple(example) if isinstance(example, tuple | list) else (example,)
    return Example(args=tuple(tensor(each) for each in args))


def _protect(run: Run, model: nn.Module, patterns: Sequence[str]) -> None:
    """Keep the outputs of the named layers.

    Raises:
        CannotPrune: a pattern names no layer.
    """
    names = [weight.layer for weight in run.weights.values()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise CannotPrune(f"no layer is called {pattern!r}", operation="protect", layer=pattern)
    for weight in run.weights.values():
        if weight.out is not None and any(fnmatchcase(weight.layer, p) for p in patterns):
            vector = run.parameters.vectors[weight.name, weight.out]
            run.classes.pin(vector, lambda: "it is protected")
