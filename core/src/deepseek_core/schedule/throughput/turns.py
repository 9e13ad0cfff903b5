"""Batches take routes in turn: deterministic, in given shares, as evenly as can be.

After any n batches a route of share w has had between w n - 1 and w n + 1 of them (Tijdeman 1980,
"The chairman assignment problem").
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepseek_core.contracts.errors import InputError


class RoundRobin:
    """Answers the index of the next route; equal shares, equal answers."""

    def __init__(self, shares: Sequence[float]) -> None:
        if not shares or not all(math.isfinite(s) and s > 0 for s in shares):
            raise InputError(f"shares are {list(shares)}", remedy="give numbers above 0")
        total = sum(shares)
        self._shares = [share / total for share in shares]  # they add up to 1
        self._had = [0] * len(shares)  # turns that each has had
        self._turn = 0  # turns of all so far
        # turns that one may be given ahead of its share
        self._slack = 1.0 / (2 * len(shares) - 2) if len(shares) > 1 else 0.0

    def next(self) -> int:
        """The route of the next batch."""
        self._turn += 1
        least, chosen = math.inf, -1
        for index, share in enumerate(self._shares):
            owed = share * self._turn - self._had[index]
            if owed >= self._slack - 1e-9:
                due = (1.0 - self._slack - owed) / share
                if due < least:
                    least, chosen = due, index
        self._had[chosen] += 1
        return chosen
