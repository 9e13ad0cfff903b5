"""Which device runs which stage.

Makespan: stages start when their inputs are there and their device has a free slot. A few
assignments are tried in the graph's order; unless one of them is sure to be the best, the solver
of `schedule.dag` finds devices and order.
Period of a stream: the load of the busiest device, or of the host's cores when several devices
share them; `throughput` finds it, replicating stages where that is worth it.
Offline decisions use the median cost, realtime ones the 90 % quantile.
A model that one device can run whole is cut only where measured costs say that it pays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import attrs

from deepseek_core.contracts.device import Estimate
from deepseek_core.contracts.errors import GraphError, NoDevice
from deepseek_core.schedule.belief import believed
from deepseek_core.schedule.problem import (
    Candidate,
    Objective,
    Placement,
    Problem,
    Route,
    StageOptions,
)
from deepseek_core.schedule.value import (
    Assignment,
    bound_of,
    cost_s,
    fits,
    given_order,
    is_least,
    period_s,
    value_s,
)

_FEW: Final = 200  # assignments that are all tried
_MOST_STEPS: Final = 10_000  # of stages, in all that is tried for the second best: some 25 ms
_MOST_S: Final = 1e290  # what takes longer takes part in no plan; sums stay finite
_WORTH_REPLICATING: Final = 0.05  # less is within the noise of measured costs
_WORTH_CUTTING: Final = 0.05  # likewise
_NO_CHOICE: Final = "there is no choice"
_SEARCH: Final = "list scheduling and search"

_Ranked = tuple[float, tuple[float, tuple[str, ...]], Assignment]


class _Found(NamedTuple):
    seconds: float
    assignment: Assignment
    order: tuple[str, ...]
    holds: tuple[tuple[str, str], ...]
    rule: str


def place(problem: Problem) -> Placement:
    """The placement of least period or makespan; equal input, equal output.

    Raises:
        NoDevice: a stage that no candidate can run.
    """
    problem = believed(_plausible(problem))
    whole = _place_whole(problem)
    try:
        cut = _place_cut(problem)
    except NoDevice:
        if whole is None:
            raise
        return whole
    return cut if whole is None else _better(problem, whole, cut)


def _plausible(problem: Problem) -> Problem:
    """Without candidates that take longer than can be counted."""
    stages = tuple(map(_counted, problem.stages))
    whole = None if problem.whole is None else _counted(problem.whole)
    return attrs.evolve(problem, stages=stages, whole=whole)


def _counted(stage: StageOptions) -> StageOptions:
    return attrs.evolve(
        stage,
        candidates=tuple(
            c if c.estimate is None or _longest_s(c.estimate) <= _MOST_S else _endless(c)
            for c in stage.candidates
        ),
    )


def _longest_s(estimate: Estimate) -> float:
    try:
        return estimate.interval_s[1]
    except OverflowError:  # of a deviation
        return math.inf


def _endless(candidate: Candidate) -> Candidate:
    assert candidate.estimate is not None
    told = f"its estimate is {candidate.estimate.seconds:g} s, sigma {candidate.estimate.sigma:g}"
    return attrs.evolve(candidate, estimate=None, refusal=f"{told}: too long for any plan")


def _place_cut(problem: Problem) -> Placement:
    allowed = [stage.allowed() for stage in problem.stages]
    only = all(len(candidates) == 1 for candidates in allowed)
    if problem.objective is Objective.PERIOD and only:
        return _only_way(problem, tuple(candidates[0] for candidates in allowed))
    decide = _place_stream if problem.objective is Objective.PERIOD else _place_batch
    try:
        return decide(problem)
    except (NoDevice, GraphError):
        if not problem.memory:
            raise
    # What a stage needs is an estimate: where nothing fits by it, loading tells.
    return decide(attrs.evolve(problem, memory={}))


def _only_way(problem: Problem, assignment: Assignment) -> Placement:
    """Where nothing is to be chosen."""
    seconds = value_s(problem, assignment)
    return Placement(
        routes=((_by_name(problem, assignment), 1.0),),
        objective=problem.objective,
        value_s=seconds,
        rule=_NO_CHOICE,
        optimal=True,
        lower_bound_s=seconds,
        single_device=dict(_single_device(problem)),
    )


def _place_whole(problem: Problem) -> Placement | None:
    """All stages as one, on the device where that costs least; None where no device can."""
    if problem.whole is None:
        return None
    able = [c for c in problem.whole.eligible() if c.estimate is not None]
    able = [c for c in able if fits(problem, (c,))] or able
    if not able:
        return None
    ranked = sorted((_uncut_value_s(problem, c), c.device_id) for c in able)
    routes = [({stage.name: device for stage in problem.stages}, s) for s, device in ranked]
    return Placement(
        routes=((routes[0][0], 1.0),),
        objective=problem.objective,
        value_s=routes[0][1],
        rule="the whole model on one device",
        optimal=False,
        single_device={device: s for s, device in ranked},
        runner_up=routes[1] if len(routes) > 1 else None,
    )


def _uncut_value_s(problem: Problem, candidate: Candidate) -> float:
    if problem.objective is Objective.PERIOD:
        return period_s(problem, (candidate,))
    return cost_s(candidate, problem.objective)


def _better(problem: Problem, whole: Placement, cut: Placement) -> Placement:
    """The cut if it is sure to pay, else the whole model; each with the other in its report."""
    single = {**cut.single_device, **whole.single_device}
    bounds = [s for s in (cut.lower_bound_s, whole.value_s) if s is not None]
    bound_s = min(bounds) if cut.lower_bound_s is not None else None
    is_cut = len(cut.used()) > 1 or problem.whole_on(next(iter(cut.used()))) is None
    if is_cut and _pays(problem, whole, cut):
        if cut.runner_up is None or whole.value_s < cut.runner_up[1]:
            cut = attrs.evolve(cut, runner_up=(whole.devices, whole.value_s))
        return attrs.evolve(cut, single_device=single, lower_bound_s=bound_s)
    if is_cut and (whole.runner_up is None or cut.value_s < whole.runner_up[1]):
        whole = attrs.evolve(whole, runner_up=(cut.devices, cut.value_s))
    optimal = cut.optimal and whole.value_s <= cut.value_s
    return attrs.evolve(whole, single_device=single, lower_bound_s=bound_s, optimal=optimal)


def _pays(problem: Problem, whole: Placement, cut: Placement) -> bool:
    """Whether measured costs say that the borders of a cut win more than they cost."""
    chosen = problem.whole_on(next(iter(whole.used())))
    by_name = {stage.name: stage.candidates for stage in problem.stages}
    costs = [
        c
        for devices, _ in cut.routes
        for stage, device in devices.items()
        for c in by_name[stage]
        if c.device_id == device
    ]
    founded = chosen is not None and chosen.is_founded and all(c.is_founded for c in costs)
    return founded and cut.value_s < whole.value_s * (1 - _WORTH_CUTTING)


def _place_batch(problem: Problem) -> Placement:
    """The best of a few in the given order, or what the solver finds in any order."""
    allowed = [stage.allowed() for stage in problem.stages]
    are_all = math.prod(map(len, allowed)) <= _FEW
    ranked = _ranked(problem, _few(problem, allowed, are_all=are_all))
    bound_s = min((bound_of(problem, each) for _, _, each in ranked), default=0.0)
    bound_s = bound_s if are_all else 0.0
    rule = "exact search" if are_all else "one device"
    rule = rule if math.prod(map(len, allowed)) > 1 else _NO_CHOICE
    best, order = None, given_order(problem)
    if ranked:
        best = _Found(ranked[0][0], ranked[0][2], order, (), rule)
    if best is None or not is_least(best.seconds, bound_s):
        best, searched_s = _search(problem, best)
        bound_s = max(bound_s, searched_s)
    return Placement(
        routes=((_by_name(problem, best.assignment), 1.0),),
        objective=problem.objective,
        value_s=best.seconds,
        rule=best.rule if best.rule == _NO_CHOICE else f"{best.rule}, least makespan",
        optimal=is_least(best.seconds, bound_s),
        lower_bound_s=min(bound_s, best.seconds),
        single_device=dict(_single_device(problem)),
        runner_up=_runner_up(problem, ranked if are_all else [], best),
        order=best.order,
        holds=best.holds,
    )


def _few(
    problem: Problem, allowed: Sequence[Sequence[Candidate]], *, are_all: bool
) -> Iterator[Assignment]:
    """All assignments or those to one device, as far as they fit the memory of the devices.

    Raises:
        GraphError: all were looked at, and none does.
    """
    found = False
    for assignment in itertools.product(*allowed) if are_all else _on_one(allowed):
        if fits(problem, assignment):
            found = True
            yield assignment
    if are_all and not found:
        raise GraphError(
            "no placement fits the memory of the devices", remedy="add memory or devices"
        )


def _on_one(allowed: Sequence[Sequence[Candidate]]) -> Iterator[Assignment]:
    rows = [{c.device_id: c for c in candidates} for candidates in allowed]
    for device_id in sorted(set.intersection(*map(set, rows))):
        yield tuple(row[device_id] for row in rows)


def _search(problem: Problem, start: _Found | None) -> tuple[_Found, float]:
    """What the solver of graphs finds, unless the start is as good, and a bound.

    Raises:
        GraphError: there is no start, and nothing was found that fits the memory.
    """
    from deepseek_core.schedule.of_problem import solved

    try:
        solution = solved(problem)
    except GraphError:
        if start is None:
            raise
        return start, 0.0
    if start is not None and is_least(start.seconds, solution.seconds):
        return start, solution.lower_bound_s
    rule = start.rule if start is not None and start.rule == _NO_CHOICE else _SEARCH
    found = _Found(solution.seconds, solution.assignment, solution.order, solution.holds, rule)
    return found, solution.lower_bound_s


def _runner_up(
    problem: Problem, ranked: Sequence[_Ranked], best: _Found
) -> tuple[Mapping[str, str], float] | None:
    """The best assignment but for this one: of all, or of those that differ in one stage."""
    for seconds, _, assignment in ranked:
        if assignment != best.assignment:
            return _by_name(problem, assignment), seconds
    moves = sum(len(stage.allowed()) for stage in problem.stages) - len(problem.stages)
    if ranked or moves * len(problem.stages) > _MOST_STEPS:
        return None
    return _best_other(problem, ((_by_name(problem, best.assignment), 1.0),), best.order)


def _place_stream(problem: Problem) -> Placement:
    from deepseek_core.schedule.throughput.convert import stream_of
    from deepseek_core.schedule.throughput.placement import place_stream

    stream = stream_of(problem)
    plan = place_stream(stream, replicate=_is_known(problem))
    plain_s = plan.alternatives.get("unreplicated")
    if plain_s is not None and plan.period_s > plain_s * (1 - _WORTH_REPLICATING):
        plan = place_stream(stream, replicate=False)
    routes = tuple((route.devices, route.share) for route in plan.routes)
    return Placement(
        routes=routes,
        objective=problem.objective,
        value_s=plan.period_s,
        rule=f"{plan.rule}, least period",
        optimal=plan.optimal,
        lower_bound_s=plan.lower_bound_s,
        single_device=dict(_single_device(problem)),
        runner_up=_best_other(problem, routes),
    )


def _is_known(problem: Problem) -> bool:
    """Whether no cost is a mere guess: shares that rest on guesses would only do harm."""
    allowed = (c.estimate for stage in problem.stages for c in stage.allowed())
    return all(estimate is not None and estimate.source != "prior" for estimate in allowed)


def _best_other(
    problem: Problem, routes: tuple[Route, ...], order: Sequence[str] = ()
) -> tuple[Mapping[str, str], float] | None:
    """The best assignment that differs in one stage, or is one of several routes alone."""
    main = dict(max(routes, key=lambda route: route[1])[0])
    trials = [main] if len(routes) > 1 else []
    for stage in problem.stages:
        others = (c.device_id for c in stage.allowed() if c.device_id != main[stage.name])
        trials += [main | {stage.name: device} for device in others]
    ranked = _ranked(problem, (_as_assignment(problem, trial) for trial in trials), order)
    return (_by_name(problem, ranked[0][2]), ranked[0][0]) if ranked else None


def _as_assignment(problem: Problem, devices: Mapping[str, str]) -> Assignment:
    return tuple(
        next(c for c in stage.allowed() if c.device_id == devices[stage.name])
        for stage in problem.stages
    )


def _ranked(
    problem: Problem, found: Iterable[Assignment], order: Sequence[str] = ()
) -> list[_Ranked]:
    """Assignments by value in an order of the stages, ties by the work in all and by names."""
    scored = ((value_s(problem, a, order), _tie_break(problem, a), a) for a in found)
    return sorted(scored, key=lambda row: row[:2])


def _tie_break(problem: Problem, assignment: Assignment) -> tuple[float, tuple[str, ...]]:
    """At equal value: less work in all, then names, so that plans are deterministic."""
    total = sum(cost_s(c, problem.objective) for c in assignment)
    return total, tuple(c.device_id for c in assignment)


def _by_name(problem: Problem, assignment: Assignment) -> Mapping[str, str]:
    names = (stage.name for stage in problem.stages)
    return dict(zip(names, (c.device_id for c in assignment), strict=True))


def _single_device(problem: Problem) -> Iterator[tuple[str, float]]:
    """Every device that can run all stages, with the objective's value."""
    able = [{c.device_id: c for c in s.candidates if c.estimate} for s in problem.stages]
    for device_id in sorted(set.intersection(*map(set, able))):
        yield device_id, value_s(problem, tuple(by_id[device_id] for by_id in able))
