"""Which code a tier gets on the domains there are, and why. Pure.

Rules, in this order: the domains must support the code and survive the losses asked for; the nines
must reach those asked for under all three repair models, or 9 where none are and that is possible;
then hot data takes the code with the fewest reads, other data the most efficient one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from deepseek_store.codes.code import Code
from deepseek_store.codes.durability import (
    REPAIRS,
    DurabilityModel,
    Repair,
    domain_losses,
    efficiency_limit,
    fragments_per_domain,
    nines_by_repair,
)
from deepseek_store.errors import CodeRefused

TierName = Literal["hot", "warm", "cold"]

AIM_NINES = 9.0
"""What is aimed at where nobody asked for a floor: about RS(6,3)'s."""

# A promise of 11 nines, turned into a rate and back, is 11 nines.
_ROUNDING = 1e-6
_ADD_TIER = "give the store a tier with at least one failure domain"
_COPIES = ("replication(1)", "replication(2)", "replication(3)")
_NARROW = ("rs(2,1)", "rs(3,2)", "rs(4,2)", "rs(6,3)", "rs(10,4)", "rs(14,4)")
_WIDE = ("lrc(126,3,6)", "lrc(140,4,6)", "lrc(216,4,8)")
CANDIDATES: Mapping[str, tuple[Code, ...]] = {
    tier: tuple(map(Code.parse, names))
    for tier, names in {
        "hot": _COPIES,
        "warm": (*_COPIES, *_NARROW, "lrc(48,4,3)"),
        "cold": (*_COPIES, *_NARROW, "lrc(12,2,2)", "lrc(24,2,4)", "lrc(48,4,3)", *_WIDE),
    }.items()
}


@attrs.frozen(kw_only=True)
class WeighedCode:
    """One code that was weighed; `refused` says why it was not taken, if it could not be."""

    code: Code
    fragments_per_domain: int
    domain_losses: int
    nines: Mapping[Repair, float]
    refused: str = ""

    @property
    def efficiency(self) -> float:
        """Logical over stored bytes."""
        return self.code.efficiency

    @property
    def least_nines(self) -> float:
        """The nines under the worst of the repair models."""
        return min(self.nines.values())


@attrs.frozen(kw_only=True)
class CodeChoice:
    """The code that was chosen, what it promises, and all that were weighed."""

    code: Code
    nines: Mapping[Repair, float]
    efficiency: float
    fragments_per_domain: int
    domain_losses: int
    rule: str
    candidates: tuple[WeighedCode, ...]

    @property
    def least_nines(self) -> float:
        """The nines under the worst of the repair models."""
        return min(self.nines.values())

    @property
    def reasons(self) -> tuple[str, ...]:
        """A line for each code: chosen, refused with its reason, or outranked."""
        return tuple(f"{each.code.name}: {self._verdict(each)}" for each in self.candidates)

    def _verdict(self, each: WeighedCode) -> str:
        if each.code == self.code:
            return f"chosen: {self.rule}"
        return each.refused or f"fits, efficiency {each.efficiency:.3f}"


@attrs.frozen(kw_only=True)
class _Demand:
    """What a code has to bear."""

    domains: int
    floor_nines: float
    tolerate_domains: int
    least_efficiency: float


def choose_code(
    tier: TierName,
    domains: int,
    floor_nines: float | None = None,
    model: DurabilityModel | None = None,
    *,
    tolerate_domains: int | None = None,
    promised_nines: float | None = None,
    least_efficiency: float = 0.0,
    candidates: Sequence[Code] | None = None,
) -> CodeChoice:
    """The best code for data of that tier on `domains` equal failure domains.

    `floor_nines`: annual durability that each repair model has to show. None: 9 nines if the
    domains carry them, else the most that they do; 0: any.
    `tolerate_domains`: lost domains to survive; by default 1, or 0 where there is one domain.
    `promised_nines`: what each domain itself promises, as an object store does; its losses are
    then those of the promise instead of the model's AFR.

    Raises:
        CodeRefused: Nothing fits; says what would.
    """
    if domains < 1:
        raise CodeRefused(f"{domains} failure domains for {tier} data", remedy=_ADD_TIER)
    demand = _Demand(
        domains=domains,
        floor_nines=floor_nines or 0.0,
        tolerate_domains=min(1, domains - 1) if tolerate_domains is None else tolerate_domains,
        least_efficiency=least_efficiency,
    )
    rates = _rates(model or DurabilityModel(), promised_nines)
    codes = CANDIDATES[tier] if candidates is None else candidates
    weighed = tuple(_weigh(code, demand, rates) for code in codes)
    fitting = [each for each in weighed if not each.refused]
    if not fitting:
        raise _refusal(tier, demand, weighed)
    best, rule = _best(tier, fitting, aimed=floor_nines is None)
    return CodeChoice(
        code=best.code,
        nines=best.nines,
        efficiency=best.efficiency,
        fragments_per_domain=best.fragments_per_domain,
        domain_losses=best.domain_losses,
        rule=rule,
        candidates=weighed,
    )


def _rates(model: DurabilityModel, promised_nines: float | None) -> DurabilityModel:
    """The model with the failure rate of what the domains promise, if they do."""
    if promised_nines is None:
        return model
    return attrs.evolve(model, afr=10.0**-promised_nines)


def _weigh(code: Code, demand: _Demand, model: DurabilityModel) -> WeighedCode:
    per_domain = fragments_per_domain(code, demand.domains)
    candidate = WeighedCode(
        code=code,
        fragments_per_domain=per_domain,
        domain_losses=domain_losses(code, demand.domains),
        nines=nines_by_repair(code, model, per_domain),
    )
    return attrs.evolve(candidate, refused=_problem(candidate, demand))


def _problem(each: WeighedCode, demand: _Demand) -> str:
    """Why a code does not do; empty where it does."""
    spread = (
        f"each of {demand.domains} domains would hold {each.fragments_per_domain} of "
        f"{each.code.n} fragments"
    )
    if each.code.n > 1 and not each.domain_losses:
        return f"can't survive the loss of one domain: {spread}"
    if each.domain_losses < demand.tolerate_domains:
        return (
            f"survives {each.domain_losses} lost domains, {demand.tolerate_domains} asked for: "
            f"{spread}"
        )
    repair = min(REPAIRS, key=each.nines.__getitem__)
    if each.nines[repair] < demand.floor_nines - _ROUNDING:
        return (
            f"{each.nines[repair]:.1f} nines under the {repair} repair model, "
            f"{demand.floor_nines:g} asked for"
        )
    if each.efficiency < demand.least_efficiency:
        return f"efficiency {each.efficiency:.3f}, {demand.least_efficiency:g} asked for"
    return ""


def _best(tier: str, fitting: Sequence[WeighedCode], *, aimed: bool) -> tuple[WeighedCode, str]:
    durable = [each for each in fitting if each.least_nines >= AIM_NINES - _ROUNDING]
    if aimed and not durable:
        best = max(fitting, key=lambda each: (each.least_nines, each.efficiency))
        return (
            best,
            f"the most durable on these domains; none reaches {AIM_NINES:g} nines",
        )
    among = durable if aimed else fitting
    said = f", of those with {AIM_NINES:g} nines" if aimed else ""
    if tier == "hot":
        best = min(among, key=lambda each: (each.code.repair_reads, -each.efficiency))
        return best, f"fewest reads, then most efficient{said}"
    best = min(among, key=lambda each: (-each.efficiency, each.code.repair_reads))
    return best, f"most efficient, then fewest reads per repair{said}"


def _refusal(tier: str, demand: _Demand, weighed: Sequence[WeighedCode]) -> CodeRefused:
    asked = (
        f"{tier} data on {demand.domains} failure domains: no code survives "
        f"{demand.tolerate_domains} lost domains with {demand.floor_nines:g} nines"
    )
    if demand.least_efficiency:
        asked += f" at efficiency {demand.least_efficiency:g}"
    nearest = max(
        weighed,
        key=lambda each: (each.domain_losses >= demand.tolerate_domains, each.least_nines),
    )
    error = CodeRefused(
        f"{asked}; nearest is {nearest.code.name}: {nearest.refused}",
        remedy=_remedy(demand, weighed),
    )
    for each in weighed:
        error.add_note(f"{each.code.name}: {each.refused}")
    return error


def _remedy(demand: _Demand, weighed: Sequence[WeighedCode]) -> str:
    """What would help: more domains, or less asked for."""
    limit = efficiency_limit(demand.domains, demand.tolerate_domains)
    if demand.least_efficiency > limit:
        return (
            f"ask for an efficiency of {limit:.3f} at most (no code passes 1 - "
            f"{demand.tolerate_domains}/{demand.domains}), or add failure domains"
        )
    bearing = [each for each in weighed if each.domain_losses >= demand.tolerate_domains]
    if bearing:
        best = max(bearing, key=lambda each: each.least_nines)
        return (
            f"add failure domains, or ask for {best.least_nines:.1f} nines at most, "
            f"which {best.code.name} reaches"
        )
    return f"give {_domains_needed(demand, weighed)} failure domains or more, or tolerate fewer"


def _domains_needed(demand: _Demand, weighed: Sequence[WeighedCode]) -> str:
    """The fewest domains on which some code survives the losses asked for."""
    able = [each.code for each in weighed if each.code.tolerance >= demand.tolerate_domains]
    most = max((code.n for code in able), default=0)
    enough = (
        domains
        for domains in range(demand.domains + 1, most + 1)
        if any(domain_losses(code, domains) >= demand.tolerate_domains for code in able)
    )
    return str(next(enough, "many more"))
