"""Why a rule proves nothing: raised by rules, caught where the rule was called."""

from __future__ import annotations


class NotProven(Exception):
    """A rule does not prove that the items stay apart; `detail` completes the clause."""

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    def clause(self, operator: str, symbol: str) -> str:
        """What to tell of an operator, `symbol` being the axis of the items."""
        return f"{operator} may mix items along {symbol}: {self.detail}"


class Mixes(NotProven):
    """An operator lets one item depend on another, or on its place."""

    def clause(self, operator: str, symbol: str) -> str:
        """Say that it mixes items, and by what if that is not plain."""
        mixes = f"{operator} mixes items along {symbol}"
        return f"{mixes}: {self.detail}" if self.detail else mixes


class Unclear(NotProven):
    """An operator may mix items; what would tell is not known."""


class CountsItems(NotProven):
    """An operator computes with the number of items."""

    def clause(self, operator: str, symbol: str) -> str:
        """Say that its result depends on how many items there are."""
        return f"{operator} computes with the number of items along {symbol}"


class TellsPlaces(NotProven):
    """An operator computes with the places of items."""

    def clause(self, operator: str, symbol: str) -> str:
        """Say that its result depends on the position of an item."""
        return f"{operator} tells items apart along {symbol} by their place"


class IsRandom(NotProven):
    """An operator gives another value each time."""

    def clause(self, operator: str, symbol: str) -> str:
        """Say that no run can be compared with another."""
        return f"{operator} is random"


class Malformed(NotProven):
    """A node is not as its operator needs it, or too large to follow."""

    def clause(self, operator: str, symbol: str) -> str:
        """What is wrong with the node."""
        return f"{operator} {self.detail}"


class Contradiction(Malformed):
    """A node that no runtime can run on these inputs."""


class Undecided(Exception):
    """A walk has come to an If whose branches have nothing in common."""
