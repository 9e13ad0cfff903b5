"""Where the search begins: list rules that fail on different graphs, then improvement rounds.

HEFT with insertion and CPOP's priorities (Topcuoglu, Hariri, Wu 2002), PEFT (Arabnejad, Barbosa
2014), other ranks, comparative advantage, reversed graphs; forward-backward improvement (Li,
Willis 1992) with the devices chosen again in both directions. Under memory limits also fillings
of one device after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from deepseek_core.schedule.dag import orders, ranks
from deepseek_core.schedule.dag.compiled import INF, Compiled
from deepseek_core.schedule.dag.effort import Effort, better
from deepseek_core.schedule.dag.listpass import Timetable
from deepseek_core.schedule.dag.packing import fill, pack

_NEAR = 1.03  # candidates worth an improvement round, as a multiple of the best
_DISLIKE = 0.2  # of a device slower than a task's best: share of the difference
Bias = Sequence[Sequence[float]]


class Portfolio:
    """Starting candidates of one graph; no order is decoded twice."""

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self.graph: Compiled = effort.graph
        self._seen: set[int] = set()

    @cached_property
    def table(self) -> list[list[float]]:
        """PEFT's table of the graph."""
        return ranks.cost_table(self.graph)

    def start(self) -> None:
        """HEFT, which always runs, or under memory limits the first filling that fits."""
        order = orders.ordered(self.graph, ranks.upward(self.graph))
        first = self._try("HEFT", order)
        if self.graph.limited:
            self._fillings(order)
        if self.effort.best is None:
            self._packed(order)
        if first is not None and first.whole:
            self.improve("HEFT", first)

    def widen(self) -> None:
        """The other rules, then a round for each result that is near the best."""
        found = []
        for name, count, make in self._rules():
            if not self.effort.more(count):
                break
            result = make()
            if result is not None and result.whole:
                found.append((result.makespan, name, result))
        found.sort(key=lambda entry: entry[0])  # stable: ties in order of the rules
        for makespan, name, result in found:
            best = self.effort.best
            if best is not None and makespan <= best.makespan * _NEAR:
                self.improve(name, result, rounds=1)

    def improve(self, name: str, found: Timetable, *, rounds: int = 99) -> Timetable:
        """Forward-backward rounds while they help; the best of them."""
        rule = f"{name} + improvement"
        for number in range(rounds):
            if not self.effort.more(2):
                break
            order = orders.mirrored(self.effort.mirror, found)
            back = self.effort.run_mirrored(order)
            if not back.whole:
                break
            forward = orders.mirrored(self.graph, back)
            bias = self.table if number == 0 else None  # looking ahead helps the first round
            result = self._try(rule, forward, bias)
            if result is None or not better(result.makespan, found.makespan):
                break
            found = result
        return found

    def _rules(self) -> Iterator[tuple[str, int, Callable[[], Timetable | None]]]:
        g = self.graph
        least = orders.ordered(g, ranks.upward(g, ranks.least))
        yield "one device", 1, self._one_device
        yield (
            "PEFT",
            1,
            lambda: self._try(
                "PEFT", orders.by_priority(g, ranks.mean_rows(g, self.table)), self.table
            ),
        )
        yield "least-cost rank", 1, lambda: self._try("least-cost rank", least, self.table)
        yield "reversed", 2, lambda: self._reversed("reversed", ranks.largest)
        yield "CPOP rank", 1, lambda: self._try("CPOP rank", self._critical_path_first())
        yield (
            "advantage",
            1,
            lambda: self._try(
                "advantage", orders.ordered(g, ranks.upward(g)), ranks.disadvantage(g, _DISLIKE)
            ),
        )
        yield "topological", 1, lambda: self._try("topological", g.order)
        yield (
            "rank without transfers",
            1,
            lambda: self._try(
                "rank without transfers", orders.ordered(g, ranks.upward(g, transfers=0.0))
            ),
        )
        yield (
            "largest-cost rank",
            1,
            lambda: self._try(
                "largest-cost rank", orders.ordered(g, ranks.upward(g, ranks.largest))
            ),
        )
        yield (
            "harmonic rank",
            1,
            lambda: self._try(
                "harmonic rank", orders.ordered(g, ranks.upward(g, ranks.harmonic)), self.table
            ),
        )

    def _one_device(self) -> Timetable | None:
        """All on the device that does all soonest: hard to beat where links are slow."""
        sums = [sum(column) for column in zip(*self.graph.cost, strict=True)]
        number = sums.index(min(sums))
        if sums[number] == INF:
            return None
        device = self.graph.classes[number].devices[0]
        fixed = [device] * self.graph.size
        return self.effort.run("one device", self.graph.order, fixed=fixed)

    def _critical_path_first(self) -> list[int]:
        pairs = zip(ranks.upward(self.graph), ranks.downward(self.graph), strict=True)
        return orders.by_priority(self.graph, [up + down for up, down in pairs])

    def _reversed(self, name: str, average: ranks.Average) -> Timetable | None:
        mirror = self.effort.mirror
        order = orders.ordered(mirror, ranks.upward(mirror, average))
        back = self.effort.run_mirrored(order)
        if not back.whole:
            return None
        return self._try(name, orders.mirrored(self.graph, back), self.table)

    def _try(self, name: str, order: Sequence[int], bias: Bias | None = None) -> Timetable | None:
        """Decode an order unless it was decoded before."""
        plain = 0 if bias is None else 1 if bias is self.table else 2
        key = hash((plain, *order))
        if key in self._seen:
            return None
        self._seen.add(key)
        return self.effort.run(name, order, bias=bias)

    def _fillings(self, order: Sequence[int]) -> None:
        for walk in (self.graph.order, orders.depth_first(self.graph), order):
            device = fill(self.graph, walk)
            if device is not None and (self.effort.best is None or self.effort.more()):
                self.effort.run("filling", order, fixed=device)

    def _packed(self, order: Sequence[int]) -> None:
        device = pack(self.graph)
        if device is not None:
            self.effort.run("packing", order, fixed=device)
