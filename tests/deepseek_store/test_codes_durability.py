"""The durability model against the design's table and an exact solution of its chain."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_store.codes import Code
from deepseek_store.codes.durability import (
    REPAIRS,
    DurabilityModel,
    Repair,
    annual_loss,
    domain_losses,
    efficiency_limit,
    fragments_per_domain,
    nines,
    nines_after,
    nines_by_repair,
)

# Nines under equal, bandwidth-bound and latent repair: the design's table.
TABLE = {
    "RS(6,3)": (11.8, 11.8, 9.8),
    "RS(14,4)": (14.1, 12.9, 11.1),
    "LRC(48,4,3)": (13.7, 12.7, 9.3),
    "RS(84,6)": (16.5, 10.4, 9.1),
    "LRC(126,3,6)": (21.1, 15.9, 12.0),
    "LRC(140,4,6)": (21.5, 16.8, 12.2),
    "LRC(216,4,8)": (25.9, 18.3, 13.5),
}
MODEL = DurabilityModel()


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_the_design_is_reproduced_within_a_quarter_nine(name: str) -> None:
    found = nines_by_repair(Code.parse(name), MODEL)
    assert tuple(found) == REPAIRS
    assert list(found.values()) == pytest.approx(TABLE[name], abs=0.25)


@pytest.mark.parametrize("name", ["LRC(126,3,6)", "LRC(140,4,6)", "LRC(216,4,8)"])
def test_the_wide_codes_are_safer_than_rs_6_3_under_every_repair_model(name: str) -> None:
    narrow = nines_by_repair(Code.parse("RS(6,3)"), MODEL)
    wide = nines_by_repair(Code.parse(name), MODEL)
    assert all(wide[repair] >= narrow[repair] for repair in REPAIRS)


def test_a_plain_rs_of_the_same_efficiency_falls_below_rs_6_3() -> None:
    narrow = nines_by_repair(Code.parse("RS(6,3)"), MODEL)
    plain = nines_by_repair(Code.parse("RS(84,6)"), MODEL)
    assert plain["bandwidth"] < narrow["bandwidth"] and plain["latent"] < narrow["latent"]


def exact_loss_per_year(n: int, tolerance: int, afr: Fraction, repairs: Fraction) -> float:
    """One over the mean time to loss from no loss, with fractions, for an MDS code.

    T(i) - T(i + 1) = (1 + i repairs (T(i - 1) - T(i))) / ((n - i) afr), T(tolerance + 1) = 0.
    """
    step = total = Fraction(0)
    for i in range(tolerance + 1):
        step = (1 + i * repairs * step) / ((n - i) * afr)
        total += step
    return float(1 / total)


@pytest.mark.parametrize(
    "name", ["replication(2)", "replication(3)", "RS(4,2)", "RS(6,3)", "RS(14,4)"]
)
def test_the_chain_is_solved_as_its_exact_solution_says(name: str) -> None:
    code = Code.parse(name)
    exact = exact_loss_per_year(code.n, code.tolerance, Fraction(2, 100), Fraction(8766, 24))
    assert annual_loss(code, MODEL) == pytest.approx(exact, rel=0.01)


def test_one_copy_is_lost_as_often_as_its_disk() -> None:
    single = Code.parse("replication(1)")
    assert annual_loss(single, MODEL) == pytest.approx(0.0198, abs=1e-4)
    assert nines(single, MODEL) == pytest.approx(1.70, abs=0.01)
    assert nines(single, DurabilityModel(afr=1e-11)) == pytest.approx(11.0, abs=1e-6)


@pytest.mark.parametrize("repair", REPAIRS)
@pytest.mark.parametrize("name", TABLE)
def test_worse_disks_and_slower_repair_cost_nines(name: str, repair: Repair) -> None:
    code = Code.parse(name)
    base = nines(code, DurabilityModel(repair=repair))
    assert nines(code, DurabilityModel(repair=repair, afr=0.04)) < base
    slow = DurabilityModel(repair=repair, equal_h=48, fixed_h=12, read_h=6)
    assert nines(code, slow) < base


def exact_fatal_share(n: int, tolerance: int, lost: int) -> float:
    """The chance to lose one more than is borne before all is rebuilt: gambler's ruin, exactly."""
    afr, repairs = Fraction(2, 100), Fraction(8766, 24)
    # Products of (down / up) over the states below: P(ruin from i) = sum(i terms) / sum(all).
    terms = [Fraction(1)]
    for i in range(1, tolerance + 1):
        terms.append(terms[-1] * i * repairs / ((n - i) * afr))
    return float(sum(terms[:lost]) / sum(terms))


@pytest.mark.parametrize("name", ["replication(2)", "RS(4,2)", "RS(6,3)", "RS(14,4)"])
def test_with_losses_it_is_the_chance_to_lose_more_before_they_are_rebuilt(name: str) -> None:
    code = Code.parse(name)
    for lost in range(1, code.tolerance + 1):
        share = exact_fatal_share(code.n, code.tolerance, lost)
        loss = 10.0 ** -nines_after(code, MODEL, lost)
        assert loss == pytest.approx(share + annual_loss(code, MODEL), rel=0.01)


@pytest.mark.parametrize("repair", REPAIRS)
@pytest.mark.parametrize("name", TABLE)
def test_each_loss_costs_nines_until_none_is_left(name: str, repair: Repair) -> None:
    code, model = Code.parse(name), DurabilityModel(repair=repair)
    found = [nines_after(code, model, lost) for lost in range(code.tolerance + 2)]
    assert found[0] == pytest.approx(nines(code, model))
    assert found == sorted(found, reverse=True)
    assert found[-1] == 0.0 < found[-2]


def test_fragments_that_share_a_domain_are_lost_together() -> None:
    code = Code.parse("LRC(140,4,6)")
    by_spread = [nines(code, MODEL, per_domain) for per_domain in (1, 2, 3, 4, 7, 30)]
    assert by_spread == sorted(by_spread, reverse=True)
    assert by_spread[0] - by_spread[2] > 8
    assert by_spread[-1] < 1.1  # one domain holds more than the code can lose


def test_domains_bear_what_the_design_says() -> None:
    wide = Code.parse("LRC(140,4,6)")
    found = {d: (fragments_per_domain(wide, d), domain_losses(wide, d)) for d in (150, 75, 50, 10)}
    assert found == {150: (1, 7), 75: (2, 3), 50: (3, 2), 10: (15, 0)}
    assert efficiency_limit(45, 3) == pytest.approx(0.9333, abs=1e-4)
    assert efficiency_limit(1, 1) == 0.0


@given(st.sampled_from([Code.parse(name) for name in TABLE]), st.integers(1, 300))
def test_no_code_beats_one_minus_losses_over_domains(code: Code, domains: int) -> None:
    losses = domain_losses(code, domains)
    assert code.efficiency <= efficiency_limit(min(domains, code.n), losses) + 1e-12


def test_rates_that_are_none_are_refused() -> None:
    for wrong in ({"afr": 0.0}, {"equal_h": -1.0}, {"repair": "hope"}):
        with pytest.raises(ValueError):
            DurabilityModel(**wrong)  # type: ignore[arg-type]
