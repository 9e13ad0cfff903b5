"""The assignment of least period, by branch and bound, for small streams.

Bound: for prices (>= 0, sum 1) of the resources the period is at least the priced load so far
plus the least priced load of each group to come; the prices are those of the LP of fractional
shares. Devices that are the same in every respect are tried once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepseek_core.schedule.throughput.model import Model, Transfer

_TOLERANCE = 1e-12


class BranchAndBound:
    """Searches from a known assignment down, if there is one.

    `proven` says whether it saw everything.
    """

    def __init__(
        self,
        model: Model,
        start: Sequence[int] | None,
        prices: Sequence[float],
        *,
        most_nodes: int,
    ) -> None:
        self._model, self._prices, self._left = model, prices, most_nodes
        self.best = None if start is None else list(start)  # device of each group
        self.period_s = math.inf if start is None else max(model.loads(start))
        self.proven = True
        self._order = self._ordered()  # groups, in the order in which they are placed
        self._placed = [-1] * model.n  # device of each group; -1: not placed yet
        self._loads = [0.0] * model.resources  # by resource, of the groups placed so far
        self._used = [0.0] * model.m  # by device: bytes of memory taken
        self._count = [0] * model.m  # by device: groups there
        self._twins = model.twins()  # by device: the first of those that nothing tells apart
        # by depth: the least priced load of the groups still to be placed
        self._to_come = self._suffixes()

    def run(self) -> None:
        """Search until everything is seen or the nodes are used up."""
        self._branch(0)

    def _ordered(self) -> list[int]:
        """Large groups first: they decide."""
        size = [min(sum(c) for c in row if c is not None) for row in self._model.cost]
        return sorted(range(self._model.n), key=lambda g: (-size[g], g))

    def _suffixes(self) -> list[float]:
        suffix = [0.0] * (self._model.n + 1)
        for k in range(self._model.n - 1, -1, -1):
            g = self._order[k]
            suffix[k] = suffix[k + 1] + min(self._priced(g, d) for d in self._model.allowed[g])
        return suffix

    def _priced(self, g: int, d: int) -> float:
        cost = self._model.cost[g][d]
        assert cost is not None
        return self._prices[d] * cost[0] + self._prices[-1] * cost[1]

    def _branch(self, depth: int) -> None:
        if depth == self._model.n:
            self.best, self.period_s = list(self._placed), max(self._loads)
            return
        g = self._order[depth]
        for _, _, d, change in sorted(self._options(g), key=lambda o: o[:3]):
            self._left -= 1
            if self._left < 0:
                self.proven = False
                return
            if self._worth(change, depth + 1):
                self._apply(g, d, change, 1)
                self._branch(depth + 1)
                self._apply(g, d, change, -1)

    def _options(self, g: int) -> list[tuple[float, float, int, dict[int, float]]]:
        """Devices for a group with what each adds, least load first."""
        model, seen = self._model, set[int]()
        found = []
        for d in model.allowed[g]:
            if self._used[d] + model.mem[g] > model.room[d]:
                continue
            if not self._count[d]:
                if self._twins[d] in seen:
                    continue
                seen.add(self._twins[d])
            change = self._change(g, d)
            peak = max(self._loads[r] + more for r, more in change.items())
            found.append((peak, self._priced(g, d), d, change))
        return found

    def _change(self, g: int, d: int) -> dict[int, float]:
        cost = self._model.cost[g][d]
        assert cost is not None
        change = {d: cost[0], self._model.m: cost[1]}
        for t in self._model.touching[g]:
            other = self._placed[t.b if t.a == g else t.a]
            if other not in (-1, d):
                mine, its = self._ends(t, g, d, other)
                change[d] += mine
                change[other] = change.get(other, 0.0) + its
        return change

    def _ends(self, t: Transfer, g: int, d: int, other: int) -> tuple[float, float]:
        if t.a == g:
            return self._model.transfer_loads(t, d, other)
        its, mine = self._model.transfer_loads(t, other, d)
        return mine, its

    def _worth(self, change: dict[int, float], depth: int) -> bool:
        limit = self.period_s * (1 - _TOLERANCE)
        bound = self._to_come[depth]
        for r, load in enumerate(self._loads):
            after = load + change.get(r, 0.0)
            if after >= limit:
                return False
            bound += self._prices[r] * after
        return bound < limit

    def _apply(self, g: int, d: int, change: dict[int, float], sign: int) -> None:
        self._placed[g] = d if sign > 0 else -1
        self._used[d] += sign * self._model.mem[g]
        self._count[d] += sign
        for r, more in change.items():
            self._loads[r] += sign * more
