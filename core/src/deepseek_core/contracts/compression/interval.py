"""A figure, and how far it can be trusted."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Interval:
    """A figure with its 95 % interval; `count` samples or seeds stand behind it.

    `low` and `high` are infinite where nothing is known of how far it goes; null in JSON.
    """

    value: float
    low: float
    high: float
    count: int

    def overlaps(self, other: Interval) -> bool:
        """Whether a difference between the two is not shown."""
        return self.low <= other.high and other.low <= self.high
