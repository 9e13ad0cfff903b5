"""The search for counts of channels that meet a budget.

Nothing is run in it: sizes are products of counts (`sizes.Sizes`). Counts fall in steps, so that
every layer has a round number of channels; what rounding takes too much is returned to where it is
worth most.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import numpy as np

from deepseek_compress.errors import BudgetUnmet
from deepseek_compress.prune.budget import PruneBudget, choices
from deepseek_compress.prune.layer_times import Latency, LayerTimes
from deepseek_compress.prune.plan import PrunePlan
from deepseek_compress.prune.pruner import Pruner
from deepseek_compress.prune.sizes import Sizes

SLACK = 1.02


class BudgetSearch:
    """The search.

    Fields: `sizes`; `order`, the units of each block, the most valuable first; `choices`, the
    counts that each block may keep, and `least`, the smallest; `targets`, the limits.
    """

    def __init__(
        self, pruner: Pruner, scores: np.ndarray, budget: PruneBudget, latency: Latency | None
    ) -> None:
        self.pruner, self.budget, self.scores = pruner, budget, scores
        self.sizes = Sizes(pruner.structure)
        self.latency = LayerTimes(self.sizes, latency) if latency else None
        blocks = [(group, block) for group in pruner.structure.groups for block in group.blocks]
        self.order = [sorted(b.units, key=lambda u: (-scores[u], u)) for _, b in blocks]
        self.choices = [choices(group, block, budget) for group, block in blocks]
        self.least = np.array([float(each[0]) for each in self.choices])
        self.whole = self.costs(self.sizes.full)
        self.targets = self._targets()

    def costs(self, kept: np.ndarray) -> np.ndarray:
        """Parameters, multiply-adds and milliseconds."""
        params, macs = self.sizes.at(kept)
        return np.array([params, macs, self.latency.total(kept) if self.latency else 0.0])

    def _targets(self) -> np.ndarray:
        share = [
            1 / self.budget.params if self.budget.params else np.inf,
            1 / self.budget.macs if self.budget.macs else np.inf,
        ]
        limit = np.inf if self.budget.latency_ms is None else self.budget.latency_ms
        return np.array([self.whole[0] * share[0], self.whole[1] * share[1], limit])

    def excess(self, kept: np.ndarray) -> np.ndarray:
        """By how much each limit is passed, as a share of it."""
        with np.errstate(invalid="ignore"):
            return np.where(
                np.isinf(self.targets), 0.0, np.maximum(self.costs(kept) / self.targets - 1, 0.0)
            )

    def met(self, kept: np.ndarray) -> bool:
        """Whether a plan is inside all limits."""
        return not self.excess(kept).any()

    # -- allocations ----------------------------------------------------------------------------
    def uniform(self) -> np.ndarray:
        """The same share of every group."""
        return self._bisect(lambda share: share * self.sizes.full)

    def by_score(self) -> np.ndarray:
        """What is above one score, whatever the group."""
        ranked = np.sort(np.concatenate([self.scores[list(each)] for each in self.order]))
        values = [np.sort(self.scores[list(each)])[::-1] for each in self.order]

        def counts(share: float) -> np.ndarray:
            limit = ranked[min(len(ranked) - 1, int((1 - share) * len(ranked)))]
            return np.array([float((each >= limit).sum()) for each in values])

        return self._bisect(counts)

    def _bisect(self, counts: Callable[[float], np.ndarray]) -> np.ndarray:
        low, high, best = 0.0, 1.0, self.least
        for _ in range(40):
            middle = (low + high) / 2
            kept = self._rounded(counts(middle))
            if self.met(kept):
                low, best = middle, kept
            else:
                high = middle
        whole = self._rounded(counts(1.0))
        return whole if self.met(whole) else best

    def _rounded(self, kept: np.ndarray) -> np.ndarray:
        """The nearest counts that blocks may keep."""
        pairs = zip(self.choices, kept, strict=True)
        return np.array([float(each[np.abs(each - count).argmin()]) for each, count in pairs])

    def greedy(self) -> np.ndarray:
        """Take steps that save most of what is too much for the score that they cost."""
        kept = self.sizes.full.copy()
        while not self.met(kept):
            before = self.excess(kept)
            kept = self._best_step(kept, before)
        return kept

    def _best_step(self, kept: np.ndarray, before: np.ndarray) -> np.ndarray:
        best, found = -1.0, kept
        for at, options in enumerate(self.choices):
            for count in options[options < kept[at]][::-1]:
                changed = kept.copy()
                changed[at] = count
                saved = float((before - self.excess(changed)).sum())
                if saved <= 0:
                    continue  # a flat part of the table: further down it saves
                lost = self.scores[self.order[at][int(count) : int(kept[at])]].sum()
                if saved / (lost + 1e-12) > best:
                    best, found = saved / (lost + 1e-12), changed
                break
        return self.least if found is kept else found

    # -- giving back ----------------------------------------------------------------------------
    def give_back(self, kept: np.ndarray) -> np.ndarray:
        """Add channels where they are worth most for what they cost, while all limits hold."""
        while True:
            options = [each for each in self._additions(kept) if self.met(each[1])]
            if options:
                kept = max(options, key=lambda each: each[0])[1]
                continue
            better = self._exchange(kept) if self._slack(kept) > SLACK else None
            if better is None:
                return kept
            kept = better

    def _slack(self, kept: np.ndarray) -> float:
        """How far below the nearest limit a plan is: 1 for at it."""
        costs = self.costs(kept)
        finite = np.isfinite(self.targets) & (costs > 0)
        return float((self.targets[finite] / costs[finite]).min())

    def _additions(self, kept: np.ndarray) -> list[tuple[float, np.ndarray]]:
        """Each block's next step up, with its score for what it costs."""
        found, before = [], self.costs(kept)
        scale = np.where(self.whole > 0, self.whole, 1.0)
        for at, options in enumerate(self.choices):
            larger = options[options > kept[at]]
            if len(larger):
                changed = kept.copy()
                changed[at] = larger[0]
                value = self.scores[self.order[at][int(kept[at]) : int(larger[0])]].sum()
                price = float(
                    ((self.costs(changed) - before) / scale)[np.isfinite(self.targets)].sum()
                )
                found.append((float(value / max(price, 1e-12)), changed))
        return found

    def _exchange(self, kept: np.ndarray) -> np.ndarray | None:
        """One step up and one down, that end nearer to the limit."""
        best, found = self._slack(kept), None
        for _, added in self._additions(kept):
            for at, options in enumerate(self.choices):
                smaller = options[options < added[at]]
                if len(smaller) and added[at] == kept[at]:
                    changed = added.copy()
                    changed[at] = smaller[-1]
                    if self.met(changed) and self._slack(changed) < best - 1e-9:
                        best, found = self._slack(changed), changed
        return found

    # -- results --------------------------------------------------------------------------------
    def plan(self, kept: np.ndarray) -> PrunePlan:
        """The plan that keeps so many of each block, with notes."""
        gone = {
            u for order, count in zip(self.order, kept, strict=True) for u in order[int(count) :]
        }
        remove = {
            group.name: [at for at, unit in enumerate(group.units) if unit in gone]
            for group in self.pruner.structure.groups
            if gone.intersection(group.units)
        }
        notes = []
        slack = self._slack(kept)
        if slack > SLACK and remove:
            notes.append(f"the steps of the counts leave it {slack:.2f}x below the budget")
        made = self.pruner.plan(remove, notes=notes)
        return attrs.evolve(made, latency_ms=self.latency.total(kept)) if self.latency else made

    def unmet(self) -> BudgetUnmet:
        """The error, with what stands in the way most."""
        costs = self.costs(self.least)
        closest = dict(zip(("params", "macs"), (self.whole[:2] / costs[:2]).tolist(), strict=True))
        if self.latency:
            closest["latency_ms"] = float(costs[2])
        names = [
            f"{name} {value:.3g}" + ("x" if name != "latency_ms" else "")
            for name, value in closest.items()
        ]
        constraint = self._tightest()
        return BudgetUnmet(
            f"the budget can't be met: {constraint}; the closest plan has {', '.join(names)}",
            constraint=constraint,
            closest=closest,
            remedy="ask for less, lower `min_channels` or `round_to`, or protect fewer layers",
        )

    def _tightest(self) -> str:
        """What has to be lifted first, that the budget could be met."""
        free = attrs.evolve(self.budget, round_to=1, min_channels=1, least_share=0.0)
        blocks = [
            (group, block) for group in self.pruner.structure.groups for block in group.blocks
        ]
        if blocks and self.met(np.array([float(choices(g, b, free)[0]) for g, b in blocks])):
            budget = self.budget
            least = f", {budget.least_share:.0%} of each group" if budget.least_share else ""
            return (
                f"counts are multiples of {budget.round_to}, at least {budget.min_channels}{least}"
            )
        kept = [group for group in self.pruner.structure.groups if group.reason]
        shapes, names = self.pruner.structure.shapes, self.pruner.structure.names
        size = {
            g.name: sum(math.prod(shapes[w]) for (_, w), n in names.items() if n in g.layers)
            for g in kept
        }
        largest = max(kept, key=lambda group: size[group.name], default=None)
        if largest is None:
            return "each group keeps a channel"
        return f"{largest.name} has to stay ({largest.reason})"
