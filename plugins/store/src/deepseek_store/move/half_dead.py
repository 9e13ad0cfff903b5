"""Which segments of the home's log give room, once what still lives in them is written anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from deepseek_store.home.state import State
from deepseek_store.move.census import take_census
from deepseek_store.planning.steps import SegmentState
from deepseek_store.read.access_rates import AccessRates

_LEAST_GAIN: Final = 0.1  # less of a segment is not worth its copy, headers and all
_RECORD_NBYTES: Final = 400  # about what a record takes beside its object, in log and index


def choose_half_dead(state: State, heat: AccessRates, *, room_nbytes: int) -> frozenset[int]:
    """Those that give most for what they take; together they take no more than the room."""
    census = take_census(state, heat)
    chosen: set[int] = set()
    for segment in _by_gain(census.segment_states(state)):
        needed = segment.live_nbytes + _RECORD_NBYTES * census.records.get(segment.id, 0)
        if needed <= room_nbytes and needed < (1 - _LEAST_GAIN) * segment.nbytes:
            chosen.add(segment.id)
            room_nbytes -= needed
    return frozenset(chosen)


def _by_gain(segments: list[SegmentState]) -> Iterator[SegmentState]:
    # Where no object lives, there are notes of deletes: a copy of those is as long as they are.
    local = [one for one in segments if one.local and one.stripe is None and one.live_nbytes]
    yield from sorted(local, key=lambda one: one.live_nbytes / one.nbytes)
