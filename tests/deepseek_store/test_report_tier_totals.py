"""Sums by columns are those of a census, which makes a record of each object."""

import math
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_store import Policy, Store
from deepseek_store.errors import Corrupt
from deepseek_store.home.state import State
from deepseek_store.index.packed import PackedVersions
from deepseek_store.index.rows import SegmentRow, Version
from deepseek_store.log.records import Extent, pack_extents
from deepseek_store.move.census import take_census
from deepseek_store.planning.heat import rate_at
from deepseek_store.planning.policy import TIERS
from deepseek_store.read.access_rates import AccessRates
from deepseek_store.report.tier_totals import Tally, take_tally

BORDERS = (0.001, 0.01, 0.1)
NOW_S = 1000.0
HALF_LIFE_S = 50.0


class Remembered:
    """Heats as an index would give them."""

    def __init__(self, rows: dict[str, tuple[float, float]]) -> None:
        self.rows = rows

    def heat(self) -> dict[str, tuple[float, float]]:
        return self.rows

    def heat_of(self, keys: object) -> dict[str, tuple[float, float]]:
        raise AssertionError("a sum needs all of them")


def tally(state: State, heat: AccessRates) -> Tally:
    return take_tally(state, heat, now_s=NOW_S, half_life_s=HALF_LIFE_S, borders=BORDERS)


def agrees_with_the_census(state: State, heat: AccessRates) -> None:
    census = take_census(state, heat)
    found = tally(state, heat)
    bins = [dict.fromkeys(TIERS, 0) for _ in range(len(BORDERS) + 1)]
    nbytes: Counter[str] = Counter()
    for each in census.objects:
        rate = rate_at(each.heat, NOW_S, HALF_LIFE_S)
        assert math.isfinite(rate)
        bins[sum(rate >= border for border in BORDERS)][each.tier] += 1
        nbytes[each.tier] += each.nbytes
    assert list(found.heat_bins) == bins
    assert found.objects == {tier: sum(bin_[tier] for bin_ in bins) for tier in TIERS}
    assert found.nbytes == {tier: nbytes[tier] for tier in TIERS}
    assert found.live_nbytes == census.live_nbytes


# One place holds the same bytes, whoever names it.
extents = st.lists(
    st.builds(lambda s, o: Extent(s, o, 7 * s + o, s), st.integers(1, 4), st.integers(0, 3)),
    max_size=3,
)
versions = st.lists(
    st.builds(
        lambda key, generation, deleted, nbytes, created_s, pieces: Version(
            key=key,
            generation=generation,
            writer=1,
            deleted=deleted,
            nbytes=nbytes,
            created_s=created_s,
            extents=b"" if deleted else pack_extents(pieces),
        ),
        st.sampled_from("abcde"),
        st.integers(1, 9),
        st.booleans(),
        st.integers(0, 99),
        st.floats(0, 2000),
        extents,
    ),
    max_size=12,
    unique_by=lambda version: version.id,
)
heats = st.dictionaries(
    st.sampled_from("abcxy"), st.tuples(st.floats(0, 10), st.floats(0, 2000)), max_size=4
)


@settings(deadline=None)
@given(versions, heats)
def test_columns_give_the_sums_of_records(
    found: list[Version], rows: dict[str, tuple[float, float]]
) -> None:
    state = State(None, None)  # type: ignore[arg-type] - nothing asks an index
    state.catalog.replace(PackedVersions.of(found[::2]))
    for version in found[1::2]:
        state.catalog.apply(version)
    for number in range(1, 4):
        state.segments[number] = SegmentRow(id=number, writer=1, state="sealed")
    heat = AccessRates(HALF_LIFE_S, Remembered(rows))
    agrees_with_the_census(state, heat)


def test_a_store_over_tiers_is_summed_as_its_census_has_it(tmp_path: Path) -> None:
    folders = [tmp_path / "warm", tmp_path / "cold"]
    for folder in folders:
        folder.mkdir()
    warm, cold = (f"{folder.as_uri()}?domains=6" for folder in folders)
    policy = Policy(
        half_life_s=HALF_LIFE_S, codes={"hot": "auto", "warm": "rs(4,2)", "cold": "rs(4,2)"}
    )
    rng = random.Random(7)
    with Store.init(tmp_path / "home", warm=[warm], cold=[cold], policy=policy) as store:
        for number in range(30):
            store.put(f"k/{number:02d}", rng.randbytes(rng.randrange(200_000)))
        store.snapshot("before")
        for number in range(0, 30, 3):
            store.put(f"k/{number:02d}", b"again")
        for number in range(1, 30, 7):
            store.delete(f"k/{number:02d}")
        store.maintenance.send([f"k/{number:02d}" for number in (2, 3, 5, 9)], "warm")
        store.maintenance.send([f"k/{number:02d}" for number in (6, 11, 12)], "cold")
        for number in (2, 2, 6):
            store.get(f"k/{number:02d}")
        parts = store.parts
        parts.heat.settle(NOW_S)
        agrees_with_the_census(parts.state, parts.heat)
        assert sum(tally(parts.state, parts.heat).objects.values()) == len(store)


def test_extents_of_no_whole_length_are_told_as_damage() -> None:
    state = State(None, None)  # type: ignore[arg-type] - nothing asks an index
    odd = Version(key="k", generation=1, writer=1, extents=b"odd")
    state.catalog.replace(PackedVersions.of([odd]))
    with pytest.raises(Corrupt):
        tally(state, AccessRates(HALF_LIFE_S))
