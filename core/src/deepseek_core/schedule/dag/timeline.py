"""Free intervals of one device, for rules that look before they place."""

from __future__ import annotations

from bisect import bisect_right, insort

import attrs


@attrs.define
class Timeline:
    """Busy intervals by start; none overlap."""

    busy: list[tuple[float, float]] = attrs.field(factory=list)

    def earliest(self, ready: float, length: float) -> float:
        """First start at or after `ready` with space for `length`."""
        at = ready
        first = max(0, bisect_right(self.busy, (ready, float("inf"))) - 1)
        for start, end in self.busy[first:]:
            if start - at >= length and start >= at:
                break
            at = max(at, end)
        return at

    def take(self, start: float, length: float) -> None:
        """Occupy an interval that `earliest` named."""
        if length > 0:
            insort(self.busy, (start, start + length))
