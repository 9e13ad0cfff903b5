"""The numbers that a rebuilt index goes on with: above all that were ever used.

What was found tells of what is there. What was deleted, and what lies where it can't be reached,
is known from the home's file, from the old index and from the marks on the tiers; where none of
them is left, the numbers leap so far that they meet no old one.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from deepseek_core import DeepSeekError
from deepseek_store.check.rebuild_scan import Found
from deepseek_store.errors import ReadOnlyStore
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.numbers import Marks, Numbers
from deepseek_store.index.opening import open_index

# Of segments and stripes some 2**42 at most, of 2**63; of generations more than one store writes.
_LEAP: Final = 1 << 30
_STEP: Final = 1 << 12


def count_on(
    home: Path, config: StoreConfig, found: Found, numbers: Numbers, promised: Marks, *, leap: bool
) -> None:
    """Raise the highest numbers of what was found to what may have been used.

    `promised`: how far the marks on the tiers allow their owners to have come. `leap`: a copy of
    this store may have gone on, and go on still.
    """
    noted, old = numbers.read(), _of_old_index(home, config)
    known = Marks(
        segment=found.highest_segment, stripe=found.highest_stripe, generation=found.clock
    )
    known |= old or Marks()
    known |= noted or Marks()
    if noted is None:
        known |= promised
    if leap or (noted is None and found.unreachable):
        far = (1 + secrets.randbelow(_LEAP)) * _STEP
        known |= Marks(
            segment=known.segment + far,
            stripe=known.stripe + far,
            generation=known.generation + _STEP,
        )
    found.highest_segment, found.highest_stripe = known.segment, known.stripe
    found.clock = known.generation


def _of_old_index(home: Path, config: StoreConfig) -> Marks | None:
    """What the index that is replaced has counted; None if it can't be read any more."""
    try:
        refusal = ReadOnlyStore("the old index is only looked at", url=str(home))
        with open_index(config.index, home, config.store_id, read_only=refusal) as index:
            counters, clock = index.counters(), index.clock()
    except DeepSeekError:
        return None
    return Marks(
        segment=counters.get("segment", 0), stripe=counters.get("stripe", 0), generation=clock
    )
