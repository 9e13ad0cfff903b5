"""A random walk around the best schedule: many small changes, worse ones accepted early on.

A state is an order of tasks and a device for each (see `decoder`). Simulated annealing: it begins
warm at the best schedule so far and cools down while the budget lasts (Kirkpatrick, Gelatt, Vecchi
1983).
"""

from __future__ import annotations

from math import log
from typing import Final

from deepseek_core.schedule.dag import orders
from deepseek_core.schedule.dag.decoder import Decoded, Decoder
from deepseek_core.schedule.dag.effort import Effort, better
from deepseek_core.schedule.dag.moves import Moves

_RULE: Final = "local search"
_HOT: Final = 0.04  # how much worse a state may be, on average, as a share of the best
_ENOUGH: Final = 300  # steps for each task; with fewer it begins cooler,
_COOLING: Final = 40  # and it ends so many times cooler than it began
_BLOCK: Final = 32  # steps between two looks at the budget
_PATIENCE: Final = 80, 16  # moves without a gain until it goes back to the best: so many,
# and for each task

_State = tuple[list[int], list[int], Decoded]


class Walk:
    """Improves `effort.best` while the budget lasts; equal seed and budget, equal result."""

    def __init__(self, effort: Effort, decoder: Decoder) -> None:
        assert effort.best is not None
        self._effort, self._decoder = effort, decoder
        self._moves = Moves(decoder, effort.rng)
        order = orders.by_start(effort.graph, effort.best)
        # _now: (order, device by task, what they decode to)
        self._now = self._best = self._decoded(order, list(effort.best.device))
        self._moves.at(*self._now)
        self._idle = 0  # moves since the present state got better

    def run(self) -> None:
        """Move until the budget is gone or the bound is met."""
        effort, began, hot = self._effort, self._effort.progress, self._heat()
        while effort.fits(_BLOCK * effort.prices.step_s):
            done = (effort.progress - began) / max(1e-9, 1 - began)
            heat = self._best[2].makespan * hot * _COOLING**-done
            for _ in range(_BLOCK):
                self._step(heat)
            effort.spent_s += _BLOCK * effort.prices.step_s

    def _heat(self) -> float:
        effort = self._effort
        left_s = min(effort.budget_s - effort.spent_s, effort.seconds)
        steps = left_s / effort.prices.step_s / effort.graph.size
        return _HOT * min(1.0, steps / _ENOUGH)

    def _step(self, heat: float) -> None:
        self._idle += 1
        move = self._moves.draw()
        if move is None:
            return
        limit = self._now[2].makespan - heat * log(1.0 - self._effort.rng.random())
        order, device, first = move
        found = self._decoder.decode(order, device, limit, self._now[2], first)
        if found is not None:
            self._accept((order, device, found))
        elif self._idle > _PATIENCE[0] + _PATIENCE[1] * self._effort.graph.size:
            self._go(self._best)

    def _accept(self, state: _State) -> None:
        if better(state[2].makespan, self._now[2].makespan):
            self._idle = 0
        self._now = state
        self._moves.at(*state)
        if better(state[2].makespan, self._best[2].makespan):
            self._best = state
            order, device, _ = state
            self._effort.found(_RULE, self._decoder.timetable(order, device))

    def _go(self, state: _State) -> None:
        self._now, self._idle = state, 0
        self._moves.at(*state)

    def _decoded(self, order: list[int], device: list[int]) -> _State:
        found = self._decoder.decode(order, device)
        assert found is not None
        return order, device, found
