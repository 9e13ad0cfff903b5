"""Small changes of a schedule: other devices for a few tasks, another place in the order.

Most start from a task of the critical chain, the tasks that wait for each other up to the end.
Each gives a new order and new devices; what was passed in stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final

from deepseek_core.schedule.dag.compiled import INF
from deepseek_core.schedule.dag.decoder import Decoded, Decoder

Move = tuple[list[int], list[int], int] | None
"""An order, devices, the first position that differs; None where nothing changes or nothing can."""

_REACH: Final = 10, 3  # how far a swap looks in the order: so many tasks, and for each device
_NOISE: Final = 0.2  # of what a device seems worth: the estimate leaves out who waits there
_CRITICAL: Final = 0.8  # share of the moves that start from the critical chain
_ALSO_SHIFTED: Final = 0.6  # share of changes of devices that move in the order, too
_MOST_SHIFTED: Final = 3
_SETTLED: Final = 0.88  # where the cumulative share of changes of both ends


class Moves:
    """Draws moves of one state: order, devices, what they decode to, its critical chain."""

    def __init__(self, decoder: Decoder, rng: Random) -> None:
        graph = decoder.graph
        self._decoder, self._graph, self._rng, self._random = decoder, graph, rng, rng.random
        self._before = [[p for p, _ in arcs] for arcs in graph.before]  # by task: its predecessors
        self._after = [[f for f, _ in arcs] for arcs in graph.after]  # by task: its followers
        # by task: both
        self._near = [a + b for a, b in zip(self._before, self._after, strict=True)]
        self._place = [0] * graph.size  # by task: its position in the order
        self._order: list[int] = []  # tasks, as they are decoded; not changed in place
        self._device: list[int] = []  # by task
        self._end: list[float] = []  # by task: when it ends in the present schedule
        self._why: list[int] = []  # by task: which one it waited for last; -1: none
        # the critical chain, from the task that ends last back to its start
        self._chain: list[int] = []
        # Cumulative shares.
        self._devices: tuple[tuple[float, Callable[[int, list[int]], list[int]]], ...] = (
            (0.05, self._path), (0.15, self._window), (0.25, self._one),
            (0.33, self._stretch), (0.48, self._grown), (0.58, self._swap),
        )  # fmt: skip

    def at(self, order: list[int], device: list[int], found: Decoded) -> None:
        """Moves start from here now."""
        if order is not self._order:
            self._order, place = order, self._place
            for position, task in enumerate(order):
                place[task] = position
        self._device, self._end, self._why = device, found.end, found.why
        self._chain = chain = [found.last]
        while (task := found.why[chain[-1]]) >= 0:
            chain.append(task)

    def draw(self) -> Move:
        """One move."""
        random = self._random
        task = self._pick(self._chain if random() < _CRITICAL else self._order)
        kind = random()
        for limit, change in self._devices:
            if kind < limit:
                device = list(self._device)
                moved = change(task, device)
                if not moved or (self._graph.limited and not self._fits(device)):
                    return None
                first = min([self._place[one] for one in moved])
                if random() < _ALSO_SHIFTED:
                    order, least = self._shifted(moved[:_MOST_SHIFTED])
                    return order, device, min(first, least)
                return self._order, device, first
        if kind < _SETTLED:
            return self._settled(task)
        order, first = self._before_its_reason(task) if random() < 0.5 else self._shifted([task])
        return None if order is self._order else (order, self._device, first)

    def _pick(self, tasks: Sequence[int]) -> int:
        return tasks[int(self._random() * len(tasks))]

    # -- devices: each changes the list and returns the tasks that moved, the most important first

    def _one(self, task: int, device: list[int]) -> list[int]:
        return self._send([task], self._target(task, task), device)

    def _stretch(self, task: int, device: list[int]) -> list[int]:
        """A piece of the critical chain to one device."""
        at = int(self._random() * len(self._chain))
        moved = self._chain[at : at + 2 + int(self._rng.expovariate(0.2))]
        return self._send(moved, self._target(moved[0], moved[-1]), device)

    def _grown(self, task: int, device: list[int]) -> list[int]:
        """The task and a connected few around it: before it, after it, or both."""
        random = self._random
        most = 1 + int(self._rng.expovariate(0.35))
        way = self._pick_way()
        moved, seen = [task], {task}
        for one in moved:  # grows while it is walked
            for other in way[one]:
                if len(moved) < most and other not in seen and random() < 0.7:
                    seen.add(other)
                    moved.append(other)
        return self._send(moved, self._target(task, moved[-1]), device)

    def _pick_way(self) -> list[list[int]]:
        return (self._near, self._before, self._after)[int(self._random() * 3)]

    def _window(self, task: int, device: list[int]) -> list[int]:
        """What runs at about the same time, perhaps only on the same device, to another one."""
        random, size = self._random, len(self._order)
        length = 2 + int(self._rng.expovariate(4 / size))
        first = max(0, self._place[task] - int(random() * length))
        target, source = self._any(), self._device[task]
        if random() < 0.6:
            window = self._order[first : first + length]
            moved = [one for one in window if self._device[one] == source]
        else:
            moved = self._order[first : first + length]
        return self._send(moved, target, device)

    def _swap(self, task: int, device: list[int]) -> list[int]:
        """Exchange devices with a task that is near in the order."""
        mine = self._device[task]
        reach = _REACH[0] + _REACH[1] * len(self._decoder.devices)
        low = max(0, self._place[task] - reach)
        high = min(len(self._order), self._place[task] + reach + 1)
        other = self._order[low + int(self._random() * (high - low))]
        theirs = self._device[other]
        cost = self._decoder.cost
        if mine == theirs or cost[other][mine] == INF or cost[task][theirs] == INF:
            return []
        self._send([task], theirs, device)
        self._send([other], mine, device)
        return [task, other]

    def _path(self, task: int, device: list[int]) -> list[int]:
        """The best devices for a path of the critical chain, if nobody were in its way."""
        chain = self._chain
        first = at = int(self._random() * len(chain))
        most = first + 2 + int(self._rng.expovariate(0.15))
        while at + 1 < min(most, len(chain)) and chain[at + 1] in self._before[chain[at]]:
            at += 1
        path = chain[first : at + 1][::-1]
        if len(path) < 2:
            return []
        homes = _best_devices(self._decoder, path, self._device, self._end)
        moved: list[int] = []
        for one, home in zip(path, homes, strict=True):
            moved += self._send([one], home, device)
        return moved

    def _send(self, tasks: Iterable[int], target: int, device: list[int]) -> list[int]:
        """Set the device of tasks that it can run; a colocated group moves as one."""
        graph, moved = self._graph, []
        for task in tasks:
            if self._decoder.cost[task][target] < INF and device[task] != target:
                own = graph.bundle[task]
                for member in (task,) if own < 0 else graph.bundles[own]:
                    device[member] = target
                    moved.append(member)
        return moved

    def _target(self, first: int, last: int) -> int:
        """A device: where a task would end well, that of a neighbor, or any."""
        kind = self._random()
        if kind < 0.6:
            return self._promising(first)
        near = self._near[first if kind < 0.7 else last]
        return self._device[self._pick(near)] if near and kind < 0.8 else self._any()

    def _any(self) -> int:
        return int(self._random() * len(self._decoder.devices))

    def _promising(self, task: int) -> int:
        """Another device, by when the inputs are there, the cost, and what must follow."""
        best, chosen, own = INF, self._device[task], self._device[task]
        cost, tail = self._decoder.cost[task], self._decoder.tail[task]
        for d in self._decoder.able[task]:
            if d != own:
                end = self._decoder.arrival(task, d, self._device, self._end) + cost[d]
                value = (end + tail[d]) * (1 + _NOISE * self._random())
                if value < best:
                    best, chosen = value, d
        return chosen

    def _fits(self, device: Sequence[int]) -> bool:
        graph = self._graph
        room = list(graph.capacity)
        for task, d in enumerate(device):
            room[graph.pool_of[d]] -= graph.needs[task][graph.class_of[d]]
        return min(room) >= 0

    # -- both

    def _settled(self, task: int) -> Move:
        """The task to another device, and in the order to where it could begin there."""
        target, device = self._target(task, task), list(self._device)
        moved = self._send([task], target, device)
        if not moved or (self._graph.limited and not self._fits(device)):
            return None
        low, high = self._bounds(task, self._place.__getitem__, len(self._order))
        ready = self._decoder.arrival(task, target, self._device, self._end)
        now, at = self._place[task], self._first_busy(target, ready, low + 1, high)
        at = at if at <= now else at - 1
        first = min([self._place[one] for one in moved])
        if at == now:
            return self._order, device, first
        return _moved(self._order, now, at), device, min(first, at)

    def _first_busy(self, target: int, ready: float, low: int, high: int) -> int:
        """The position of the first or second task that a device still does at a time."""
        order, device, end = self._order, self._device, self._end
        skip, found = self._random() < 0.5, high
        for position in range(low, high):
            other = order[position]
            if device[other] == target and end[other] > ready:
                found = position
                if not skip:
                    break
                skip = False
        return found

    def _bounds(self, task: int, place: Callable[[int], int], size: int) -> tuple[int, int]:
        """The positions of the last that must be before, and of the first that must be after."""
        low, high = -1, size
        for p in self._before[task]:
            if (at := place(p)) > low:
                low = at
        for f in self._after[task]:
            if (at := place(f)) < high:
                high = at
        return low, high

    # -- the order

    def _shifted(self, tasks: Sequence[int]) -> tuple[list[int], int]:
        """Tasks at random places between what must be before and after; the first that changed."""
        order = self._order
        first = len(order)
        for task in tasks:
            place = self._place.__getitem__ if order is self._order else order.index
            now = place(task)
            low, high = self._bounds(task, place, len(order))
            at = low + 1 + int(self._random() * (high - low - 1))
            if at != now:
                at = at if at < now else at - 1
                order, first = _moved(order, now, at), min(first, now, at)
        return order, first

    def _before_its_reason(self, task: int) -> tuple[list[int], int]:
        """Exchange a task and the one that it waits for because they share a device."""
        reason = self._why[task]
        if reason < 0 or reason in self._before[task]:
            return self._shifted([task])
        place, here, there = self._place, self._place[task], self._place[reason]
        low = max([place[p] for p in self._before[task]], default=-1)
        if low < there:
            at = there if self._random() < 0.6 else low + 1 + int(self._random() * (there - low))
            return _moved(self._order, here, at), at
        high = min([place[f] for f in self._after[reason]], default=len(self._order))
        if high <= here:
            return self._shifted([task])
        return _moved(self._order, there, here), there


def _moved(order: list[int], source: int, target: int) -> list[int]:
    changed = list(order)
    changed.insert(target, changed.pop(source))
    return changed


def _best_devices(
    decoder: Decoder, path: Sequence[int], device: Sequence[int], end: Sequence[float]
) -> list[int]:
    """Devices on which the tasks of a path end soonest, one after the other.

    Inputs from beside the path are as they are; nobody else is on the devices. Legend: d, a the
    device of a task and of its input's maker, p that maker, t when it ended, n bytes of the input.
    """
    ends: dict[int, float] = {}
    chosen: list[dict[int, int]] = []  # for each task: its device -> that of the one before
    previous = -1
    for task in path:
        moved = dict(decoder.before[task]).get(previous, 0.0)
        beside = [(end[p], device[p], n) for p, n in decoder.before[task] if p != previous]
        now: dict[int, float] = {}
        came: dict[int, int] = {}
        for d in decoder.able[task]:
            wait, byte = decoder.delay[d], decoder.rate[d]
            ready = 0.0
            for t, a, n in beside:
                ready = max(ready, t + (wait[a] + n * byte[a]))
            if ends:
                there, at = -1, INF
                for a, t in ends.items():
                    arrives = t + (wait[a] + moved * byte[a])
                    if arrives < at:
                        there, at = a, arrives
                ready, came[d] = max(ready, at), there
            now[d] = ready + decoder.cost[task][d]
        ends, previous = now, task
        chosen.append(came)
    tail = decoder.tail[path[-1]]
    homes = [min(ends, key=lambda d: (ends[d] + tail[d], d))]
    for came in reversed(chosen[1:]):
        homes.append(came[homes[-1]])
    return homes[::-1]
