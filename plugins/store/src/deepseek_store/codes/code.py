"""The code of a stripe: how many data and parity fragments, and their groups.

Fragments are numbered data first (0 to k-1), then the parities of the groups, then the others:
the copies of replication, the parities of RS, the global parities of LRC.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

import attrs

from deepseek_core import errors

Family = Literal["replication", "rs", "lrc"]

# Rows and columns of a Cauchy matrix are distinct elements of GF(2^8).
_FIELD = 256
_MAX_COPIES = 16
_TEXT = re.compile(r"\s*([a-z]+)\s*\(\s*(\d+(?:\s*,\s*\d+)*)\s*\)\s*", re.IGNORECASE)


@attrs.frozen(kw_only=True)
class Code:
    """An erasure code: its family and its numbers.

    `k` data fragments; `groups` local groups with one XOR parity each (LRC only); `parities`:
    copies beside the first (replication, where k is 1), parities (RS), global parities (LRC).

    Raises:
        ConfigError: Numbers that make no code.
    """

    family: Family
    k: int
    groups: int = 0
    parities: int = 0

    def __attrs_post_init__(self) -> None:
        problem = _PROBLEM[self.family](self) if self.family in _PROBLEM else "unknown family"
        if problem:
            numbers = f"k={self.k}, groups={self.groups}, parities={self.parities}"
            raise errors.ConfigError(
                f"no code {self.family} with {numbers}: {problem}",
                remedy="use for example replication(2), rs(6,3) or lrc(140,4,6)",
            )

    @classmethod
    def parse(cls, text: str) -> Code:
        """The code of a name such as `LRC(140,4,6)`, `rs(6,3)` or `replication(3)`.

        Raises:
            ConfigError: A text that names no code.
        """
        match = _TEXT.fullmatch(text)
        if match is not None:
            family, numbers = match[1].lower(), [int(part) for part in match[2].split(",")]
            if family == "replication" and len(numbers) == 1:
                return cls(family="replication", k=1, parities=numbers[0] - 1)
            if family == "rs" and len(numbers) == 2:
                return cls(family="rs", k=numbers[0], parities=numbers[1])
            if family == "lrc" and len(numbers) == 3:
                return cls(family="lrc", k=numbers[0], groups=numbers[1], parities=numbers[2])
        raise errors.ConfigError(
            f"no code has the name {text[:80]!r}",
            remedy="write replication(COPIES), rs(K,M) or lrc(K,GROUPS,GLOBALS)",
        )

    @property
    def n(self) -> int:
        """Fragments of a stripe."""
        return self.k + self.groups + self.parities

    @property
    def efficiency(self) -> float:
        """Logical over stored bytes of a full stripe."""
        return self.k / self.n

    @property
    def tolerance(self) -> int:
        """Any this many lost fragments can be rebuilt."""
        return self.parities + (1 if self.family == "lrc" else 0)

    @property
    def name(self) -> str:
        """Name, as `parse` reads it."""
        if self.family == "replication":
            return f"replication({self.n})"
        if self.family == "rs":
            return f"RS({self.k},{self.parities})"
        return f"LRC({self.k},{self.groups},{self.parities})"

    @property
    def repair_reads(self) -> int:
        """Fragments read to rebuild one data fragment."""
        return len(self.members(0)) - 1 if self.groups else self.k

    def group_of(self, index: int) -> int | None:
        """The local group of a fragment; None if it is in none."""
        if self.k <= index < self.k + self.groups:
            return index - self.k
        if self.groups and 0 <= index < self.k:
            return _group_of_data(self.k, self.groups)[index]
        return None

    def group_data(self, group: int) -> range:
        """The data fragments of a local group."""
        return range(group * self.k // self.groups, (group + 1) * self.k // self.groups)

    def members(self, index: int) -> tuple[int, ...]:
        """The fragment's local group with its parity; empty where it has none."""
        group = self.group_of(index)
        return () if group is None else (*self.group_data(group), self.k + group)

    def __str__(self) -> str:
        return self.name


@lru_cache(maxsize=64)
def _group_of_data(k: int, groups: int) -> tuple[int, ...]:
    """The group of each data fragment: runs whose lengths differ by one at most."""
    ends = [(group + 1) * k // groups for group in range(groups)]
    group, found = 0, []
    for index in range(k):
        group += index >= ends[group]
        found.append(group)
    return tuple(found)


def _replication_problem(code: Code) -> str:
    if code.k != 1 or code.groups:
        return "replication has k = 1 and no groups"
    if not 0 <= code.parities < _MAX_COPIES:
        return f"1 to {_MAX_COPIES} copies in all"
    return ""


def _rs_problem(code: Code) -> str:
    if code.groups:
        return "rs has no groups"
    if code.k < 1 or code.parities < 1 or code.k + code.parities > _FIELD:
        return f"k and parities are 1 or more, and {_FIELD} at most in sum"
    return ""


def _lrc_problem(code: Code) -> str:
    if not 1 <= code.groups <= code.k:
        return "1 group or more, and a data fragment at least in each"
    if code.parities < 1 or code.k + code.parities > _FIELD:
        return f"1 global parity or more, and k + globals {_FIELD} at most"
    return ""


_PROBLEM = {
    "replication": _replication_problem,
    "rs": _rs_problem,
    "lrc": _lrc_problem,
}
