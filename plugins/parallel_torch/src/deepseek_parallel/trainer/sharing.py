"""How many microbatches of a step each rank takes: equal ones, or by what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from deepseek_parallel.balance.balancer import Balancer
from deepseek_parallel.balance.granularity import BAR
from deepseek_parallel.trainer.pieces import equal_shares

_LOOK: Final = 4
"""Steps between looks for a finer cut: speeds are learned by then."""


class Shares:
    """Equal on all ranks, as all are told the same seconds."""

    def __init__(self, ranks: int, *, is_balanced: bool) -> None:
        self._ranks, self._is_balanced = ranks, is_balanced and ranks > 1
        self._balancer: Balancer | None = None
        self._count = 0  # samples of the steps that are balanced
        self._is_learning = False
        self._learned = 0  # steps since the last look

    def cut(self, count: int, pieces: int) -> int:
        """Microbatches of a step of `count` samples: `pieces`, or more that follow the speeds."""
        if self._is_balanced and self._balancer is None:
            self._balancer, self._count = Balancer(self._ranks, pieces), count
        if self._balancer is None or count != self._count:
            return pieces
        return self._balancer.microbatches

    def of(self, pieces: int) -> tuple[int, ...]:
        """Microbatches of each rank in the next step of so many."""
        self._is_learning = self._balancer is not None and self._balancer.microbatches == pieces
        if self._balancer is None or not self._is_learning:
            return equal_shares(pieces, self._ranks)
        return self._balancer.shares()

    def observe(self, seconds: Sequence[float]) -> None:
        """Learn from what each rank took for the shares that were given last."""
        if self._balancer is None or not self._is_learning:
            return
        self._balancer.observe(seconds)
        self._learned += 1
        if self._learned % _LOOK == 0 and self._balancer.floor > BAR:
            self._cut_finer(self._balancer)

    def _cut_finer(self, balancer: Balancer) -> None:
        """Take smaller microbatches, if whole ones of them follow the speeds better."""
        found = balancer.picked(self._count, most=-(-self._count // balancer.microbatches))
        if found.floor < balancer.floor:
            balancer.recut(found.microbatches)

    def state(self) -> Any:
        """What was learned, for `renewed`."""
        return None if self._balancer is None else (self._count, self._balancer.state())

    def renewed(self, state: Any, kept: Sequence[int | None]) -> Shares:
        """For other ranks, of which `kept` says which rank each was; None of a new one."""
        made = Shares(len(kept), is_balanced=self._is_balanced)
        if made._is_balanced and state is not None:
            made._count = state[0]
            made._balancer = Balancer.resumed(state[1], kept)
        return made
