"""The best mix of routes: a linear program solved by column generation.

Batches may take different routes (assignments); the mix of least period is the solution of
    min T,  sum_p w_p load_r(p) <= T for each resource r,  sum_p w_p = 1,  w >= 0,
which is max sum v, L v <= 1 with v = w / T: a revised simplex whose entering column is the
cheapest route under the current prices (Dantzig, Wolfe 1960). A basic solution has no more routes
than there are resources. Without transfers it is the LP of fractional shares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import attrs

_EPS: Final = 1e-10

Prices = Sequence[float]
Priced = tuple[tuple[int, ...], list[float]]
Cheapest = Callable[[Prices], Priced]
"""The route of least priced load, and its loads."""


@attrs.frozen(kw_only=True)
class Mix:
    """Routes with their shares; `prices` sum to 1; no mix has a period below `bound_s`.

    The bound is one only where the pricing was exact.
    """

    period_s: float
    routes: tuple[tuple[tuple[int, ...], float], ...]
    prices: tuple[float, ...]
    bound_s: float


class _Simplex:
    """Basis inverse, values and routes of max sum v, L v <= 1; starts with all slacks."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.inverse = [[float(i == j) for j in range(rows)] for i in range(rows)]
        self.values = [1.0] * rows
        self.routes: list[tuple[int, ...] | None] = [None] * rows

    def duals(self) -> list[float]:
        """Prices of the resources."""
        live = [i for i in range(self.rows) if self.routes[i] is not None]
        return [sum(self.inverse[i][j] for i in live) for j in range(self.rows)]

    def enter(self, route: tuple[int, ...] | None, column: Sequence[float]) -> bool:
        """Bring a column into the basis; False if nothing would leave."""
        step = [sum(a * b for a, b in zip(row, column, strict=True)) for row in self.inverse]
        able = [i for i in range(self.rows) if step[i] > _EPS]
        if not able:
            return False
        leaves = min(able, key=lambda i: (max(self.values[i], 0.0) / step[i], -step[i], i))
        self._pivot(leaves, step)
        self.routes[leaves] = route
        return True

    def _pivot(self, leaves: int, step: Sequence[float]) -> None:
        pivot = step[leaves]
        row = [a / pivot for a in self.inverse[leaves]]
        value = self.values[leaves] / pivot
        for i in range(self.rows):
            if i != leaves and step[i]:
                self.inverse[i] = [
                    a - step[i] * b for a, b in zip(self.inverse[i], row, strict=True)
                ]
                self.values[i] -= step[i] * value
        self.inverse[leaves], self.values[leaves] = row, value


def best_mix(rows: int, cheapest: Cheapest, *, most_pivots: int = 2000) -> Mix:
    """The mix of least period over all routes that `cheapest` can answer.

    `rows` is the number of resources. Every route must load some of them.
    """
    simplex = _Simplex(rows)
    bound_s = 0.0
    prices: list[float] = [1.0 / rows] * rows
    for _ in range(most_pivots):
        duals = simplex.duals()
        total = sum(duals)
        negative = min(range(rows), key=lambda j: duals[j])
        if duals[negative] < -_EPS:
            simplex.enter(None, [float(i == negative) for i in range(rows)])
            continue
        if total > 0:
            prices = [max(d, 0.0) / total for d in duals]
        route, loads = cheapest(prices)
        priced = sum(a * b for a, b in zip(prices, loads, strict=True))
        bound_s = max(bound_s, priced)
        period_s = 1.0 / total if total > 0 else math.inf
        if priced >= period_s * (1 - 1e-9) or not simplex.enter(route, loads):
            break
    return _mix(simplex, prices, bound_s)


def _mix(simplex: _Simplex, prices: list[float], bound_s: float) -> Mix:
    shares: dict[tuple[int, ...], float] = {}
    for route, value in zip(simplex.routes, simplex.values, strict=True):
        if route is not None and value > _EPS:
            shares[route] = shares.get(route, 0.0) + value
    total = sum(shares.values())
    return Mix(
        period_s=1.0 / total,
        routes=tuple((route, value / total) for route, value in sorted(shares.items())),
        prices=tuple(prices),
        bound_s=min(bound_s, 1.0 / total),
    )
