"""Repair reads what it must, writes elsewhere, and may die at any moment."""

import random
from collections import Counter

import pytest
from stripes_kit import (
    STORE,
    Killed,
    WatchedTier,
    flipped,
    payload_of,
    random_segments,
    watched,
    write,
)

from deepseek_core import errors
from deepseek_store.codes import Code
from deepseek_store.errors import Unrecoverable
from deepseek_store.stripes import FragmentFault, Stripe, StripeIO, place, superseded


def lose(tier: WatchedTier, stripe: Stripe, *indexes: int) -> tuple[FragmentFault, ...]:
    for index in indexes:
        tier.inner.delete(stripe.fragments[index].key)
    return tuple(FragmentFault(index=index, kind="missing") for index in indexes)


def assert_right(io: StripeIO, stripe: Stripe, segments: list[tuple[int, bytes]]) -> None:
    assert not io.check(stripe)
    for segment, content in segments:
        assert payload_of(io, stripe, stripe.index_of(segment)) == content


def test_a_single_loss_reads_its_group_once_and_writes_to_a_free_domain() -> None:
    tier = watched("repair-single", 160)
    rng = random.Random(1)
    with StripeIO([tier], STORE) as io:
        segments = random_segments(rng, 140, 2000)
        stripe = write(io, 1, segments, "lrc(140,4,6)")
        for index in (0, 77, 139, 142):  # data of three groups, and a group's parity
            faults = lose(tier, stripe, index)
            tier.gets.clear()
            repaired = io.repair(stripe, faults)
            reads = Counter(key for key, _, _ in tier.gets)
            new = repaired.fragments[index]
            assert reads.pop(new.key) == 1  # read back
            group = set(stripe.code.members(index)) - {index}
            assert reads == Counter(stripe.fragments[other].key for other in group)
            assert len(group) == 35
            assert new.domain not in {each.domain for each in stripe.fragments}
            assert (new.generation, repaired.generation) == (stripe.generation + 1,) * 2
            assert superseded(stripe, repaired) == (stripe.fragments[index],)
            stripe = repaired
        assert_right(io, stripe, segments)
        # A global parity is in no group: all data is read.
        tier.gets.clear()
        faults = lose(tier, stripe, 147)
        assert_right(io, io.repair(stripe, faults), segments)
    tier.inner.clear()


def test_several_losses_are_one_decode_that_reads_nothing_twice() -> None:
    tier = watched("repair-several", 20)
    rng = random.Random(2)
    with StripeIO([tier], STORE) as io:
        for number in range(1, 20):
            code = Code.parse(rng.choice(["rs(6,3)", "lrc(12,2,2)", "replication(4)"]))
            segments = random_segments(rng, rng.randint(1, code.k), 900)
            stripe = write(io, number, segments, code.name)
            lost = rng.sample(stripe.stored, min(code.tolerance, len(stripe.stored) - 1))
            faults = lose(tier, stripe, *lost)
            tier.gets.clear()
            repaired = io.repair(stripe, faults)
            assert max(Counter(key for key, _, _ in tier.gets).values()) == 1
            assert {each.generation for each in repaired.fragments if each.nbytes} == {1, 2}
            assert len({each.domain for each in repaired.fragments if each.nbytes}) == len(
                repaired.stored
            )
            assert_right(io, repaired, segments)


def test_long_fragments_are_rebuilt_in_columns_of_bounded_memory() -> None:
    tier = watched("repair-columns", 20)
    segments = random_segments(random.Random(3), 12, 300_000)
    with StripeIO([tier], STORE, budget_nbytes=1) as io:
        stripe = write(io, 1, segments, "lrc(12,2,2)")
        faults = lose(tier, stripe, 0, 5, 14)
        tier.gets.clear()
        repaired = io.repair(stripe, faults)
        columns = [nbytes for key, _, nbytes in tier.gets if key.endswith(".1")]
        assert max(nbytes or 0 for nbytes in columns) <= (1 << 16) + 1024
        assert_right(io, repaired, segments)


def test_a_fault_that_repair_meets_on_the_way_is_repaired_too() -> None:
    tier = watched("repair-silent", 20)
    segments = random_segments(random.Random(4), 6, 70_000)
    with StripeIO([tier], STORE, budget_nbytes=1) as io:
        stripe = write(io, 1, segments, "rs(6,3)")
        faults = lose(tier, stripe, 2)
        for index, at in ((0, -1), (7, 300)):
            key = stripe.fragments[index].key
            tier.replace(key, flipped(tier.inner.get(key), at))
        repaired = io.repair(stripe, faults)
        assert [each.generation for each in repaired.fragments] == [2, 1, 2, 1, 1, 1, 1, 2, 1]
        assert_right(io, repaired, segments)


def test_beyond_the_limit_nothing_is_written_or_deleted() -> None:
    tier = watched("repair-beyond", 20)
    with StripeIO([tier], STORE) as io:
        stripe = write(io, 1, random_segments(random.Random(5), 6, 700), "rs(6,3)")
        faults = lose(tier, stripe, 0, 1, 2)
        key = stripe.fragments[8].key
        tier.replace(key, flipped(tier.inner.get(key), -1))
        before = tier.content()
        with pytest.raises(Unrecoverable) as caught:
            io.repair(stripe, faults)
        assert set(caught.value.lost) == {0, 1, 2, 8}
        assert tier.content() == before


def test_a_sound_stripe_stays_as_it_is() -> None:
    tier = watched("repair-sound", 20)
    with StripeIO([tier], STORE) as io:
        stripe = write(io, 1, random_segments(random.Random(6), 2, 700), "rs(6,3)")
        assert io.repair(stripe) is stripe
        # A fault in a fragment that is nothing but zeros can't be.
        assert io.repair(stripe, [FragmentFault(index=4, kind="missing")]) is stripe


def test_a_dead_domain_is_left_and_one_that_answers_is_used_again() -> None:
    tier = watched("repair-crowded", 9)
    segments = random_segments(random.Random(7), 6, 700)
    with StripeIO([tier], STORE) as io:
        stripe = write(io, 1, segments, "rs(6,3)")
        dead = stripe.fragments[3].domain
        tier.down = {dead}
        (fault,) = io.check(stripe)
        assert (fault.index, fault.kind) == (3, "unreachable")
        repaired = io.repair(stripe, [fault])
        assert repaired.fragments[3].domain != dead  # two share a domain: there are eight left
        assert_right(io, repaired, segments)
        tier.down.clear()
        assert not io.delete_fragments(superseded(stripe, repaired))
        again = io.repair(repaired, lose(tier, repaired, 3))
        assert again.fragments[3].domain == dead
        assert_right(io, again, segments)


def test_places_that_are_given_are_the_only_ones_used() -> None:
    tier = watched("repair-places", 20)
    segments = random_segments(random.Random(8), 6, 700)
    with StripeIO([tier], STORE) as io:
        stripe = write(io, 1, segments, "rs(6,3)")
        free = io.places()[15:17]
        repaired = io.repair(stripe, lose(tier, stripe, 0, 8), free)
        assert {repaired.fragments[index].place for index in (0, 8)} == set(free)


def test_a_stripe_that_was_found_again_is_repaired_on_its_own_tiers() -> None:
    first, second = watched("repair-hot", 20), watched("repair-cold", 20)
    segments = random_segments(random.Random(13), 6, 700)
    with StripeIO([first, second], STORE) as io:
        code = Code.parse("rs(6,3)")
        stripe = io.write(1, segments, code, place(code, io.places([1])), created_s=1.0)
        lose(second, stripe, 1, 7)
        repaired = io.repair(io.discover().stripes[0])
        assert {each.tier for each in repaired.fragments} == {1}
        assert_right(io, repaired, segments)
    with (
        StripeIO([first, None], STORE, urls=["", "s3://b"], why_away={1: "refused"}) as io,
        pytest.raises(errors.TierUnavailable, match=r"s3://b .*refused.*besides.* missing"),
    ):
        io.repair(repaired, lose(second, repaired, 0))


def test_a_full_domain_is_passed_by() -> None:
    tier = watched("repair-full", 12)
    segments = random_segments(random.Random(9), 6, 700)
    with StripeIO([tier], STORE) as io:
        stripe = write(io, 1, segments, "rs(6,3)")
        free = {each.domain for each in io.places()} - {each.domain for each in stripe.fragments}
        tier.full = set(sorted(free)[:2])
        repaired = io.repair(stripe, lose(tier, stripe, 0))
        assert repaired.fragments[0].domain == max(free)
        assert_right(io, repaired, segments)


def test_reads_are_announced_to_the_throttle() -> None:
    tier = watched("repair-throttle", 20)
    with StripeIO([tier], STORE) as io:
        stripe = write(io, 1, random_segments(random.Random(10), 6, 5000, even=True), "rs(6,3)")
        told: list[int] = []
        io.check(stripe, throttle=told.append)
        assert sum(told) >= 9 * 5000
        told.clear()
        io.check(stripe, deep=False, throttle=told.append)
        assert 9 * 128 <= sum(told) < 9 * 400
        told.clear()
        io.repair(stripe, lose(tier, stripe, 4), throttle=told.append)
        assert sum(told) == 6 * 5000
        told.clear()
        io.discover(throttle=told.append)
        assert told == [128] * 9  # eight that are left, and the new one


@pytest.mark.parametrize("task", ["repair", "write"])
def test_a_process_that_dies_at_any_call_loses_nothing(task: str) -> None:
    """One thread, so that the calls come in the same order in every run."""
    segments = random_segments(random.Random(11), 4, 400)
    for lives in range(200):
        tier = watched("repair-killed", 12)
        with StripeIO([tier], STORE, threads=1) as io:
            stripe = write(io, 1, segments, "lrc(4,2,2)")
            if task == "repair":
                before, faults = stripe, lose(tier, stripe, 1, 5, 7)
            else:
                assert not io.delete(stripe)
            tier.lives = lives
            try:
                if task == "repair":
                    stripe = io.repair(before, faults)
                else:
                    stripe = write(io, 1, segments, "lrc(4,2,2)")
                done = True
            except Killed:
                done = False
            tier.lives = None
        with StripeIO([tier], STORE) as io:  # the next process
            if task == "repair":
                stripe = io.repair(before, faults)
                assert not io.delete_fragments(superseded(before, stripe))
            else:
                stripe = write(io, 1, segments, "lrc(4,2,2)")
            assert_right(io, stripe, segments)
            found = io.discover()
            assert found.stripes == (stripe,)
            assert not found.strays
        if done:
            break
    assert done
    assert lives >= 10  # it died that often before it came to its end


def test_a_later_generation_that_a_crash_left_broken_is_passed_by() -> None:
    tier = watched("repair-leftover", 20)
    segments = random_segments(random.Random(12), 6, 700)
    with StripeIO([tier], STORE) as io:
        stripe = write(io, 1, segments, "rs(6,3)")
        faults = lose(tier, stripe, 2)
        key = io.repair(stripe, faults).fragments[2].key
        tier.replace(key, flipped(tier.inner.get(key), -1))
        repaired = io.repair(stripe, faults)
        assert (repaired.generation, repaired.fragments[2].generation) == (3, 3)
        assert_right(io, repaired, segments)
        assert place(stripe.code, io.places(), turn=1)[0] == stripe.fragments[0].place
