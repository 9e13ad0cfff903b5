"""Turns of callers: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996).

Every caller gets an equal share of the device time while it has work; what one leaves, the
others get. Nobody is charged for time that nobody else wanted.
"""

from __future__ import annotations

from typing import Final

_MANY: Final = 64


class FairShare:
    """Tags work with the device time that its caller had before it: the least goes first."""

    def __init__(self) -> None:
        self._now = 0.0  # tag of the work that began last
        self._ends: dict[str, float] = {}  # caller -> tag after the work it was charged for
        self._many = _MANY

    def tag(self, caller: str) -> float:
        """The tag of what a caller sends next."""
        return max(self._now, self._ends.get(caller, 0.0))

    def charge(self, caller: str, seconds: float) -> float:
        """Tag a caller's work of so many seconds of device time."""
        tag = self.tag(caller)
        self._ends[caller] = tag + seconds
        if len(self._ends) > self._many:
            self._forget()
        return tag

    def began(self, tag: float) -> None:
        """Note that tagged work begins: nobody who comes later goes back behind it."""
        self._now = max(self._now, tag)

    def _forget(self) -> None:
        """Drop callers who have no more than anybody who comes new."""
        self._ends = {caller: end for caller, end in self._ends.items() if end > self._now}
        self._many = max(_MANY, 2 * len(self._ends))
