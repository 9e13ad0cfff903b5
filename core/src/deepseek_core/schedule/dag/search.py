"""Local search around the best schedule: small changes, decoded by a list pass.

A state is an order of tasks and a device for each. Moves start from a task of a random critical
chain: free its device and some neighbors', send it with neighbors to one device, or swap devices
with a task that runs at the same time; each may shift the tasks within the order as far as their
neighbors allow. Slightly worse states are accepted early on (threshold accepting).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from deepseek_core.schedule.dag import orders
from deepseek_core.schedule.dag.bound import least_tail
from deepseek_core.schedule.dag.compiled import INF, Compiled
from deepseek_core.schedule.dag.critical import critical_chain
from deepseek_core.schedule.dag.effort import Effort, better
from deepseek_core.schedule.dag.listpass import Timetable

_RULE = "local search"
_HEAT = 0.02  # how much worse than the current state a new one may be, at first,
_HEAT_SMALL = 0.5  # and what few tasks add to it: there each task weighs more
_PATIENCE = 80  # moves without a gain until a restart,
_PATIENCE_EACH = 4  # and for each task
_TRIES = 12  # of the search for a partner to swap with


class LocalSearch:
    """Improves `effort.best` while the budget lasts; equal seed and passes, equal result."""

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self.graph: Compiled = effort.graph
        self.rng: Random = effort.rng
        self.tail = least_tail(self.graph)
        self.heat = _HEAT + _HEAT_SMALL / self.graph.size
        self.before = [[p for p, _ in arcs] for arcs in self.graph.before]
        self.after = [[f for f, _ in arcs] for arcs in self.graph.after]
        self.links = [a + b for a, b in zip(self.before, self.after, strict=True)]
        assert effort.best is not None
        self._move_to(effort.best)

    def run(self) -> None:
        """Move until the budget is gone or the bound is met."""
        idle, chain = 0, list[int]()
        while self.effort.more():
            if not chain or idle % 10 == 9:
                chain = critical_chain(self.graph, self.state, self.rng)
            cooled = (1 - self.effort.progress) ** 2
            limit = self.state.makespan * (1 + self.heat * cooled * self.rng.random() ** 2)
            found = self._step(chain, limit)
            idle += 1
            if found.makespan <= limit:
                if better(found.makespan, self.state.makespan):
                    idle = 0
                self._move_to(found)
                chain = []
            if idle > _PATIENCE + _PATIENCE_EACH * self.graph.size:
                self._restart()
                idle, chain = 0, []

    def _move_to(self, state: Timetable) -> None:
        self.state = state
        self.order = orders.by_start(self.graph, state)
        self.key = [0.0] * self.graph.size
        for position, task in enumerate(self.order):
            self.key[task] = float(position)

    def _restart(self) -> None:
        """Back to the best state, or on from shaken keys, with devices chosen anew or drawn."""
        assert self.effort.best is not None
        self._move_to(self.effort.best)
        kind = self.rng.random()
        if kind < 0.4 or not self.effort.more(3):
            return
        key = list(self.key)
        for task in self.order:
            self._shift(key, task)
        order = sorted(self.order, key=key.__getitem__)
        fixed = [-1] * self.graph.size
        if kind > 0.6:
            self._draw(fixed, order, pieces=2 if kind > 0.8 else self.graph.size)
        shaken = self.effort.run(_RULE, order, fixed=fixed)
        if shaken.whole:
            self._move_to(shaken)

    def _draw(self, fixed: list[int], order: Sequence[int], pieces: int) -> None:
        """Random devices for random pieces of the order: few pieces, few transfers."""
        device = 0
        for task in order:
            if fixed[task] < 0:
                if task == order[0] or self.rng.random() < pieces / self.graph.size:
                    device = self.rng.randrange(len(self.graph.class_of))
                self._assign(fixed, [task], device)

    def _step(self, chain: Sequence[int], limit: float) -> Timetable:
        rng = self.rng
        task = rng.choice(chain) if rng.random() < 0.8 else rng.randrange(self.graph.size)
        kind = rng.random()
        if kind < 0.02 and not self.graph.limited and self.effort.more(2):
            return self._improve()
        fixed = list(self.state.device)
        if kind < 0.27:
            moved = self._swap(fixed, task)
        elif kind < 0.67:
            moved = self._free(fixed, task, chain)
        else:
            moved = self._send(fixed, task, chain)
        key = self.key
        if rng.random() < 0.7:
            key = list(key)
            for one in moved:
                self._shift(key, one)
        order = sorted(self.order, key=key.__getitem__)
        return self.effort.run(_RULE, order, fixed=fixed, tail=self.tail, limit=limit)

    def _improve(self) -> Timetable:
        """A forward-backward round with free devices."""
        mirror = self.effort.mirror
        back = self.effort.run_mirrored(orders.mirrored(mirror, self.state))
        return self.effort.run(_RULE, orders.mirrored(self.graph, back))

    def _free(self, fixed: list[int], task: int, chain: Sequence[int]) -> list[int]:
        """Let the pass choose for a few tasks of the chain, perhaps for neighbors too."""
        rng = self.rng
        count = min(len(chain), int(rng.expovariate(0.7)))
        moved = [task, *rng.sample(chain, count)]
        self._assign(fixed, moved, -1)
        if rng.random() < 0.5:
            near = [p for t in moved for p in self.links[t] if rng.random() < 0.3]
            self._assign(fixed, near, -1)
        return moved

    def _send(self, fixed: list[int], task: int, chain: Sequence[int]) -> list[int]:
        """Send tasks to one device: a piece of the chain, or a task with some around it."""
        rng = self.rng
        if rng.random() < 0.4:
            at = rng.randrange(len(chain))
            moved = list(chain[at : at + 2 + int(rng.expovariate(0.2))])
        else:
            moved = self._grown(task)
        self._assign(fixed, moved, self._target(moved[0], moved[-1]))
        return moved

    def _grown(self, task: int) -> list[int]:
        """The task and a connected few around it: before it, after it, or both."""
        rng, most = self.rng, 1 + int(self.rng.expovariate(0.35))
        way = rng.choice((self.links, self.before, self.after))
        moved, seen = [task], {task}
        for one in moved:  # grows while it is walked
            near = [p for p in way[one] if p not in seen and rng.random() < 0.7]
            near = near[: max(0, most - len(moved))]
            moved += near
            seen.update(near)
        return moved

    def _target(self, first: int, last: int) -> int:
        """A device: that of a neighbor, where no transfer is needed, or any."""
        near = self.links[first] if self.rng.random() < 0.5 else self.links[last]
        if near and self.rng.random() < 0.5:
            return self.state.device[self.rng.choice(near)]
        return self.rng.randrange(len(self.graph.class_of))

    def _swap(self, fixed: list[int], task: int) -> list[int]:
        """Exchange devices with a task that runs elsewhere at the same time."""
        partner = self._partner(task)
        if partner < 0:
            self._assign(fixed, [task], -1)
            return [task]
        mine, other = fixed[task], fixed[partner]
        self._assign(fixed, [task], other)
        self._assign(fixed, [partner], mine if self.rng.random() < 0.7 else -1)
        return [task, partner]

    def _partner(self, task: int) -> int:
        state, at = self.state, int(self.key[task])
        reach = 3 * len(self.graph.class_of) + 10
        low, high = max(0, at - reach), min(self.graph.size, at + reach + 1)
        for _ in range(_TRIES):
            other = self.order[self.rng.randrange(low, high)]
            overlaps = state.start[other] < state.end[task] and state.end[other] > state.start[task]
            if overlaps and state.device[other] != state.device[task]:
                return other
        return -1

    def _assign(self, fixed: list[int], tasks: Iterable[int], device: int) -> None:
        """Set the device of tasks that it can run; a colocated group moves as one."""
        graph = self.graph
        for task in tasks:
            if device >= 0 and graph.cost[task][graph.class_of[device]] == INF:
                continue
            own = graph.bundle[task]
            for member in (task,) if own < 0 else graph.bundles[own]:
                fixed[member] = device

    def _shift(self, key: list[float], task: int) -> None:
        """A random place in the order between what must be before and after."""
        low = max([key[p] for p, _ in self.graph.before[task]], default=-1.0)
        high = min([key[f] for f, _ in self.graph.after[task]], default=float(self.graph.size))
        key[task] = low + (high - low) * self.rng.uniform(0.001, 0.999)
