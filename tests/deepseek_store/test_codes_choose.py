"""The choice of a code: what fits, what is best, and what is said about the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_store.codes import Code
from deepseek_store.codes.choose import AIM_NINES, CANDIDATES, choose_code
from deepseek_store.codes.durability import REPAIRS, DurabilityModel, domain_losses
from deepseek_store.errors import CodeRefused


@pytest.mark.parametrize(
    ("tier", "domains", "floor", "expected"),
    [
        ("cold", 228, 9.8, "LRC(216,4,8)"),
        ("cold", 150, 9.8, "LRC(140,4,6)"),
        ("cold", 149, 9.8, "LRC(126,3,6)"),
        ("cold", 60, 9.0, "LRC(48,4,3)"),
        ("warm", 60, 9.0, "LRC(48,4,3)"),
        ("warm", 9, 9.0, "RS(6,3)"),
        ("warm", 8, 5.0, "RS(10,4)"),  # two fragments on each
        ("warm", 6, 6.0, "RS(4,2)"),
        ("hot", 150, 8.0, "replication(3)"),
        ("hot", 2, 4.0, "replication(2)"),
    ],
)
def test_the_best_code_that_the_domains_carry_is_chosen(
    tier: str, domains: int, floor: float, expected: str
) -> None:
    choice = choose_code(tier, domains, floor)  # type: ignore[arg-type]
    assert choice.code.name == expected
    assert min(choice.nines.values()) >= floor and set(choice.nines) == set(REPAIRS)


def test_every_candidate_has_its_line_and_one_is_chosen() -> None:
    choice = choose_code("cold", 60, 9.0)
    assert len(choice.reasons) == len(CANDIDATES["cold"])
    assert sum(": chosen: most efficient" in line for line in choice.reasons) == 1
    by_name = dict(line.split(": ", 1) for line in choice.reasons)
    assert "nines under the latent repair model, 9 asked for" in by_name["replication(2)"]
    assert by_name["RS(6,3)"] == "fits, efficiency 0.667"


def test_equal_input_gives_equal_output() -> None:
    assert choose_code("cold", 150, 9.0) == choose_code("cold", 150, 9.0)


def test_several_fragments_share_a_domain_where_the_losses_asked_for_are_borne() -> None:
    wide = [Code.parse("LRC(140,4,6)")]
    choice = choose_code("cold", 75, 5.0, tolerate_domains=3, candidates=wide)
    assert (choice.fragments_per_domain, choice.domain_losses) == (2, 3)
    with pytest.raises(CodeRefused, match="survives 3 lost domains, 4 asked for"):
        choose_code("cold", 75, 5.0, tolerate_domains=4, candidates=wide)


@pytest.mark.parametrize("tier", ["hot", "warm", "cold"])
def test_on_one_domain_only_a_single_copy_is_possible(tier: str) -> None:
    for floor in (None, 0.0):
        choice = choose_code(tier, 1, floor)  # type: ignore[arg-type]
        assert choice.code == Code.parse("replication(1)") and choice.domain_losses == 0
    with pytest.raises(CodeRefused) as caught:
        choose_code(tier, 1, 9.0)  # type: ignore[arg-type]
    assert "1.7 nines" in str(caught.value)


def test_a_single_copy_lies_on_a_place_that_promises_enough() -> None:
    choice = choose_code("cold", 1, 11.0, promised_nines=11.0)
    assert choice.code.name == "replication(1)" and choice.efficiency == 1.0
    with pytest.raises(CodeRefused):
        choose_code("cold", 1, 11.5, promised_nines=11.0)


def test_a_refusal_says_what_is_wrong_what_would_help_and_why_for_every_code() -> None:
    with pytest.raises(CodeRefused) as caught:
        choose_code("cold", 4, 12.0)
    assert isinstance(caught.value, errors.ConfigError)
    assert "cold data on 4 failure domains" in caught.value.message
    assert "ask for" in (caught.value.remedy or "")
    assert len(caught.value.__notes__) == len(CANDIDATES["cold"])


def test_what_a_remedy_proposes_works() -> None:
    with pytest.raises(CodeRefused) as caught:
        choose_code("warm", 2, None, tolerate_domains=3)
    assert caught.value.remedy == "give 9 failure domains or more, or tolerate fewer"
    assert choose_code("warm", 9, None, tolerate_domains=3).code.name == "RS(6,3)"
    with pytest.raises(CodeRefused):
        choose_code("warm", 8, None, tolerate_domains=3)


def test_an_efficiency_that_no_code_can_reach_on_the_domains_is_refused_with_the_limit() -> None:
    with pytest.raises(CodeRefused, match="no code passes 1 - 3/20"):
        choose_code("cold", 20, None, tolerate_domains=3, least_efficiency=0.9)
    choice = choose_code("cold", 150, 9.8, tolerate_domains=3, least_efficiency=0.93)
    assert choice.code.name == "LRC(140,4,6)"


def test_worse_disks_lead_to_another_code() -> None:
    good = choose_code("warm", 60, 9.0)
    bad = choose_code("warm", 60, 9.0, DurabilityModel(afr=0.05))
    assert bad.code != good.code and bad.efficiency < good.efficiency


def test_no_domain_at_all_is_refused() -> None:
    with pytest.raises(CodeRefused, match="0 failure domains"):
        choose_code("warm", 0)


@given(
    tier=st.sampled_from(["hot", "warm", "cold"]),
    domains=st.integers(1, 300),
    floor=st.none() | st.floats(0, 14),
    losses=st.none() | st.integers(0, 8),
)
def test_a_choice_keeps_what_was_asked_and_none_that_fits_is_better(
    tier: str, domains: int, floor: float | None, losses: int | None
) -> None:
    try:
        choice = choose_code(
            tier,  # type: ignore[arg-type]
            domains,
            floor,
            tolerate_domains=losses,
        )
    except CodeRefused as error:
        assert error.remedy
        return
    asked = min(1, domains - 1) if losses is None else losses
    assert choice.domain_losses == domain_losses(choice.code, domains) >= asked
    assert min(choice.nines.values()) >= (floor or 0.0) - 1e-6
    fitting = [each for each in choice.candidates if not each.refused]
    if floor is None:
        durable = [each for each in fitting if each.least_nines >= AIM_NINES]
        if not durable:
            most = max(each.least_nines for each in fitting)
            assert min(choice.nines.values()) == most
            return
        fitting = durable
    if tier == "hot":
        assert choice.code.repair_reads == min(each.code.repair_reads for each in fitting)
    else:
        assert choice.efficiency == max(each.efficiency for each in fitting)
