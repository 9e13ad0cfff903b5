"""How likely a code loses a stripe in a year: a Markov model. Pure.

States count the lost domains of one stripe. From state i the next loss comes at (domains - i) x
AFR and is fatal with the share of patterns that no longer decode; each lost domain is rebuilt on
its own, so state i is left downwards at i / repair time. What it hides: correlated losses (a rack,
a bad batch of disks), and operators.
"""

from __future__ import annotations

import math
from typing import Literal

import attrs

from deepseek_store.codes.code import Code
from deepseek_store.codes.share import decodable_share

Repair = Literal["equal", "bandwidth", "latent"]
REPAIRS: tuple[Repair, ...] = ("equal", "bandwidth", "latent")

_HOURS_PER_YEAR = 8766.0
# A share of failing patterns below what 10,000 samples would show is not claimed.
_LEAST_FAILING = 1e-4


@attrs.frozen(kw_only=True)
class DurabilityModel:
    """Rates of failure and of repair, and which of three repair models holds.

    `afr`: failures of a domain per year. `repair`: "equal": every repair takes `equal_h`;
    "bandwidth": `fixed_h` and `read_h` for each fragment read; "latent": the same, and a fragment
    read has an unread sector error with `latent_share`, which counts as one more loss where the
    guarantee ends. The defaults reproduce the table of the design (RS(6,3): 11.8, 11.8, 9.8).
    """

    afr: float = attrs.field(default=0.02, validator=attrs.validators.gt(0.0))
    repair: Repair = attrs.field(default="equal", validator=attrs.validators.in_(REPAIRS))
    equal_h: float = attrs.field(default=24.0, validator=attrs.validators.gt(0.0))
    fixed_h: float = attrs.field(default=6.0, validator=attrs.validators.gt(0.0))
    read_h: float = attrs.field(default=3.0, validator=attrs.validators.ge(0.0))
    latent_share: float = attrs.field(default=0.00174, validator=attrs.validators.ge(0.0))


def annual_loss(code: Code, model: DurabilityModel, per_domain: int = 1) -> float:
    """The probability that a stripe is lost within a year.

    `per_domain`: fragments of the stripe on each domain, which are lost together.
    """
    return -math.expm1(-_loss_per_year(code, model, per_domain))


def nines(code: Code, model: DurabilityModel, per_domain: int = 1) -> float:
    """The nines of annual durability: -log10 of `annual_loss`."""
    return -math.log10(annual_loss(code, model, per_domain))


def nines_by_repair(code: Code, model: DurabilityModel, per_domain: int = 1) -> dict[Repair, float]:
    """The nines under each of the repair models, all else as in `model`."""
    return {
        repair: nines(code, attrs.evolve(model, repair=repair), per_domain) for repair in REPAIRS
    }


def nines_after(code: Code, model: DurabilityModel, lost: int, per_domain: int = 1) -> float:
    """The nines of a year that begins with `lost` domains away, which are rebuilt from now on.

    0 where so many losses may be fatal already.
    """
    if lost * per_domain > code.tolerance:
        return 0.0
    whole = -math.log1p(-_fatal_before_whole(code, model, lost, per_domain))
    loss = -math.expm1(-(whole + _loss_per_year(code, model, per_domain)))
    return -math.log10(loss)


def nines_after_by_repair(
    code: Code, model: DurabilityModel, lost: int, per_domain: int = 1
) -> dict[Repair, float]:
    """The nines of such a year under each of the repair models."""
    return {
        repair: nines_after(code, attrs.evolve(model, repair=repair), lost, per_domain)
        for repair in REPAIRS
    }


def _fatal_before_whole(code: Code, model: DurabilityModel, lost: int, per_domain: int) -> float:
    """The chance that a stripe with `lost` domains dies before all of them are rebuilt.

    h(i) = a(i) + b(i) h(i - 1), from the last state that survives down to the first.
    """
    domains = -(-code.n // per_domain)
    terms: list[tuple[float, float]] = []
    above = (1.0, 0.0)
    for state in range(domains, 0, -1):
        birth = (domains - state) * model.afr
        survived = _survived(code, state, per_domain)
        worse, better = birth * survived, state * _repairs_per_year(code, model, per_domain)
        fatal = birth * (1.0 - survived) + _latent_per_year(code, model, state, per_domain)
        rest = worse + better + fatal - worse * above[1]
        above = (worse * above[0] + fatal) / rest, better / rest
        terms.append(above)
    chance = 0.0
    for a, b in reversed(terms[len(terms) - lost :]):
        chance = a + b * chance
    return min(1.0, chance)


def fragments_per_domain(code: Code, domains: int) -> int:
    """Fragments of one stripe that the fullest domain holds."""
    return -(-code.n // domains)


def domain_losses(code: Code, domains: int) -> int:
    """Lost domains that are survived for sure."""
    return code.tolerance // fragments_per_domain(code, domains)


def efficiency_limit(domains: int, losses: int) -> float:
    """The most that any code can reach on equal domains that survive `losses` of them."""
    return max(0.0, 1.0 - losses / domains)


def repair_reads(code: Code, per_domain: int = 1) -> int:
    """Fragments read to rebuild a lost one; from its group where no two losses share it."""
    return code.repair_reads if per_domain <= max(1, code.groups) else code.k


def _loss_per_year(code: Code, model: DurabilityModel, per_domain: int) -> float:
    """Fatal transitions per year in the quiet state of the chain."""
    domains = -(-code.n // per_domain)
    weight, total, fatal, lost = 1.0, 0.0, 0.0, 0  # weight: of state `lost`, beside state 0
    while weight:
        birth = weight * (domains - lost) * model.afr
        survived = _survived(code, lost, per_domain)
        total += weight
        fatal += birth * (1.0 - survived)
        fatal += weight * _latent_per_year(code, model, lost, per_domain)
        lost += 1
        weight = birth * survived / (lost * _repairs_per_year(code, model, per_domain))
    return fatal / total


def _survived(code: Code, lost: int, per_domain: int) -> float:
    """The chance that a stripe which lost so many domains survives one more."""
    before = _share(code, lost * per_domain)
    return _share(code, (lost + 1) * per_domain) / before if before else 0.0


def _share(code: Code, losses: int) -> float:
    if losses <= code.tolerance:
        return 1.0
    share = decodable_share(code, losses) if losses <= code.n else 0.0
    return min(share, 1.0 - _LEAST_FAILING)


def _repairs_per_year(code: Code, model: DurabilityModel, per_domain: int) -> float:
    if model.repair == "equal":
        return _HOURS_PER_YEAR / model.equal_h
    hours = model.fixed_h + model.read_h * repair_reads(code, per_domain)
    return _HOURS_PER_YEAR / hours


def _latent_per_year(code: Code, model: DurabilityModel, lost: int, per_domain: int) -> float:
    """Repairs per year, from the last state that is safe, that meet too many sector errors."""
    if model.repair != "latent" or not lost or lost != code.tolerance // per_domain:
        return 0.0
    reads, share = repair_reads(code, per_domain), model.latent_share
    fatal = range(code.tolerance - lost * per_domain + 1, reads + 1)
    met = sum(math.comb(reads, e) * share**e * (1.0 - share) ** (reads - e) for e in fatal)
    return lost * _repairs_per_year(code, model, per_domain) * met
