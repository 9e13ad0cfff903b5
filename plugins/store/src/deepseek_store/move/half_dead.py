"""Which segments of the home's log give space, once what still lives in them is rewritten."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import Final

import attrs

from deepseek_store.home.state import State
from deepseek_store.index.rows import VersionId
from deepseek_store.move.census import take_census

_LEAST_GAIN: Final = 0.1  # less of a segment is not worth its copy, headers and all
_LEFT_SHARE: Final = 1 / 16  # of what is free: so much may stay dead
_RECORD_NBYTES: Final = 400  # about what a record takes beside its object, in log and index


@attrs.frozen(kw_only=True)
class HalfDead:
    """A segment of the log in which something lives, and what that takes, rewritten."""

    id: int
    nbytes: int
    needed_nbytes: int

    @property
    def gain_nbytes(self) -> int:
        """How much space there is more once it has gone."""
        return self.nbytes - self.needed_nbytes

    @property
    def gain_share(self) -> float:
        """The same as a share of its space."""
        return self.gain_nbytes / self.nbytes


def find_half_dead(state: State, *, without: Container[VersionId] = ()) -> list[HalfDead]:
    """All of them, the emptiest first; as if the versions in `without` were not there."""
    census = take_census(state, None, without=without)
    found = [
        HalfDead(
            id=segment.id,
            nbytes=segment.nbytes,
            needed_nbytes=segment.live_nbytes + _RECORD_NBYTES * census.records.get(segment.id, 0),
        )
        for segment in census.segment_states(state)
        # Where no object lives, there are notes of deletes: a copy of those is as long as they are.
        if segment.local and segment.stripe is None and segment.live_nbytes
    ]
    dead = [one for one in found if one.gain_share > _LEAST_GAIN]
    return sorted(dead, key=lambda one: (-one.gain_share, one.id))


def gain_nbytes(found: Iterable[HalfDead]) -> int:
    """How much space there is more once these have gone."""
    return sum(one.gain_nbytes for one in found)


def worth_a_copy(found: Sequence[HalfDead], *, free_nbytes: int) -> list[HalfDead]:
    """So many of them, the emptiest first, that little stays dead beside what is free then."""
    left_nbytes = gain_nbytes(found)
    worth = []
    for one in found:
        if left_nbytes <= _LEFT_SHARE * free_nbytes:
            break
        worth.append(one)
        left_nbytes -= one.gain_nbytes
        free_nbytes += one.gain_nbytes
    return worth


def choose_half_dead(found: Iterable[HalfDead], *, room_nbytes: int) -> frozenset[int]:
    """Choose those that free most for what they need; together they need no more than the space."""
    chosen: set[int] = set()
    for one in found:
        if one.needed_nbytes <= room_nbytes:
            chosen.add(one.id)
            room_nbytes -= one.needed_nbytes
    return frozenset(chosen)
