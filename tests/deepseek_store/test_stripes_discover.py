"""All stripes are found again from what lies on the tiers."""

import random
from collections.abc import Iterator

import attrs
import pytest
from stripes_kit import (
    OTHER_STORE,
    STORE,
    WatchedTier,
    flipped,
    payload_of,
    random_segments,
    watched,
    write,
)

from deepseek_store.codes import Code
from deepseek_store.errors import Unrecoverable
from deepseek_store.stripes import FragmentPlace, Stripe, StripeIO, superseded

CODES = ["rs(6,3)", "lrc(12,2,2)", "replication(3)", "replication(1)", "rs(10,4)"]


@pytest.fixture
def tiers() -> list[WatchedTier]:
    return [watched("discover-0", 12), watched("discover-1", 6), watched("discover-2", 0)]


@pytest.fixture
def io(tiers: list[WatchedTier]) -> Iterator[StripeIO]:
    with StripeIO(tiers, STORE, threads=4) as io:
        yield io


def some_stripes(io: StripeIO, count: int, seed: int = 1) -> dict[int, Stripe]:
    rng = random.Random(seed)
    stripes = {}
    for number in range(1, count + 1):
        code = CODES[number % len(CODES)]
        segments = random_segments(rng, rng.randint(1, Code.parse(code).k), 300, first=100 * number)
        warmth = rng.choice(["warm", "cold"])
        stripes[number] = write(io, number, segments, code, tier=warmth)
    return stripes


def test_what_was_written_is_found_as_it_is(io: StripeIO) -> None:
    stripes = some_stripes(io, 15)
    found = io.discover()
    assert found.stripes == tuple(stripes.values())
    assert not found.strays
    assert not found.unreachable
    assert not any(stripe.lost for stripe in found.stripes)


def test_nothing_is_found_where_nothing_lies(io: StripeIO) -> None:
    assert not io.discover().stripes


def drop(io: StripeIO, stripe: Stripe, *indexes: int) -> None:
    assert not io.delete_fragments(stripe.fragments[index] for index in indexes)


def test_without_parities_the_data_speaks_for_itself(io: StripeIO) -> None:
    stripe = write(io, 1, random_segments(random.Random(2), 4, 300), "lrc(12,2,2)")
    drop(io, stripe, 12, 14, 15)
    found = io.discover()
    assert found.stripes[0].fragments[:12] == stripe.fragments[:12]
    assert found.stripes[0].lost == (12, 14, 15)
    repaired = io.repair(found.stripes[0])
    assert not io.check(repaired)
    assert [each.xxh3 for each in repaired.fragments] == [each.xxh3 for each in stripe.fragments]


@pytest.mark.parametrize("seed", range(5))
def test_lost_segments_are_named_by_any_parity_and_rebuilt(io: StripeIO, seed: int) -> None:
    rng = random.Random(seed)
    segments = random_segments(rng, 9, 300, first=70)
    stripe = write(io, 1, segments, "lrc(12,2,2)")
    lost = rng.sample(stripe.stored, 3)
    drop(io, stripe, *lost)
    (found,) = io.discover().stripes
    assert set(found.lost) == set(lost)
    for index in range(9):
        assert found.fragments[index].segment == 70 + index
        assert found.fragments[index].nbytes == stripe.fragments[index].nbytes
    repaired = io.repair(found)
    assert not io.check(repaired)
    assert [payload_of(io, repaired, i) for i in range(9)] == [content for _, content in segments]


def test_parities_alone_know_the_whole_stripe(io: StripeIO) -> None:
    stripe = write(io, 1, [(7, b"the only segment")], "rs(6,3)")
    drop(io, stripe, 0)
    (found,) = io.discover().stripes
    lost = attrs.evolve(stripe.fragments[0], tier=0, domain="", key="", generation=0)
    assert found.fragments == (lost, *stripe.fragments[1:])
    assert payload_of(io, io.repair(found), 0) == b"the only segment"


def test_a_segment_whose_name_is_lost_with_all_parities_is_not_made_up(
    io: StripeIO, tiers: list[WatchedTier]
) -> None:
    stripe = write(io, 1, random_segments(random.Random(3), 6, 300), "rs(6,3)")
    drop(io, stripe, 2, 6, 7, 8)
    (found,) = io.discover().stripes
    assert found.lost == (2, 6, 7, 8)
    assert found.fragments[2] == FragmentPlace(nbytes=stripe.nbytes)
    before = [tier.content() for tier in tiers]
    with pytest.raises(Unrecoverable):
        io.repair(found)
    assert [tier.content() for tier in tiers] == before


def test_the_newest_generation_wins_and_the_older_is_a_stray(io: StripeIO) -> None:
    stripe = write(io, 1, random_segments(random.Random(4), 6, 300), "rs(6,3)")
    faults = [fault for fault in io.check(stripe) if fault]
    assert not faults
    broken = stripe.with_fragments({3: attrs.evolve(stripe.fragments[3], key="")}, 1)
    repaired = io.repair(broken)
    found = io.discover()
    assert found.stripes == (repaired,)
    (stray,) = found.strays
    assert (stray.kind, stray.key) == ("superseded", stripe.fragments[3].key)
    assert not io.delete_fragments(superseded(stripe, repaired))
    assert not io.discover().strays


def test_what_no_stripe_counts_is_told_and_why(io: StripeIO, tiers: list[WatchedTier]) -> None:
    stripes = some_stripes(io, 6, seed=5)
    with StripeIO(tiers, OTHER_STORE) as stranger:
        theirs = write(stranger, 99, [(1, b"theirs")], "replication(1)")
    tiers[0].put_if_absent("d001/stripes/notes.txt", b"hello")
    tiers[0].put_if_absent("elsewhere/0000000000000001/000.1", b"not ours to look at")
    victim = stripes[6]  # lrc(12,2,2)
    places = [victim.fragments[index] for index in (12, 14, 15)]
    contents = [tiers[place.tier].get(place.key) for place in places]
    tiers[places[0].tier].replace(places[0].key, flipped(contents[0], 60))
    tiers[places[1].tier].replace(places[1].key, contents[2])
    tiers[places[2].tier].replace(places[2].key, contents[2][:-1])
    found = io.discover()
    assert {stray.key: stray.kind for stray in found.strays} == {
        theirs.fragments[0].key: "foreign",
        "d001/stripes/notes.txt": "foreign",
        places[0].key: "corrupt",
        places[1].key: "swapped",
        places[2].key: "truncated",
    }
    (incomplete,) = (stripe for stripe in found.stripes if stripe.lost)
    assert (incomplete.id, incomplete.lost) == (6, (12, 14, 15))
    repaired = io.repair(incomplete)
    # The broken ones of generation 1 hold their keys; the new ones pass them by.
    assert not io.check(repaired)


def test_a_domain_that_can_not_be_listed_is_told(io: StripeIO, tiers: list[WatchedTier]) -> None:
    stripe = write(io, 1, random_segments(random.Random(6), 6, 300), "rs(6,3)")
    away = stripe.fragments[4]
    tiers[away.tier].down = {away.domain}
    found = io.discover()
    assert found.unreachable == (away.place,)
    assert found.stripes[0].lost == (4,)
    tiers[away.tier].down.clear()
    assert io.discover().stripes == (stripe,)


def test_of_two_writes_under_one_number_the_more_complete_one_counts(io: StripeIO) -> None:
    """A crash, a number given twice: fragments of both lie there, and must not be mixed."""
    rng = random.Random(7)
    dead = write(io, 1, random_segments(rng, 6, 300), "rs(6,3)")
    drop(io, dead, 0, 1, 2, 3)
    code = Code.parse("rs(6,3)")
    segments = random_segments(rng, 6, 300, first=50)
    live = io.write(1, segments, code, io.places()[9:18], created_s=1000.0)
    found = io.discover()
    assert found.stripes == (live,)
    assert {stray.kind for stray in found.strays} == {"superseded"}
    assert len(found.strays) == 5
    assert not io.check(live)


def test_only_the_places_asked_for_are_looked_at(io: StripeIO) -> None:
    some_stripes(io, 3)
    (place,) = io.places([2])
    found = io.discover([place])
    assert all(each.tier == 2 for stripe in found.stripes for each in stripe.fragments if each.key)
