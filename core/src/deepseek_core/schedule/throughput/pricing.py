"""The cheapest route under prices of the resources: exact by variable elimination.

Costs are unary (a group on a device) and pairwise (a transfer); groups are eliminated one by one
(bucket elimination, Dechter 1999), on a chain or tree as in dynamic programming. Where the
tables would grow too large, coordinate descent gives a good route that may not be the cheapest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

from deepseek_core.schedule.throughput.mixing import Prices
from deepseek_core.schedule.throughput.model import Model

_LARGEST_TABLE: Final = 20_000

Table = dict[tuple[int, ...], float]
Factor = tuple[tuple[int, ...], Table]
"""Groups, and a cost for each choice of their devices."""


class Pricing:
    """Routes over the devices that each group may use."""

    def __init__(self, model: Model, allowed: Sequence[Sequence[int]]) -> None:
        self._model, self._allowed = model, allowed
        self._pairs = [
            (t.a, t.b, {(i, j): model.transfer_loads(t, i, j) for i, j in self._product(t.a, t.b)})
            for t in model.transfers
        ]
        self._pairs = [p for p in self._pairs if any(x or y for x, y in p[2].values())]
        self._order, self.exact = self._elimination_order()

    def _product(self, *groups: int) -> Iterator[tuple[int, ...]]:
        return itertools.product(*(self._allowed[g] for g in groups))

    def __call__(self, prices: Prices) -> tuple[tuple[int, ...], list[float]]:
        """The route, and the load of each resource for a batch that takes it."""
        route = self._eliminate(prices) if self.exact else self._descend(prices)
        return tuple(route), self._model.loads(route)

    def _unary(self, g: int, d: int, prices: Prices) -> float:
        cost = self._model.cost[g][d]
        assert cost is not None
        return prices[d] * cost[0] + prices[-1] * cost[1]

    def _elimination_order(self) -> tuple[list[int], bool]:
        """Groups with the smallest tables first, and whether all tables stay small."""
        near: dict[int, set[int]] = {g: set() for g in range(self._model.n)}
        for a, b, _ in self._pairs:
            near[a].add(b)
            near[b].add(a)
        order: list[int] = []
        while near:
            g = min(near, key=lambda g: (self._table_size(near[g]), g))
            if self._table_size(near[g]) * len(self._allowed[g]) > _LARGEST_TABLE:
                return order, False
            for h in near[g]:
                near[h] |= near[g]
                near[h] -= {g, h}
            del near[g]
            order.append(g)
        return order, True

    def _table_size(self, groups: set[int]) -> int:
        size = 1
        for g in groups:
            size *= len(self._allowed[g])
        return size

    def _eliminate(self, prices: Prices) -> list[int]:
        factors: list[Factor] = [
            ((g,), {(d,): self._unary(g, d, prices) for d in self._allowed[g]})
            for g in range(self._model.n)
        ]
        for a, b, loads in self._pairs:
            table: Table = {
                (i, j): prices[i] * at_a + prices[j] * at_b
                for (i, j), (at_a, at_b) in loads.items()
            }
            factors.append(((a, b), table))
        choices: list[tuple[int, tuple[int, ...], dict[tuple[int, ...], int]]] = []
        for g in self._order:
            factors, choice = self._without(g, factors)
            choices.append((g, *choice))
        route = [-1] * self._model.n
        for g, scope, picks in reversed(choices):
            route[g] = picks[tuple(route[h] for h in scope)]
        return route

    def _without(
        self, g: int, factors: list[Factor]
    ) -> tuple[list[Factor], tuple[tuple[int, ...], dict[tuple[int, ...], int]]]:
        """The factors after the best choice of `g` for each choice of those it touches."""
        mine = [f for f in factors if g in f[0]]
        rest = [f for f in factors if g not in f[0]]
        scope = tuple(sorted({h for groups, _ in mine for h in groups} - {g}))
        table: Table = {}
        picks: dict[tuple[int, ...], int] = {}
        for around in self._product(*scope):
            where = dict(zip(scope, around, strict=True))
            best = None
            for d in self._allowed[g]:
                where[g] = d
                cost = sum(t[tuple(where[h] for h in groups)] for groups, t in mine)
                if best is None or cost < best[0]:
                    best = cost, d
            assert best is not None
            table[around], picks[around] = best
        if scope:
            rest.append((scope, table))
        return rest, (scope, picks)

    def _descend(self, prices: Prices) -> list[int]:
        """The best of several starts after changing one group at a time while that helps."""
        starts = [[self._cheapest_alone(g, prices) for g in range(self._model.n)]]
        for device in range(self._model.m):
            starts.append([device if device in a else a[0] for a in self._allowed])
        found = [self._settle(start, prices) for start in starts]
        return min(found, key=lambda route: self._total(route, prices))

    def _cheapest_alone(self, g: int, prices: Prices) -> int:
        return min(self._allowed[g], key=lambda d: self._unary(g, d, prices))

    def _total(self, route: Sequence[int], prices: Prices) -> float:
        return sum(p * x for p, x in zip(prices, self._model.loads(route), strict=True))

    def _settle(self, route: list[int], prices: Prices) -> list[int]:
        for _ in range(20):
            changed = False
            for g in range(self._model.n):
                best = min(self._allowed[g], key=lambda d: self._local(g, d, route, prices))
                changed = changed or best != route[g]
                route[g] = best
            if not changed:
                break
        return route

    def _local(self, g: int, d: int, route: Sequence[int], prices: Prices) -> float:
        cost = self._unary(g, d, prices)
        for t in self._model.touching[g]:
            da, db = (d, route[t.b]) if t.a == g else (route[t.a], d)
            if da != db:
                at_a, at_b = self._model.transfer_loads(t, da, db)
                cost += prices[da] * at_a + prices[db] * at_b
        return cost
