"""Good assignments of large streams: multilevel simulated annealing on the largest load.

Groups joined by heavy transfers are merged until few are left; the coarse problem is annealed
from several starts, then unfolded level by level and refined (multilevel scheme: Karypis,
Kumar 1998; annealing: Kirkpatrick 1983). Everything follows from the seed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Final

from deepseek_core.contracts.errors import NoDevice
from deepseek_core.contracts.units import format_bytes
from deepseek_core.schedule.throughput.model import Model

_SHARP: Final = 16  # the p-norm of loads stands for their maximum
_HOT, _COLD = 0.03, 0.0003  # relative worsening that is accepted readily


class State:
    """An assignment under change: its loads and the p-norm of them."""

    def __init__(self, model: Model, assignment: Sequence[int], scale_s: float) -> None:
        self.model, self.assignment = model, list(assignment)
        self._unit = 1.0 / scale_s  # loads are raised to a power, so they are kept near 1
        self.loads = model.loads(assignment)
        self.used = [0.0] * model.m  # by device: bytes of memory taken
        for g, d in enumerate(assignment):
            self.used[d] += model.mem[g]
        # by resource: (load / scale) ** _SHARP
        self.powers = [(load * self._unit) ** _SHARP for load in self.loads]
        # the sum of `powers`: it follows the largest load, and notices the others
        self.norm = sum(self.powers)

    @property
    def period_s(self) -> float:
        """The largest load."""
        return max(self.loads)

    def allows(self, g: int, d: int) -> bool:
        """Whether the group may move there."""
        model = self.model
        return (
            d != self.assignment[g]
            and model.cost[g][d] is not None
            and self.used[d] + model.mem[g] <= model.room[d]
        )

    def change(self, g: int, d: int) -> list[float]:
        """What a move adds to the load of each resource."""
        model, where = self.model, self.assignment
        old = where[g]
        change = [0.0] * model.resources
        before, after = model.cost[g][old], model.cost[g][d]
        assert before is not None
        assert after is not None
        change[old] -= before[0]
        change[d] += after[0]
        change[-1] += after[1] - before[1]
        for t in model.touching[g]:
            if t.a == g:
                other = where[t.b]
                if other != old:
                    mine, its = model.transfer_loads(t, old, other)
                    change[old] -= mine
                    change[other] -= its
                if other != d:
                    mine, its = model.transfer_loads(t, d, other)
                    change[d] += mine
                    change[other] += its
            else:
                other = where[t.a]
                if other != old:
                    its, mine = model.transfer_loads(t, other, old)
                    change[old] -= mine
                    change[other] -= its
                if other != d:
                    its, mine = model.transfer_loads(t, other, d)
                    change[d] += mine
                    change[other] += its
        return change

    def norm_after(self, change: Sequence[float]) -> float:
        """The p-th power of the p-norm after a change."""
        norm = self.norm
        for r, more in enumerate(change):
            if more:
                load = (self.loads[r] + more) * self._unit
                norm += (load if load > 0 else 0.0) ** _SHARP - self.powers[r]
        return norm

    def move(self, g: int, d: int, change: Sequence[float]) -> None:
        """Do a move whose change is known."""
        old = self.assignment[g]
        self.assignment[g] = d
        self.used[old] -= self.model.mem[g]
        self.used[d] += self.model.mem[g]
        for r, more in enumerate(change):
            if more:
                self.loads[r] += more
                load = self.loads[r] * self._unit
                self.powers[r] = (load if load > 0 else 0.0) ** _SHARP
        self.norm = sum(self.powers)


def greedy(model: Model) -> list[int]:
    """Groups by size, each to the device whose load stays least; memory first where it is short.

    Raises:
        NoDevice: the stages do not fit into the memory of the devices together.
    """
    size = [min(sum(c) for c in row if c is not None) for row in model.cost]
    by_size = sorted(range(model.n), key=lambda g: (-size[g], g))
    by_memory = sorted(range(model.n), key=lambda g: (-model.mem[g], g))
    for order, tight in ((by_size, False), (by_memory, False), (by_memory, True)):
        found = _in_order(model, order, tight=tight)
        if found is not None:
            return found
    raise memory_short(model)


def memory_short(model: Model) -> NoDevice:
    """The error that the stages do not fit, and by how much."""
    over = sum(model.mem) - sum(model.room)
    how = f"by {format_bytes(over)}" if over > 0 else "as they are cut now"
    return NoDevice(
        f"the stages do not fit into the devices' memory {how}",
        refusals={},
        remedy="give devices with more memory, or a smaller batch",
    )


def _in_order(model: Model, order: Sequence[int], *, tight: bool) -> list[int] | None:
    loads = [0.0] * model.resources
    left = list(model.room)
    assignment = [-1] * model.n
    for g in order:
        best, least = -1, (math.inf, math.inf)
        for d in model.allowed[g]:
            cost = model.cost[g][d]
            assert cost is not None
            if model.mem[g] <= left[d]:
                load = max(loads[d] + cost[0], loads[-1] + cost[1])
                key = (left[d] if tight else load, load)
                if key < least:
                    best, least = d, key
        if best < 0:
            return None
        cost = model.cost[g][best]
        assert cost is not None
        loads[best] += cost[0]
        loads[-1] += cost[1]
        left[best] -= model.mem[g]
        assignment[g] = best
    return assignment


def anneal(
    state: State, moves: int, rng: random.Random, *, hot: float = _HOT, cold: float = _COLD
) -> list[int]:
    """The assignment of least period that was met in so many tried moves."""
    model = state.model
    best, least = list(state.assignment), state.period_s
    heat, cooling = hot, (cold / hot) ** (1.0 / max(moves, 1))
    for _ in range(moves):
        heat *= cooling
        g = rng.randrange(model.n)
        d = _target(state, g, rng)
        if not state.allows(g, d):
            continue
        change = state.change(g, d)
        norm = state.norm_after(change)
        if norm > state.norm:
            worse = (math.log(norm) - math.log(state.norm)) / _SHARP
            if worse > -heat * math.log(1.0 - rng.random()):
                continue
        state.move(g, d, change)
        period_s = max(state.loads)
        if period_s < least * (1 - 1e-12):
            best, least = list(state.assignment), period_s
    return best


def _target(state: State, g: int, rng: random.Random) -> int:
    """A device to try: often that of a neighbor, so that transfers end."""
    touching = state.model.touching[g]
    if touching and rng.random() < 0.5:
        t = touching[rng.randrange(len(touching))]
        return state.assignment[t.b if t.a == g else t.a]
    allowed = state.model.allowed[g]
    return allowed[rng.randrange(len(allowed))]


def descend(model: Model, assignment: Sequence[int], *, most_rounds: int = 50) -> list[int]:
    """Single moves and swaps with the busiest device, while they help."""
    state = State(model, assignment, max(model.loads(assignment)))
    for _ in range(most_rounds):
        if not (_one_move(state) or _one_swap(state)):
            break
    return state.assignment


def _one_move(state: State) -> bool:
    """Every move that lowers the norm, taken as found."""
    helped = False
    for g in range(state.model.n):
        for d in state.model.allowed[g]:
            if state.allows(g, d):
                change = state.change(g, d)
                if state.norm_after(change) < state.norm * (1 - 1e-9):
                    state.move(g, d, change)
                    helped = True
    return helped


def _one_swap(state: State) -> bool:
    """The first exchange between the busiest device and another one that lowers the norm."""
    model, where = state.model, state.assignment
    busiest = max(range(model.m), key=lambda d: state.loads[d])
    here = [g for g in range(model.n) if where[g] == busiest]
    there = [g for g in range(model.n) if where[g] != busiest]
    if len(here) * len(there) > 20_000:
        return False  # annealing has tried enough of them
    for g in here:
        for h in there:
            if _swap(state, g, h):
                return True
    return False


def _swap(state: State, g: int, h: int) -> bool:
    a, b = state.assignment[g], state.assignment[h]
    model, norm = state.model, state.norm
    if model.cost[g][b] is None or model.cost[h][a] is None:
        return False
    if state.used[b] + model.mem[g] - model.mem[h] > model.room[b]:
        return False
    if state.used[a] + model.mem[h] - model.mem[g] > model.room[a]:
        return False
    state.move(g, b, state.change(g, b))
    state.move(h, a, state.change(h, a))
    if state.norm < norm * (1 - 1e-9):
        return True
    state.move(h, b, state.change(h, b))
    state.move(g, a, state.change(g, a))
    return False


def multilevel(
    model: Model, bound_s: float, *, moves: int, rng: random.Random, starts: int = 3
) -> list[int]:
    """Merge, anneal the coarse problem from several starts, unfold and refine."""
    levels = _levels(model, bound_s)
    coarse = levels[-1][0]
    share = moves // (2 * starts)
    found = [_annealed(coarse, greedy(coarse), share, rng) for _ in range(starts)]
    best = min(found, key=lambda a: max(coarse.loads(a)))
    refine = moves // (2 * max(len(levels) - 1, 1))
    for index in range(len(levels) - 2, -1, -1):
        finer, labels = levels[index][0], levels[index + 1][1]
        best = [best[label] for label in labels]
        state = State(finer, best, max(finer.loads(best)))
        best = anneal(state, refine, rng, hot=_HOT / 10)
    return descend(model, best)


def _annealed(model: Model, start: Sequence[int], moves: int, rng: random.Random) -> list[int]:
    state = State(model, start, max(model.loads(start)))
    return descend(model, anneal(state, moves, rng, hot=3 * _HOT))


def _levels(model: Model, bound_s: float) -> list[tuple[Model, list[int]]]:
    """The problem ever coarser, with the labels that led from the one before."""
    levels: list[tuple[Model, list[int]]] = [(model, [])]
    few = 10 * model.m
    while levels[-1][0].n > few:
        finer = levels[-1][0]
        labels = _matched(finer, bound_s, few)
        if max(labels) + 1 > 0.95 * finer.n:
            break
        levels.append((finer.merged(labels), labels))
    return levels


def _matched(model: Model, bound_s: float, few: int) -> list[int]:
    """Labels that join pairs by their heaviest transfers, none beyond half of a device's share."""
    weight = {id(t): t.there_bytes + t.back_bytes for t in model.transfers}
    least = [min(c[0] for c in row if c is not None) for row in model.cost]
    partner = list(range(model.n))
    left = model.n
    for t in sorted(model.transfers, key=lambda t: (-weight[id(t)], t.a, t.b)):
        if left <= few or weight[id(t)] <= 0:
            break
        if partner[t.a] != t.a or partner[t.b] != t.b:
            continue
        if least[t.a] + least[t.b] > 0.5 * bound_s or not _common(model, t.a, t.b):
            continue
        partner[t.b], partner[t.a] = t.a, t.b
        left -= 1
    labels = [-1] * model.n
    count = 0
    for g in range(model.n):
        if labels[g] < 0:
            labels[g] = labels[partner[g]] = count
            count += 1
    return labels


def _common(model: Model, a: int, b: int) -> bool:
    """Whether a device can hold both."""
    both = set(model.allowed[a]) & set(model.allowed[b])
    return any(model.mem[a] + model.mem[b] <= 0.5 * model.room[d] for d in both)
