"""Holds an index against what its store has used and said: an older one is noticed.

An index that lacks no more than what the log tells is caught up. One that has missed what was moved
or removed is refused: what it names may be gone, and what it does not know may be all there is.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Final

import attrs

from deepseek_store.commands import command
from deepseek_store.home.numbers import Marks, Numbers
from deepseek_store.home.owner_epochs import outdated
from deepseek_store.home.pins_and_snapshots import PinsAndSnapshots
from deepseek_store.home.state import State
from deepseek_store.index.base import Index
from deepseek_store.index.rows import Batch

_LOG: Final = logging.getLogger(__name__)
INCOMPLETE: Final = "incomplete"
"""An entry of the index's meta table: why it is known to lack something that is stored."""


@attrs.frozen(kw_only=True)
class Ages:
    """The numbers of an index, and those that its store has noted; `is_behind`: it has less."""

    index: Marks
    noted: Marks

    @property
    def is_behind(self) -> bool:
        """Whether segments were begun that the index does not know of."""
        return self.index.segment < self.noted.segment


def compare(home: Path, index: Index, numbers: Numbers) -> Ages:
    """How old an index is.

    Raises:
        IndexOutdated: it has missed more than what the log can tell.
    """
    noted = numbers.read() or Marks()
    counters = index.counters()
    found = Marks(
        segment=counters.get("segment", 0), stripe=counters.get("stripe", 0), seq=index.poll()
    )
    if found.stripe < noted.stripe:
        raise outdated(home, f"it counts {found.stripe} stripes of {noted.stripe}")
    if found.seq < noted.seq:
        raise outdated(home, f"it ends at change {found.seq} of {noted.seq}")
    return Ages(index=found, noted=noted)


def check_files(home: Path, state: State, present: Collection[int]) -> None:
    """Make sure that an index which is behind its log still finds there what it names.

    Raises:
        IndexOutdated: something was removed that it does not know of.
    """
    # Counted before a file is made, so what others begin meanwhile does no harm.
    if max(present, default=0) <= state.index.counters().get("segment", 0):
        return
    there = set(present)
    gone = sum(
        row.local and row.state == "sealed" and row.id not in there
        for row in state.segments.values()
    )
    if gone:
        raise outdated(
            home, f"{gone} segments that it names were removed, and later ones are there"
        )


def settle(
    home: Path, state: State, numbers: Numbers, ages: Ages, segments: Collection[int]
) -> None:
    """Let the index and the home's file both have the highest numbers that are known."""
    highest = max([*segments, *state.segments, ages.index.segment, ages.noted.segment], default=0)
    stripes = max([*state.stripes, *state.given_up, ages.index.stripe], default=0)
    if highest > ages.index.segment:
        state.index.raise_counter("segment", highest)
    if stripes > ages.index.stripe:
        state.index.raise_counter("stripe", stripes)
    if ages.noted.generation > state.catalog.clock:
        state.index.raise_clock(ages.noted.generation)
        state.catalog.clock = ages.noted.generation
    if (why := state.index.meta().get(INCOMPLETE)) is not None:
        _LOG.warning("%s: %s", why, command("rebuild", home))
    if ages.is_behind:
        _LOG.warning("the index of %s was older than its log, from which it was caught up", home)
        _pin_again(home, state)
    numbers.raise_to(
        Marks(segment=highest, stripe=stripes, generation=state.catalog.clock, seq=ages.noted.seq)
    )


def _pin_again(home: Path, state: State) -> None:
    """An older index has older pins; the home's notes have them as they are."""
    pins: dict[str, str | None] = dict(PinsAndSnapshots.load(home).pins)
    changed = {key: tier for key, tier in pins.items() if state.pins.get(key) != tier}
    changed |= {key: None for key in state.pins if key not in pins}
    if changed:
        state.commit(Batch(pins=changed))
