"""Which rank takes how many microbatches, by what each was measured to take."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from deepseek_core import errors
from deepseek_parallel.balance import granularity
from deepseek_parallel.balance.cost import WINDOW, RankCost
from deepseek_parallel.balance.granularity import Granularity
from deepseek_parallel.errors import StateMismatch
from deepseek_parallel.shares import Affine, allocate

HYSTERESIS: Final = 0.02
_LEAST_S, _MOST_S = 1e-9, 1e9  # what a clock can have measured


class Balancer:
    """Shares of a step's microbatches for `ranks`, which follow their measured speed.

    Every rank has one and gives it the same seconds, so that all agree without a message.
    """

    def __init__(self, ranks: int, microbatches: int) -> None:
        _check("ranks", ranks)
        _check("microbatches", microbatches)
        self.microbatches = microbatches
        self._costs = [RankCost() for _ in range(ranks)]
        self._k = 0.0  # see balance/cost.py
        self._shares = _even(ranks, microbatches)

    def shares(self) -> tuple[int, ...]:
        """Microbatches of each rank in the next step."""
        return self._shares

    def observe(self, seconds: Sequence[float]) -> None:
        """Learn from the compute seconds of each rank in the step whose shares were given last.

        Raises:
            InputError: not one finite, positive number for each rank that had microbatches.
        """
        had = list(zip(self._shares, seconds, strict=False))
        if len(seconds) != len(self._shares) or not all(_is_fine(n, s) for n, s in had):
            raise errors.InputError(
                f"seconds must be one positive number for each of {len(self._shares)} ranks, "
                f"got {list(seconds)}"
            )
        for cost, (count, s) in zip(self._costs, had, strict=True):
            if count:
                cost.observe(count / self.microbatches, s, self._k)
        known = [cost.affine(self._k) for cost in self._costs if cost.seen]
        self._k = sum(cost.fixed_s / cost.each_s for cost in known) / len(known)
        self._divide()

    @property
    def costs(self) -> tuple[Affine, ...]:
        """Seconds of each rank for a share of the batch from 0 to 1, as learned."""
        known = [cost.affine(self._k) for cost in self._costs if cost.seen]
        if not known:
            return (Affine(0.0, 1.0),) * len(self._costs)
        # Who was not measured yet is taken to be as fast as the others are on average.
        fixed_s, each_s = (sum(part) / len(known) for part in zip(*known, strict=True))
        new = Affine(fixed_s, each_s)
        return tuple(cost.affine(self._k) if cost.seen else new for cost in self._costs)

    @property
    def floor(self) -> float:
        """Imbalance (max / mean - 1) that whole microbatches leave at best, by what is known."""
        return granularity.floor(self.costs, self.microbatches)

    def picked(self, batch: int, *, most: int, bar: float = granularity.BAR) -> Granularity:
        """The largest microbatch of up to `most` samples that keeps the imbalance within `bar`.

        Raises:
            InputError: a batch or a limit below 1.
        """
        return granularity.picked(self.costs, batch, most=most, bar=bar)

    def recut(self, microbatches: int) -> None:
        """Cut the batch into another number of microbatches; what was learned stays.

        Raises:
            InputError: a number below 1.
        """
        _check("microbatches", microbatches)
        self.microbatches = microbatches
        self._shares = self._best()

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it, or who joins must be told, in numbers of JSON."""
        return {
            "microbatches": self.microbatches,
            "shares": list(self._shares),
            "k": self._k,
            "ranks": [{"seen": [*map(list, c.seen)], "odd": c.odd} for c in self._costs],
        }

    @classmethod
    def resumed(
        cls, state: Mapping[str, Any], kept: Sequence[int | None] | None = None
    ) -> Balancer:
        """The balancer of a state.

        After a change of ranks, `kept` says for each new rank which rank it was, None of a new one.

        Raises:
            StateMismatch: this is no state of a balancer, or has no such rank.
        """
        try:
            ranks = state["ranks"]
            whole = range(len(ranks)) if kept is None else kept
            made = cls(len(whole), state["microbatches"])
            made._k = float(state["k"])
            made._costs = [RankCost() if n is None else _cost(ranks[n]) for n in whole]
            made._shares = tuple(state["shares"]) if kept is None else made._best()
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise StateMismatch(
                f"this is no state of a Balancer for ranks {kept}",
                remedy="give what Balancer.state() gave, and ranks that it had",
            ) from error
        return made

    def _best(self) -> tuple[int, ...]:
        costs = granularity.of_microbatches(self.costs, self.microbatches)
        return tuple(
            allocate(costs, self.microbatches, granularity.least(costs, self.microbatches))
        )

    def _divide(self) -> None:
        """Take a better division, if it is clearly better."""
        best = self._best()
        if self._end_s(best) < (1 - HYSTERESIS) * self._end_s(self._shares):
            self._shares = best

    def _end_s(self, shares: Sequence[int]) -> float:
        pairs = zip(self.costs, shares, strict=True)
        return max(cost.of(count / self.microbatches) for cost, count in pairs)


def _cost(state: Mapping[str, Any]) -> RankCost:
    seen = deque(((float(x), float(s)) for x, s in state["seen"]), maxlen=WINDOW)
    return RankCost(seen=seen, odd=state["odd"] and tuple(state["odd"]))


def _even(ranks: int, microbatches: int) -> tuple[int, ...]:
    share, more = divmod(microbatches, ranks)
    return tuple(share + (rank < more) for rank in range(ranks))


def _is_fine(count: int, seconds: float) -> bool:
    return _LEAST_S <= seconds <= _MOST_S if count else math.isfinite(seconds)


def _check(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise errors.InputError(f"{name} must be a whole number of 1 or more, got {value!r}")
