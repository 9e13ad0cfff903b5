"""How many microbatches of a step each rank takes: equal ones, or by what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deepseek_parallel.balance.balancer import Balancer
from deepseek_parallel.trainer.pieces import equal_shares


class Shares:
    """Equal on all ranks, as all are told the same seconds."""

    def __init__(self, ranks: int, *, is_balanced: bool) -> None:
        self._ranks, self._is_balanced = ranks, is_balanced and ranks > 1
        self._balancer: Balancer | None = None
        self._is_learning = False

    def of(self, pieces: int) -> tuple[int, ...]:
        """Microbatches of each rank in the next step of so many."""
        if self._is_balanced and self._balancer is None:
            self._balancer = Balancer(self._ranks, pieces)
        self._is_learning = self._balancer is not None and self._balancer.microbatches == pieces
        if self._balancer is None or not self._is_learning:
            return equal_shares(pieces, self._ranks)
        return self._balancer.shares()

    def observe(self, seconds: Sequence[float]) -> None:
        """Learn from what each rank took for the shares that were given last."""
        if self._balancer is not None and self._is_learning:
            self._balancer.observe(seconds)

    @property
    def floor(self) -> float:
        """Imbalance that whole microbatches leave at best; 0 where nothing is balanced."""
        return self._balancer.floor if self._balancer is not None else 0.0

    def state(self) -> Any:
        """What was learned, for `renewed`."""
        return None if self._balancer is None else self._balancer.state()

    def renewed(self, state: Any, kept: Sequence[int | None]) -> Shares:
        """For other ranks, of which `kept` says which rank each was; None of a new one."""
        made = Shares(len(kept), is_balanced=self._is_balanced)
        if made._is_balanced and state is not None:
            made._balancer = Balancer.resumed(state, kept)
        return made
