"""Which device runs which stage.

Makespan: stages start when their inputs are there and their device has a free slot; every
assignment for few stages, and what the solver of `schedule.dag` finds, in any order.
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

from deepseek_core.contracts.errors import GraphError, NoDevice
from deepseek_core.schedule.belief import believed
from deepseek_core.schedule.problem import Candidate, Objective, Placement, Problem, Route
from deepseek_core.schedule.value import (
    Assignment,
    bound_of,
    by_urgency,
    cost_s,
    fits,
    given_order,
    is_least,
    makespan_s,
    period_s,
    value_s,
)

_MOST_EXACT: Final = 5_000
_MOST_STEPS: Final = 40_000  # of stages, in all that is tried beyond the solver: some 0.1 s
_LEAST_GAIN: Final = 1e-9
_MOST_MOVES: Final = 200  # of single stages that are tried for the second best
_WORTH_REPLICATING: Final = 0.05  # less is within the noise of measured costs
_WORTH_CUTTING: Final = 0.05  # likewise

_Ranked = tuple[float, tuple[float, tuple[str, ...]], Assignment]


class _Found(NamedTuple):
    seconds: float
    assignment: Assignment
    order: tuple[str, ...]
    rule: str


def place(problem: Problem) -> Placement:
    """The placement of least period or makespan; equal input, equal output.

    Raises:
        NoDevice: a stage that no candidate can run.
    """
    problem = believed(problem)
    whole = _place_whole(problem)
    try:
        cut = _place_cut(problem)
    except NoDevice:
        if whole is None:
            raise
        return whole
    return cut if whole is None else _better(problem, whole, cut)


def _place_cut(problem: Problem) -> Placement:
    allowed = [stage.allowed() for stage in problem.stages]
    if all(len(candidates) == 1 for candidates in allowed):
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
    seconds, bound_s = value_s(problem, assignment), bound_of(problem, assignment)
    return Placement(
        routes=((_by_name(problem, assignment), 1.0),),
        objective=problem.objective,
        value_s=seconds,
        rule="there is no choice",
        optimal=is_least(seconds, bound_s),
        lower_bound_s=bound_s,
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
    """The best of all assignments in the given order, or what is found for any order."""
    allowed = [stage.allowed() for stage in problem.stages]
    ranked = _ranked(problem, _all_that_fit(problem, allowed))
    bound_s = min((bound_of(problem, each) for _, _, each in ranked), default=0.0)
    found = [_Found(s, each, given_order(problem), "exact search") for s, _, each in ranked[:1]]
    if not found or not is_least(found[0].seconds, bound_s):
        searched, searched_bound_s = _search(problem, allowed, [f.assignment for f in found])
        found, bound_s = found + searched, max(bound_s, searched_bound_s)
    best = min(found, key=lambda one: one.seconds)
    return Placement(
        routes=((_by_name(problem, best.assignment), 1.0),),
        objective=problem.objective,
        value_s=best.seconds,
        rule=f"{best.rule}, least makespan",
        optimal=is_least(best.seconds, bound_s),
        lower_bound_s=bound_s,
        single_device=dict(_single_device(problem)),
        runner_up=_runner_up(problem, ranked, best.assignment),
        order=best.order,
    )


def _all_that_fit(problem: Problem, allowed: Sequence[Sequence[Candidate]]) -> Iterator[Assignment]:
    """All assignments where they are few; those that fit the memory of the devices.

    Raises:
        GraphError: none does.
    """
    if math.prod(map(len, allowed)) > _MOST_EXACT:
        return
    found = False
    for assignment in itertools.product(*allowed):
        if fits(problem, assignment):
            found = True
            yield assignment
    if not found:
        raise GraphError("no placement fits the memory of the devices")


def _search(
    problem: Problem, allowed: Sequence[Sequence[Candidate]], starts: Sequence[Assignment]
) -> tuple[list[_Found], float]:
    """What the solver of graphs finds, single moves from there or a start, and a bound.

    Raises:
        GraphError: there is no start, and nothing was found that fits the memory.
    """
    from deepseek_core.schedule.of_problem import solved

    rule, found, bound_s = "list scheduling and search", list[_Found](), 0.0
    try:
        solution = solved(problem)
    except GraphError:
        if not starts:
            raise
    else:
        bound_s = solution.lower_bound_s
        trial = _as_assignment(problem, solution.devices)
        starts = starts or [trial]
        if fits(problem, trial):
            seconds = makespan_s(problem, trial, solution.order)
            found.append(_Found(seconds, trial, solution.order, rule))
    seconds, climbed, order = _climbed(problem, allowed, starts[0], bound_s)
    return [*found, _Found(seconds, climbed, order, rule)], bound_s


def _climbed(
    problem: Problem, allowed: Sequence[Sequence[Candidate]], start: Assignment, bound_s: float
) -> tuple[float, Assignment, tuple[str, ...]]:
    """Single moves while they help, stages by the longest path that follows; a bounded effort."""
    best, order = start, by_urgency(problem, start)
    best_s, left = makespan_s(problem, best, order), _MOST_STEPS
    since, index = 0, 0
    while since < len(allowed) and left > 0 and not is_least(best_s, bound_s):
        since += 1
        for candidate in allowed[index]:
            trial = (*best[:index], candidate, *best[index + 1 :])
            order_then = by_urgency(problem, trial)
            seconds = makespan_s(problem, trial, order_then)
            left -= len(trial)
            if fits(problem, trial) and seconds < best_s * (1 - _LEAST_GAIN):
                best_s, best, order, since = seconds, trial, order_then, 0
        index = (index + 1) % len(allowed)
    return best_s, best, order


def _runner_up(
    problem: Problem, ranked: Sequence[_Ranked], best: Assignment
) -> tuple[Mapping[str, str], float] | None:
    """The best assignment but for this one: of all, or of those that differ in one stage."""
    for seconds, _, assignment in ranked:
        if assignment != best:
            return _by_name(problem, assignment), seconds
    if ranked or sum(len(stage.allowed()) for stage in problem.stages) > _MOST_MOVES:
        return None
    return _best_other(problem, ((_by_name(problem, best), 1.0),))


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
    problem: Problem, routes: tuple[Route, ...]
) -> tuple[Mapping[str, str], float] | None:
    """The best assignment that differs in one stage, or is one of several routes alone."""
    main = dict(max(routes, key=lambda route: route[1])[0])
    trials = [main] if len(routes) > 1 else []
    for stage in problem.stages:
        others = (c.device_id for c in stage.allowed() if c.device_id != main[stage.name])
        trials += [main | {stage.name: device} for device in others]
    ranked = _ranked(problem, (_as_assignment(problem, trial) for trial in trials))
    return (_by_name(problem, ranked[0][2]), ranked[0][0]) if ranked else None


def _as_assignment(problem: Problem, devices: Mapping[str, str]) -> Assignment:
    return tuple(
        next(c for c in stage.allowed() if c.device_id == devices[stage.name])
        for stage in problem.stages
    )


def _ranked(problem: Problem, found: Iterable[Assignment]) -> list[_Ranked]:
    """Assignments by value, ties by the work in all and by names."""
    scored = ((value_s(problem, a), _tie_break(problem, a), a) for a in found)
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
