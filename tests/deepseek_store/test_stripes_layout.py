"""Fragments lie apart as far as domains allow, so that losses of domains are survived."""

from collections import Counter
from itertools import combinations
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_store.codes import Code, Codec
from deepseek_store.codes.durability import domain_losses, fragments_per_domain
from deepseek_store.stripes import Place, place
from deepseek_store.stripes.layout import replacements

NAMES = ("replication(3)", "rs(6,3)", "rs(10,4)", "lrc(12,2,2)", "lrc(48,4,3)", "lrc(140,4,6)")
codes = st.sampled_from([Code.parse(name) for name in NAMES])


def domains(count: int) -> list[Place]:
    return [Place(tier=number % 2, domain=f"d{number}") for number in range(count)]


@given(codes, st.integers(0, 60), st.integers(0, 1000))
def test_no_two_fragments_share_a_domain_while_there_are_enough(
    code: Code, more: int, turn: int
) -> None:
    placed = place(code, domains(code.n + more), turn=turn)
    assert len(placed) == len(set(placed)) == code.n


@given(codes, st.integers(1, 160), st.integers(0, 1000))
def test_every_domain_gets_as_many_as_the_others(code: Code, count: int, turn: int) -> None:
    placed = Counter(place(code, domains(count), turn=turn))
    assert max(placed.values()) == fragments_per_domain(code, count) == ceil(code.n / count)
    assert max(placed.values()) - min(placed.values()) <= 1


@given(codes, st.integers(1, 160), st.integers(0, 1000))
def test_a_local_group_is_spread_as_evenly_as_the_stripe(code: Code, count: int, turn: int) -> None:
    placed = place(code, domains(count), turn=turn)
    used = len(set(placed))
    for group in {code.members(index) for index in range(code.n)} - {()}:
        shares = Counter(placed[index] for index in group)
        assert max(shares.values()) == ceil(len(group) / used)


def test_equal_input_gives_equal_output() -> None:
    code, loads = Code.parse("rs(6,3)"), dict.fromkeys(domains(5), 1)
    assert place(code, domains(12), loads, turn=5) == place(code, domains(12), loads, turn=5)


def test_turns_give_every_domain_its_share_of_parities() -> None:
    code = Code.parse("rs(6,3)")
    got = Counter(each for turn in range(12) for each in place(code, domains(12), turn=turn)[6:])
    assert set(got.values()) == {3}


def test_the_emptiest_domains_come_first() -> None:
    code = Code.parse("rs(2,1)")
    loads = {each: number for number, each in enumerate(reversed(domains(6)))}
    assert set(place(code, domains(6), loads)) == set(domains(6)[3:])
    crowded = Counter(place(Code.parse("rs(6,2)"), domains(6), loads))
    assert {each for each, count in crowded.items() if count == 2} == set(domains(6)[4:])


@pytest.mark.parametrize("given_domains", [[], [Place(tier=0), Place(tier=0)]])
def test_domains_that_are_none_or_named_twice_are_refused(given_domains: list[Place]) -> None:
    with pytest.raises(errors.InputError, match="name each domain once"):
        place(Code.parse("rs(2,1)"), given_domains)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_of_any_domain_decodes_when_it_holds_no_more_than_is_tolerated(name: str) -> None:
    code = Code.parse(name)
    codec = Codec(code)
    for count in range(1, code.n + 2):
        if ceil(code.n / count) > code.tolerance:
            continue
        placed = place(code, domains(count), turn=count)
        for domain in set(placed):
            assert codec.decodable([i for i, each in enumerate(placed) if each == domain])


@pytest.mark.parametrize("name", ["replication(3)", "rs(6,3)", "lrc(12,2,2)", "lrc(8,2,3)"])
def test_at_least_the_guaranteed_number_of_domain_losses_is_survived(name: str) -> None:
    code = Code.parse(name)
    codec = Codec(code)
    for count in range(1, code.n + 2):
        placed = place(code, domains(count))
        assert min(count, domain_losses(code, count)) <= survived_losses(placed, codec)


def survived_losses(placed: tuple[Place, ...], codec: Codec) -> int:
    """How many domains may fail, whichever they are, by trying all combinations."""
    used = set(placed)
    for count in range(1, len(used) + 1):
        for failed in combinations(used, count):
            lost = [index for index, each in enumerate(placed) if each in failed]
            if not codec.decodable(lost):
                return count - 1
    return len(used)


def test_spread_groups_survive_more_than_is_guaranteed() -> None:
    # Two fragments in each of eight domains; any two domains are four losses, one more than
    # the code's guarantee, but never four of one group.
    code = Code.parse("lrc(12,2,2)")
    placed = place(code, domains(8))
    assert domain_losses(code, 8) == 1
    assert survived_losses(placed, Codec(code)) == 2


def test_a_replacement_avoids_the_stripe_then_the_crowd_then_the_group() -> None:
    code = Code.parse("lrc(4,2,1)")
    a, b, c, d, free = (Place(tier=0, domain=name) for name in "abcdf")
    # 0, 1 and parity 4 are one group; 2, 3 and parity 5 the other.
    taken = {1: a, 4: b, 2: c, 3: d, 5: d}
    assert replacements(code, 0, taken, [a, c, b, d, free]) == [free, c, a, b, d]
