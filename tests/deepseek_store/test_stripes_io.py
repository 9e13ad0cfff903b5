"""Stripes are written whole or not at all, and read whatever the code can bear to lose."""

import random
from collections.abc import Iterator

import pytest
import xxhash
from stripes_kit import (
    STORE,
    WatchedTier,
    flipped,
    payload_of,
    random_segments,
    watched,
    write,
)

from deepseek_core import errors
from deepseek_store.codes import Code
from deepseek_store.errors import Corrupt, Unrecoverable
from deepseek_store.stripes import Place, StripeIO, place
from deepseek_store.stripes.identity import FragmentFault
from deepseek_store.stripes.outage import Failed

CODES = ["replication(1)", "replication(3)", "rs(6,3)", "lrc(12,2,2)"]


@pytest.fixture
def tier() -> WatchedTier:
    return watched("stripes-io", 20)


@pytest.fixture
def io(tier: WatchedTier) -> Iterator[StripeIO]:
    with StripeIO([tier], STORE, threads=4) as io:
        yield io


@pytest.fixture
def rng() -> random.Random:
    return random.Random(6)


def gone(*indexes: int) -> Failed:
    return {index: FragmentFault(index=index, kind="missing") for index in indexes}


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("even", [True, False])
def test_every_segment_comes_back_by_one_ranged_get(
    code: str, even: bool, io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    for number in range(1, 4):
        count = rng.randint(1, Code.parse(code).k)
        segments = random_segments(rng, count, 3000, even=even)
        stripe = write(io, number, segments, code)
        assert not io.check(stripe)
        for segment, content in segments:
            index = stripe.index_of(segment)
            start = rng.randrange(len(content))
            nbytes = rng.randint(0, 2 * len(content))
            tier.gets.clear()
            assert io.read(stripe, index, start, nbytes) == content[start : start + nbytes]
            assert len(tier.gets) == (1 if nbytes else 0)


@pytest.mark.parametrize("code", CODES[1:])
def test_any_tolerated_losses_are_read_around(
    code: str, io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    parsed = Code.parse(code)
    for number in range(1, 16):
        segments = random_segments(rng, rng.randint(1, parsed.k), 2000)
        stripe = write(io, number, segments, code)
        lost = rng.sample(stripe.stored, min(parsed.tolerance, len(stripe.stored) - 1))
        for index in lost:
            tier.delete(stripe.fragments[index].key)
        for index in (index for index in lost if index < len(segments)):
            content = segments[index][1]
            start = rng.randrange(len(content))
            nbytes = rng.randint(1, len(content))
            right = content[start : start + nbytes]
            failed: Failed = {}
            assert io.read_degraded(stripe, index, start, nbytes, failed=failed) == right
            assert index in failed
            assert failed.keys() <= set(lost)
            assert io.read_degraded(stripe, index, start, nbytes, failed=gone(*lost)) == right


def test_a_single_loss_reads_the_same_range_of_its_group_and_no_more(
    io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    segments = random_segments(rng, 12, 2000, even=True)
    stripe = write(io, 1, segments, "lrc(12,2,2)")
    tier.delete(stripe.fragments[3].key)
    tier.gets.clear()
    failed: Failed = {}
    assert io.read_degraded(stripe, 3, 500, 100, failed=failed) == segments[3][1][500:600]
    group = set(stripe.code.members(3)) - {3}
    assert failed.keys() == {3}
    assert sorted(tier.gets) == sorted(
        (stripe.fragments[i].key, stripe.payload_start(i) + 500, 100) for i in group
    )


def test_failures_met_on_the_way_are_told(
    io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    segments = random_segments(rng, 12, 500, even=True)
    stripe = write(io, 1, segments, "lrc(12,2,2)")
    tier.down = {stripe.fragments[4].domain}
    failed: Failed = {}
    assert io.read_degraded(stripe, 3, 0, 500, failed=failed) == segments[3][1]
    assert failed.keys() == {3, 4}
    # Who is told once asks no more.
    tier.gets.clear()
    assert io.read_degraded(stripe, 4, 0, 500, failed=failed) == segments[4][1]
    assert stripe.fragments[4].key not in {key for key, _, _ in tier.gets}


def test_ranges_beyond_shorter_fragments_count_as_zeros(io: StripeIO, tier: WatchedTier) -> None:
    segments = [(1, b"long" * 100), (2, b"brief"), (3, b"x")]
    stripe = write(io, 1, segments, "rs(4,2)")
    tier.gets.clear()
    assert io.read_degraded(stripe, 0, 396, 100, failed={}) == b"long"
    assert len(tier.gets) == 1  # the others end before; one parity is enough
    assert io.read_degraded(stripe, 1, 3, 100, failed={}) == b"ef"
    assert io.read_degraded(stripe, 1, 5, 100, failed={}) == b""


def test_a_long_range_is_rebuilt_in_pieces_of_bounded_memory(rng: random.Random) -> None:
    tier = watched("stripes-pieces", 20)
    with StripeIO([tier], STORE, budget_nbytes=1) as io:
        segments = random_segments(rng, 6, 200_000, even=True)
        stripe = write(io, 1, segments, "rs(6,3)")
        tier.gets.clear()
        right = segments[2][1][777:]
        assert io.read_degraded(stripe, 2, 777, 1 << 30, failed=gone(7)) == right
        assert {nbytes for _, _, nbytes in tier.gets} == {1 << 16, 199_223 % (1 << 16)}


def test_a_tier_that_is_not_open_is_a_fault_like_others(
    tier: WatchedTier, rng: random.Random
) -> None:
    second = watched("stripes-second", 2)
    with StripeIO([tier, second], STORE) as io:
        segments = random_segments(rng, 19, 200)
        stripe = write(io, 0, segments, "rs(19,3)")
    with StripeIO([tier, None], STORE) as io:
        found = io.discover()
        assert found.unreachable == (Place(tier=1),)
        assert found.stripes[0].lost == (20, 21)
        assert not io.check(io.repair(found.stripes[0]))
    with StripeIO([tier], STORE) as io:
        assert [io.read_degraded(stripe, 2, 0, 200, failed=gone(2))] == [segments[2][1]]
        faults = io.check(stripe)
        assert [(fault.index, fault.kind) for fault in faults] == [
            (20, "unreachable"),
            (21, "unreachable"),
        ]
        assert "tier number 1" in faults[0].detail
        repaired = io.repair(stripe, faults)
        assert not io.check(repaired)
        assert len(io.delete(stripe)) == 2


def test_more_losses_than_the_code_bears_are_told_with_their_list(
    io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    stripe = write(io, 1, random_segments(rng, 6, 500), "rs(6,3)")
    for index in (0, 2, 7, 8):
        tier.delete(stripe.fragments[index].key)
    before = tier.content()
    with pytest.raises(Unrecoverable, match=r"stripe 1: RS\(6,3\)") as caught:
        io.read_degraded(stripe, 0, 0, 100, failed={})
    assert set(caught.value.lost) == {0, 2, 7, 8}
    assert caught.value.url == tier.url
    assert tier.content() == before


def test_a_missing_an_unreachable_and_a_short_fragment_are_told_apart(
    io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    stripe = write(io, 1, random_segments(rng, 3, 500, even=True), "rs(3,2)")
    gone, away, short = stripe.fragments[:3]
    tier.delete(gone.key)
    tier.down = {away.domain}
    tier.replace(short.key, tier.inner.get(short.key)[:200])
    for index, error in enumerate((errors.ObjectMissing, errors.TierUnavailable, Corrupt)):
        with pytest.raises(error):
            payload_of(io, stripe, index)


def test_a_short_last_stripe_stores_no_zeros(rng: random.Random) -> None:
    tier = watched("stripes-short", 150)
    with StripeIO([tier], STORE) as io:
        for count, efficiency in ((35, 0.833), (70, 0.897), (105, 0.921)):
            stripe = write(io, count, random_segments(rng, count, 65536, even=True), "lrc(140,4,6)")
            assert len(stripe.stored) == count + count // 35 + 6
            assert count / len(stripe.stored) == pytest.approx(efficiency, abs=0.0006)
            assert not io.check(stripe)
            lost = {0, *rng.sample(stripe.stored, 6)}
            right = payload_of(io, stripe, 0)
            assert io.read_degraded(stripe, 0, 0, 65536, failed=gone(*lost)) == right
    tier.inner.clear()


def test_a_full_wide_stripe_is_as_efficient_as_it_promises() -> None:
    tier = watched("stripes-wide", 150)
    content = random.Random(1).randbytes(1 << 19)
    with StripeIO([tier], STORE) as io:
        stripe = write(io, 1, [(n + 1, content) for n in range(140)], "lrc(140,4,6)")
    stored = sum(found.nbytes for found in tier.list())
    assert stored == stripe.object_nbytes
    assert 140 * len(content) / (stored + len(stripe.to_bytes())) >= 0.930
    tier.inner.clear()


def test_no_more_is_in_flight_than_threads_and_budget_allow(rng: random.Random) -> None:
    tier = watched("stripes-flight", 20)
    segments = random_segments(rng, 12, 4096, even=True)
    for budget_nbytes, most in ((1 << 30, 3), (3 * 4096, 1), (1, 1)):
        with StripeIO([tier], STORE, threads=3, budget_nbytes=budget_nbytes) as io:
            tier.most_at_once = 0
            stripe = write(io, budget_nbytes, segments, "lrc(12,2,2)")
            assert 1 <= tier.most_at_once <= most
            assert not io.check(stripe)


@pytest.mark.parametrize("fault", ["down", "full", "lying"])
def test_a_place_that_fails_is_replaced_by_a_spare(
    fault: str, io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    places = io.places()
    getattr(tier, fault).update({"d001", "d004"})
    segments = random_segments(rng, 6, 500)
    stripe = io.write(1, segments, Code.parse("rs(6,3)"), places[:9], spares=places)
    assert not io.check(stripe)
    used = {each.domain for each in stripe.fragments}
    assert len(used) == 9
    assert used == {f"d{n:03d}" for n in range(11)} - {"d001", "d004"}
    tier.down.clear()
    # The lying domains keep nothing either: what read back wrong is deleted.
    assert set(tier.content()) == {each.key for each in stripe.fragments}


@pytest.mark.parametrize(
    ("fault", "error"),
    [("down", errors.TierUnavailable), ("full", errors.TierFull), ("lying", Corrupt)],
)
def test_a_stripe_that_fits_nowhere_leaves_nothing_behind(
    fault: str, error: type[Exception], io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    kept = write(io, 1, random_segments(rng, 6, 500), "rs(6,3)")
    before = tier.content()
    places = io.places()
    getattr(tier, fault).update({"d001", "d010"})
    with pytest.raises(error):
        io.write(
            2, random_segments(rng, 6, 500), Code.parse("rs(6,3)"), places[:9], spares=[places[10]]
        )
    assert tier.content() == before
    tier.down.clear()
    assert not io.check(kept)


def test_a_write_that_only_seemed_to_fail_is_taken(
    io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    tier.flaky = {"d003"}
    stripe = write(io, 3, random_segments(rng, 15, 500), "rs(15,4)")
    assert not tier.flaky
    assert not io.check(stripe)
    assert {each.generation for each in stripe.fragments} == {1}


def test_what_a_write_that_seemed_to_fail_left_is_deleted_when_it_is_wrong_or_in_vain(
    io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    segments = random_segments(rng, 6, 500)
    code, places = Code.parse("rs(6,3)"), io.places()[:9]
    tier.flaky, tier.lying = {"d003"}, {"d003"}
    with pytest.raises(Corrupt):
        io.write(1, segments, code, places)
    tier.flaky, tier.lying, tier.full = {"d000"}, set(), {"d008"}
    with pytest.raises(errors.TierFull):
        io.write(1, segments, code, places)
    assert not tier.content()


def test_writing_the_same_again_after_a_crash_takes_what_is_there(
    io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    segments = random_segments(rng, 6, 500)
    first = write(io, 1, segments, "rs(6,3)")
    before = tier.content()
    assert write(io, 1, segments, "rs(6,3)") == first
    assert tier.content() == before


def test_a_taken_key_is_passed_by_and_its_object_kept(
    io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    taken = write(io, 1, random_segments(rng, 6, 500), "rs(6,3)")
    before = tier.content()
    segments = random_segments(rng, 6, 500, first=50)
    stripe = write(io, 1, segments, "rs(6,3)")
    assert (taken.generation, stripe.generation) == (1, 2)
    assert not io.check(taken)
    assert not io.check(stripe)
    assert before.items() <= tier.content().items()
    io.delete(stripe)
    assert tier.content() == before


@pytest.mark.parametrize(
    ("segments", "places", "said"),
    [
        ([], 5, "0 segments"),
        ([(n, b"x") for n in range(1, 5)], 5, "4 segments"),
        ([(1, b"x"), (1, b"y")], 5, "given twice"),
        ([(0, b"x")], 5, "numbered from 1"),
        ([(1, b"x"), (2, b"")], 5, "empty segment"),
        ([(1, b"x")], 4, "4 places"),
    ],
)
def test_what_makes_no_stripe_is_refused_before_anything_is_written(
    segments: list[tuple[int, bytes]], places: int, said: str, io: StripeIO, tier: WatchedTier
) -> None:
    with pytest.raises(errors.InputError, match=said):
        io.write(1, segments, Code.parse("rs(3,2)"), io.places()[:places])
    assert not tier.content()


def test_a_store_id_of_another_length_is_refused() -> None:
    with pytest.raises(errors.InputError, match="16 bytes"):
        StripeIO([], b"short")


def test_any_buffer_is_a_segment(io: StripeIO) -> None:
    contents = [b"bytes", bytearray(b"bytearray"), memoryview(b"..view..")[2:6]]
    stripe = write(io, 1, [(n + 1, each) for n, each in enumerate(contents)], "rs(3,2)")
    assert [payload_of(io, stripe, n) for n in range(3)] == [b"bytes", b"bytearray", b"view"]


def test_a_stripe_may_run_over_several_tiers(rng: random.Random) -> None:
    near, far, whole = watched("near", 3), watched("far", 4), watched("whole", 0)
    with StripeIO([near, far, whole], STORE) as io:
        assert io.places([2]) == (Place(tier=2),)
        segments = random_segments(rng, 6, 500)
        stripe = write(io, 1, segments, "rs(6,2)")
        assert len({each.place for each in stripe.fragments}) == 8
        assert [len(tier.content()) for tier in (near, far, whole)] == [3, 4, 1]
        assert not io.check(stripe)
        near.inner.clear()
        with pytest.raises(Unrecoverable):
            io.repair(stripe, io.check(stripe))
        assert not io.delete(stripe)
        assert not far.content() | whole.content()


def test_what_can_not_be_deleted_is_told(io: StripeIO, tier: WatchedTier) -> None:
    stripe = write(io, 1, [(1, b"x")], "replication(3)")
    tier.down = {stripe.fragments[2].domain}
    assert io.delete(stripe) == (stripe.fragments[2],)
    tier.down.clear()
    assert not io.delete(stripe)
    assert not tier.content()


def digest(data: bytes) -> int:
    return xxhash.xxh3_64_intdigest(data)


def test_a_verified_read_goes_around_silent_faults_of_several_fragments(
    io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    segments = random_segments(rng, 12, 800, even=True)
    stripe = write(io, 1, segments, "lrc(12,2,2)")
    for index in (0, 4, 12):  # itself, one of its group, and the group's parity
        place = stripe.fragments[index]
        at = stripe.payload_start(index) + 150 + index
        tier.replace(place.key, flipped(tier.inner.get(place.key), at))
    right = segments[0][1][100:200]
    failed: Failed = {}
    assert io.read_verified(stripe, 0, 100, 100, xxh3=digest(right), failed=failed) == right
    assert failed.keys() == {0, 4, 12}
    # Elsewhere the fragment is good, and nobody is asked for nothing.
    tier.gets.clear()
    right = segments[0][1][300:400]
    assert io.read_verified(stripe, 0, 300, 100, xxh3=digest(right)) == right
    assert len(tier.gets) == 1


def test_a_verified_read_never_returns_a_swapped_fragment(
    io: StripeIO, tier: WatchedTier, rng: random.Random
) -> None:
    segments = random_segments(rng, 6, 800, even=True)
    stripe = write(io, 1, segments, "rs(6,3)")
    other = write(io, 2, random_segments(rng, 6, 800, first=9, even=True), "rs(6,3)")
    for index in (0, 1, 2):
        tier.replace(stripe.fragments[index].key, tier.inner.get(other.fragments[index].key))
    for index, (_, content) in enumerate(segments):
        right = content[10:500]
        assert io.read_verified(stripe, index, 10, 490, xxh3=digest(right)) == right
    tier.replace(stripe.fragments[8].key, tier.inner.get(other.fragments[8].key))
    with pytest.raises(Unrecoverable):
        io.read_verified(stripe, 0, 10, 490, xxh3=digest(segments[0][1][10:500]))


def test_a_hash_that_fits_no_fragment_is_told_as_such(io: StripeIO, rng: random.Random) -> None:
    stripe = write(io, 1, random_segments(rng, 6, 800), "rs(6,3)")
    with pytest.raises(Corrupt, match="another hash") as caught:
        io.read_verified(stripe, 0, 0, 100, xxh3=1)
    assert not isinstance(caught.value, Unrecoverable)


def test_stripes_of_any_code_are_read_by_their_own(io: StripeIO, rng: random.Random) -> None:
    # Nothing in a StripeIO is configured with a code: each stripe brings its own.
    written = {}
    for number, code in enumerate(["rs(4,2)", "lrc(8,2,2)", "rs(10,4)", "replication(2)"], 1):
        segments = random_segments(rng, Code.parse(code).k, 300)
        written[number] = (code, segments)
        write(io, number, segments, code)
    for stripe in io.discover().stripes:
        code, segments = written[stripe.id]
        assert stripe.code == Code.parse(code)
        for index, (_, content) in enumerate(segments):
            assert io.read_degraded(stripe, index, 0, len(content), failed={}) == content


def test_decodable_knows_of_zeros(io: StripeIO) -> None:
    stripe = write(io, 1, [(1, b"one segment only")], "rs(6,3)")
    assert io.decodable(stripe, {0, 6, 7})
    assert not io.decodable(stripe, {0, 6, 7, 8})
    assert place(stripe.code, io.places(), turn=1)[0] == stripe.fragments[0].place
