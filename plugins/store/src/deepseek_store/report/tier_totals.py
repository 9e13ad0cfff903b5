"""Sums over all objects of a store, by columns: no record is made of any single one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import ne
from typing import Any, Final

import attrs
import numpy as np

from deepseek_store.home.state import State
from deepseek_store.index.packed import PackedVersions
from deepseek_store.log.records import unpack_extents
from deepseek_store.move.census import tier_of_segment
from deepseek_store.planning.heat import LN2
from deepseek_store.planning.policy import TIERS, TierName
from deepseek_store.read.access_rates import AccessRates

_EXTENT_WORDS: Final = 4  # segment, offset, nbytes, hash
_Column = Any  # a numpy array of one dimension


@attrs.frozen(kw_only=True)
class Tally:
    """What objects and bytes there are, by the coldest tier that a read of them has to go to.

    `live_nbytes` are bytes by segment that any version that is kept needs, of a snapshot too.
    `heat_bins`: objects by tier in each bin between borders, in accesses per second.
    """

    objects: Mapping[TierName, int]
    nbytes: Mapping[TierName, int]
    live_nbytes: Mapping[int, int]
    heat_bins: tuple[Mapping[TierName, int], ...]


def take_tally(
    state: State, heat: AccessRates, *, now_s: float, half_life_s: float, borders: Sequence[float]
) -> Tally:
    """Sum over the whole catalog once; `borders` in rising order."""
    packed = state.catalog.packed()
    if len(packed.extents.data) % (8 * _EXTENT_WORDS):
        unpack_extents(packed.extents.data)  # says what is wrong
    extents = np.frombuffer(packed.extents.data, dtype="<u8").reshape(-1, _EXTENT_WORDS)
    segments, which = np.unique(extents[:, 0], return_inverse=True)
    coldness = _coldness(state, segments.tolist())[which.ravel()]
    current = _current(packed)
    tiers = _coldest(packed, coldness)[current]
    nbytes = np.frombuffer(packed.nbytes, dtype=np.int64)[current]
    rates = _rates(packed, heat, now_s=now_s, half_life_s=half_life_s)[current]
    bins = np.searchsorted(np.asarray(borders), np.where(np.isfinite(rates), rates, 0.0), "right")
    cells = np.bincount(bins * len(TIERS) + tiers, minlength=(len(borders) + 1) * len(TIERS))
    return Tally(
        objects=_named(np.bincount(tiers, minlength=len(TIERS)).tolist()),
        nbytes=_named([int(nbytes[tiers == number].sum()) for number in range(len(TIERS))]),
        live_nbytes=_live(extents),
        heat_bins=tuple(map(_named, cells.reshape(-1, len(TIERS)).tolist())),
    )


def _named(values: Iterable[int]) -> Mapping[TierName, int]:
    return dict(zip(TIERS, values, strict=True))


def _coldness(state: State, segments: Iterable[int]) -> _Column:
    """The number of the tier of each segment."""
    found = [TIERS.index(tier_of_segment(state.segments.get(number), state)) for number in segments]
    return np.array(found, dtype=np.int64)


def _current(packed: PackedVersions) -> _Column:
    """Which rows are objects: the last of their key, and no tombstones."""
    current = np.frombuffer(packed.deleted, dtype=np.uint8) != 1
    if not packed.single:
        keys = packed.keys
        last = [*map(ne, keys, islice(keys, 1, None)), True]
        current &= np.array(last, dtype=bool)
    return current


def _coldest(packed: PackedVersions, coldness: _Column) -> _Column:
    """For each row the coldest of its extents."""
    ends = np.frombuffer(packed.extents.ends, dtype=np.int64)
    counts: _Column = (ends[1:] - ends[:-1]) // (8 * _EXTENT_WORDS)
    coldest = np.zeros(len(packed), dtype=np.int64)
    full = counts > 0
    if full.any():
        starts = np.cumsum(counts) - counts
        coldest[full] = np.maximum.reduceat(coldness, starts[full])
    return coldest


def _live(extents: _Column) -> Mapping[int, int]:
    """Bytes by segment, each place counted once, however many versions name it."""
    if not len(extents):
        return {}
    order = np.lexsort((extents[:, 1], extents[:, 0]))
    segment, offset, nbytes = (extents[order, column] for column in range(3))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (segment[1:] != segment[:-1]) | (offset[1:] != offset[:-1])
    found, starts = np.unique(segment[new], return_index=True)
    return dict(zip(found.tolist(), np.add.reduceat(nbytes[new], starts).tolist(), strict=True))


def _rates(
    packed: PackedVersions, heat: AccessRates, *, now_s: float, half_life_s: float
) -> _Column:
    """Accesses per second of each row's key, as they have decayed by now."""
    rates = np.full(len(packed), LN2 / half_life_s)
    since_s = np.array(packed.created_s)
    found = list(map(heat.picture().get, packed.keys))
    known = np.fromiter((one is not None for one in found), dtype=bool, count=len(found))
    rates[known] = [one[0] for one in found if one is not None]
    since_s[known] = [one[1] for one in found if one is not None]
    passed_s = now_s - since_s
    passed_s = np.where(np.isfinite(passed_s) & (passed_s > 0), passed_s, 0.0)
    return rates * np.exp2(-passed_s / half_life_s)
