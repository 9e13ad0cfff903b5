"""Plans of moves: budget, pins, quota, stripes that fill, garbage, and that they come to rest."""

import json
from itertools import pairwise
from random import Random

import attrs
from hypothesis import given
from hypothesis import strategies as st

from deepseek_store.planning.heat import LN2, Heat
from deepseek_store.planning.moves import SegmentState, plan, transition_nbytes
from deepseek_store.planning.policy import TIERS, Policy
from deepseek_store.planning.tiering import ObjectState, TierTerms, weigh
from deepseek_store.planning.wanted_tiers import wishes

DAY_S = 86_400.0
KIB, MIB = 1 << 10, 1 << 20
NOW_S = 1000 * DAY_S
HOT = TierTerms(name="hot", latency_s=1e-4, bytes_per_s=1e9)
WARM = TierTerms(
    name="warm",
    latency_s=8e-3,
    bytes_per_s=1.5e8,
    stored_per_logical=1.25,
    data_fragments=4,
)
COLD = TierTerms(
    name="cold",
    latency_s=3e-2,
    bytes_per_s=8e7,
    stored_per_logical=1.1,
    data_fragments=10,
)
TERMS = (HOT, WARM, COLD)
POLICY = Policy(cold_fragment_nbytes=MIB)

states = st.builds(
    ObjectState,
    key=st.text("abc/", min_size=1, max_size=6),
    nbytes=st.integers(0, 8 * MIB),
    heat=st.builds(Heat, rate_per_s=st.sampled_from((0.0, 1e-7, 1e-5, 1e-3)), at_s=st.just(NOW_S)),
    tier=st.sampled_from(TIERS),
    since_s=st.floats(0.0, NOW_S),
    pinned=st.sampled_from((None, None, *TIERS)),
    parts=st.lists(
        st.tuples(st.integers(0, 8), st.integers(1, MIB)),
        max_size=2,
        unique_by=lambda part: part[0],
    ).map(tuple),
)
objects_of = st.lists(states, max_size=12, unique_by=lambda state: state.key)


@st.composite
def segment_states(draw, number):
    nbytes = draw(st.integers(1, 4 * MIB))
    stripe = draw(st.sampled_from((None, None, 7, 8)))
    return SegmentState(
        id=number,
        nbytes=nbytes,
        live_nbytes=draw(st.integers(0, nbytes)),
        sealed_s=draw(st.floats(0.0, NOW_S)),
        local=stripe is None or draw(st.booleans()),
        stripe=stripe,
        tier="hot" if stripe is None else "warm",
    )


segments_of = st.integers(0, 9).flatmap(
    lambda count: st.tuples(*(segment_states(number) for number in range(count)))
)


def an_object(key: str, per_day: float = 0.0, **known) -> ObjectState:
    heat = Heat(rate_per_s=per_day / DAY_S, at_s=NOW_S)
    usual = {"nbytes": MIB, "tier": "hot", "since_s": 0.0}
    return ObjectState(key=key, heat=heat, **(usual | known))


def a_segment(number: int, **known) -> SegmentState:
    usual = {"nbytes": 4 * MIB, "live_nbytes": 4 * MIB, "sealed_s": NOW_S - 60.0}
    return SegmentState(id=number, **(usual | known))


def kinds(moves) -> list[str]:
    return [move.kind for move in moves.moves]


@given(objects_of, segments_of, st.integers(0, 40 * MIB), st.booleans())
def test_a_plan_never_writes_more_than_its_budget(objects, segments, budget_nbytes, flush):
    found = plan(objects, segments, TERMS, POLICY, NOW_S, budget_nbytes=budget_nbytes, flush=flush)
    assert found.written_nbytes <= budget_nbytes
    everything = plan(objects, segments, TERMS, POLICY, NOW_S, flush=flush)
    assert sorted(map(str, (*found.moves, *found.deferred))) == sorted(map(str, everything.moves))


@given(objects_of, segments_of, st.booleans())
def test_equal_input_gives_an_equal_plan(objects, segments, flush):
    first = plan(objects, segments, TERMS, POLICY, NOW_S, flush=flush)
    assert plan(list(objects), list(segments), TERMS, POLICY, NOW_S, flush=flush) == first


@given(objects_of, segments_of)
def test_no_object_and_no_segment_is_sent_two_ways_at_once(objects, segments):
    moves = plan(objects, segments, TERMS, POLICY, NOW_S, flush=True).moves
    apart = [(key, move) for move in moves if move.kind != "compact" for key in move.keys]
    for key, move in apart:
        assert all(other is move or other.kind == "drop" for k, other in apart if k == key)
    sent = [number for move in moves for number in move.segments]
    assert len(sent) == len(set(sent))
    compacted = {key for move in moves if move.kind == "compact" for key in move.keys}
    assert not compacted & {
        key for move in moves if move.kind in ("promote", "pack") for key in move.keys
    }


@given(objects_of, st.integers(0, 20 * MIB), st.integers(0, 20 * MIB))
def test_pinned_objects_are_never_sent_away_however_little_room_there_is(objects, hot, warm):
    terms = (
        attrs.evolve(HOT, capacity_nbytes=hot, used_nbytes=20 * MIB),
        attrs.evolve(WARM, capacity_nbytes=warm, used_nbytes=20 * MIB),
        COLD,
    )
    for wish in wishes(objects, terms, POLICY, NOW_S):
        if wish.state.pinned is not None:
            assert wish.tier == wish.state.pinned


@given(objects_of, st.integers(0, 30 * MIB))
def test_after_the_plan_no_tier_holds_more_than_it_may_unless_pinned(objects, capacity_nbytes):
    objects = [attrs.evolve(one, pinned=None) for one in objects]
    used = sum(one.nbytes for one in objects if one.tier == "hot")
    hot = attrs.evolve(HOT, capacity_nbytes=capacity_nbytes, used_nbytes=used)
    found = wishes(objects, (hot, WARM, COLD), POLICY, NOW_S)
    assert sum(wish.state.nbytes for wish in found if wish.tier == "hot") <= capacity_nbytes


def test_over_its_quota_a_tier_gives_up_what_suffers_least():
    policy = attrs.evolve(POLICY, quota_nbytes={"hot": 2 * MIB, "warm": None, "cold": None})
    objects = [an_object(key, rate) for key, rate in (("a", 20.0), ("b", 3.0), ("c", 50.0))]
    hot = attrs.evolve(HOT, used_nbytes=3 * MIB)
    found = wishes(objects, (hot, WARM, COLD), policy, NOW_S)
    assert [wish.tier for wish in found] == ["hot", "warm", "hot"]
    assert "over its space" in found[1].why


def test_where_there_is_no_room_what_saves_most_goes_up():
    hot = attrs.evolve(HOT, capacity_nbytes=MIB)
    objects = [an_object(key, rate, tier="warm") for key, rate in (("a", 5.0), ("b", 50.0))]
    moves = plan(objects, [], (hot, WARM, COLD), POLICY, NOW_S)
    assert [move.keys for move in moves.moves] == [("b",)]


def test_a_store_that_follows_its_plans_comes_to_rest():
    """Space for half of what would be hot: a second plan after the first has nothing to move."""
    objects = [an_object(f"k{i}", 2.0 + i, tier="warm") for i in range(20)]
    for round_number in range(3):
        used = sum(one.nbytes for one in objects if one.tier == "hot")
        hot = attrs.evolve(HOT, capacity_nbytes=10 * MIB, used_nbytes=used)
        found = wishes(objects, (hot, WARM, COLD), POLICY, NOW_S)
        assert sum(wish.moves for wish in found) == (10 if round_number == 0 else 0)
        objects = [attrs.evolve(wish.state, tier=wish.tier) for wish in found]


def test_the_hottest_bytes_are_promoted_first_and_as_far_as_the_budget_goes():
    objects = [
        an_object(key, rate, tier=tier)
        for key, rate, tier in (("a", 5.0, "warm"), ("b", 80.0, "warm"), ("c", 80.0, "cold"))
    ]
    moves = plan(objects, [], TERMS, POLICY, NOW_S, budget_nbytes=2 * MIB)
    assert [move.keys[0] for move in moves.moves] == ["c", "b"]
    assert [move.keys[0] for move in moves.deferred] == ["a"]
    assert "put off to the next budget: " in " ".join(moves.sentences())


def test_sealed_segments_wait_until_they_fill_a_warm_stripe():
    segments = [a_segment(number) for number in range(6)]
    objects = [
        an_object(f"k{number}", 10.0, nbytes=4 * MIB, parts=((number, 4 * MIB),))
        for number in range(6)
    ]
    moves = plan(objects, segments, TERMS, POLICY, NOW_S)
    assert [(move.kind, move.segments) for move in moves.moves] == [("adopt", (0, 1, 2, 3))]
    assert moves.waiting_nbytes["warm"] == 8 * MIB
    assert "8 MiB wait for a full warm stripe" in moves.sentences()


def test_segments_that_waited_too_long_or_a_flush_make_a_stripe_that_is_not_full():
    young, old = a_segment(1), a_segment(2, sealed_s=NOW_S - POLICY.stripe_wait_s - 1)
    assert kinds(plan([], [young], TERMS, POLICY, NOW_S)) == []
    assert plan([], [young, old], TERMS, POLICY, NOW_S).moves[0].segments == (1, 2)
    assert plan([], [young], TERMS, POLICY, NOW_S, flush=True).moves[0].segments == (1,)


def test_a_segment_of_mostly_cold_objects_is_packed_and_not_adopted():
    segments = [a_segment(1), a_segment(2)]
    objects = [
        an_object("cold", 0.0, nbytes=4 * MIB, parts=((1, 4 * MIB),)),
        an_object("hot", 50.0, nbytes=4 * MIB, parts=((2, 4 * MIB),)),
    ]
    moves = plan(objects, segments, TERMS, POLICY, NOW_S, flush=True)
    assert [(move.kind, move.keys or move.segments) for move in moves.moves] == [
        ("adopt", (2,)),
        ("pack", ("cold",)),
    ]


def test_a_segment_in_a_stripe_loses_its_local_copy_when_it_has_cooled():
    cooled, needed = (a_segment(n, stripe=5, tier="warm") for n in (1, 2))
    objects = [
        an_object("w", 0.3, nbytes=4 * MIB, parts=((1, 4 * MIB),)),
        an_object("h", 90.0, nbytes=4 * MIB, parts=((2, 4 * MIB),)),
    ]
    moves = plan(objects, [cooled, needed], TERMS, POLICY, NOW_S).moves
    assert [(move.kind, move.segments, move.written_nbytes) for move in moves] == [
        ("drop", (1,), 0)
    ]


def test_few_hot_objects_are_written_anew_before_their_segment_goes():
    segment = a_segment(1, stripe=5, tier="warm")
    objects = [
        an_object("w", 0.3, nbytes=4 * MIB - 64 * KIB, parts=((1, 4 * MIB - 64 * KIB),)),
        an_object("h", 90.0, nbytes=64 * KIB, parts=((1, 64 * KIB),)),
    ]
    (move,) = plan(objects, [segment], TERMS, POLICY, NOW_S).moves
    assert (move.kind, move.keys, move.written_nbytes) == ("drop", ("h",), 64 * KIB)


def test_a_local_copy_stays_as_long_as_nobody_knows_what_is_in_it():
    segment = a_segment(1, stripe=5, tier="warm")
    assert kinds(plan([an_object("k", 0.3)], [segment], TERMS, POLICY, NOW_S)) == []


def test_cold_objects_wait_for_a_full_stripe_and_are_packed_by_key():
    few = [an_object(f"k{i:02}", nbytes=512 * KIB) for i in reversed(range(10))]
    moves = plan(few, [], TERMS, POLICY, NOW_S)
    assert (len(moves), moves.waiting_nbytes["cold"]) == (0, 5 * MIB)
    many = [an_object(f"k{i:03}", nbytes=100 * KIB) for i in reversed(range(150))]
    moves = plan(many, [], TERMS, POLICY, NOW_S)
    assert kinds(moves) == ["pack"]
    assert list(moves.moves[0].keys) == sorted(moves.moves[0].keys)
    assert len(moves.moves[0].keys) + moves.waiting_nbytes["cold"] // (100 * KIB) == 150


def test_cold_bytes_that_waited_too_long_are_packed_into_a_stripe_that_is_not_full():
    since_s = NOW_S - POLICY.stripe_wait_s - 1
    few = [an_object("k")]
    assert kinds(plan(few, [], TERMS, POLICY, NOW_S, cold_waiting_since_s=NOW_S)) == []
    assert kinds(plan(few, [], TERMS, POLICY, NOW_S, cold_waiting_since_s=since_s)) == ["pack"]


@given(st.lists(st.integers(1, 12 * MIB), min_size=1, max_size=60))
def test_packed_stripes_are_full_whatever_the_sizes(sizes):
    """Counted without headers: 10 fragments of 1 MiB hold at most 10 MiB."""
    objects = [an_object(f"k{i:02}", nbytes=nbytes) for i, nbytes in enumerate(sizes)]
    moves = plan(objects, [], TERMS, POLICY, NOW_S)
    for move in moves.moves:
        stripes = -(-move.nbytes // (10 * MIB))
        assert move.nbytes >= 0.95 * stripes * 10 * MIB
    packed = sum(move.nbytes for move in moves.moves)
    assert packed + moves.waiting_nbytes["cold"] == sum(sizes)


def test_what_is_mostly_dead_is_compacted_the_emptiest_first():
    segments = [
        a_segment(1, live_nbytes=2 * MIB),
        a_segment(2, live_nbytes=0),
        a_segment(3, live_nbytes=4 * MIB - 1, stripe=9, tier="cold", local=False),
        a_segment(4, live_nbytes=MIB, stripe=9, tier="cold", local=False),
        a_segment(5, live_nbytes=4 * MIB),
    ]
    moves = plan([], segments, TERMS, POLICY, NOW_S).moves
    assert [(move.kind, move.segments, move.stripe) for move in moves] == [
        ("compact", (2,), None),
        ("compact", (1,), None),
        ("compact", (3, 4), 9),
    ]
    assert moves[0].written_nbytes == 0


def test_moves_may_take_the_policys_share_of_the_slowest_tier():
    assert transition_nbytes(POLICY, TERMS, 10.0) == int(0.05 * 8e7 * 10)
    assert transition_nbytes(POLICY, TERMS, -1.0) == 0


@given(objects_of, segments_of)
def test_a_plan_reads_as_sentences_and_as_json(objects, segments):
    moves = plan(objects, segments, TERMS, POLICY, NOW_S, flush=True)
    assert len(json.loads(json.dumps(moves.to_json()))["moves"]) == len(moves)
    assert all(move.reason and str(move) in moves.sentences() for move in moves.moves)


@given(st.floats(-0.5, 0.5), st.integers(0, 2**30))
def test_an_object_near_the_threshold_does_not_go_back_and_forth(shift, seed):
    """1,000 steps of irregular reads around the break-even rate; every verdict is followed."""
    rng = Random(seed)
    border_per_day = 0.6 * 2.0**shift
    mean_s, half_life_s = DAY_S / border_per_day, POLICY.half_life_s
    rate, tier, since_s, read_s, moves = border_per_day / DAY_S, "warm", 0.0, 0.0, []
    for step in range(1000):
        now_s = step * mean_s / 20
        if rng.random() < 1 / 20:
            rate = rate * 0.5 ** ((now_s - read_s) / half_life_s) + LN2 / half_life_s
            read_s = now_s
        at = ObjectState(
            key="k",
            nbytes=MIB,
            heat=Heat(rate_per_s=rate, at_s=read_s),
            tier=tier,
            since_s=since_s,
        )
        found = weigh(at, (HOT, WARM), POLICY, now_s).tier
        if found != tier:
            moves.append((now_s, found))
            tier, since_s = found, now_s
    # Each swing has to be earned: 50 half-lives or so pass, and a move down has its residence.
    half_lives = 1000 * mean_s / 20 / half_life_s
    assert len(moves) <= 2 * half_lives
    for (up_s, up), (down_s, down) in pairwise(moves):
        if (up, down) == ("hot", "warm"):
            assert down_s - up_s >= POLICY.min_residence_s
