"""Which device runs which stage.

Makespan: stages start when their inputs are there and their device has a free slot; exact for
few stages, list scheduling improved by single moves beyond. List order: upward rank, earliest
finish (Topcuoglu, Hariri, Wu 2002: HEFT).
Period of a stream: the load of the busiest device, or of the host's cores when several devices
share them; `throughput` finds it, replicating stages where that is worth it.
Offline decisions use the median cost, realtime ones the 90 % quantile.
A model that one device can run whole is cut only where measured costs say that it pays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import attrs

from deepseek_core.contracts.device import Concurrency
from deepseek_core.contracts.errors import NoDevice
from deepseek_core.schedule.belief import believed
from deepseek_core.schedule.problem import Candidate, Objective, Placement, Problem, Route

_MOST_EXACT: Final = 5_000
_WORTH_REPLICATING: Final = 0.05  # less is within the noise of measured costs
_WORTH_CUTTING: Final = 0.05  # likewise
_Z_REALTIME: Final = 1.2816  # one-sided 90 % quantile

Assignment = tuple[Candidate, ...]
_ONE_AT_A_TIME: Final = Concurrency()


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
    return (_place_stream if problem.objective is Objective.PERIOD else _place_batch)(problem)


def _only_way(problem: Problem, assignment: Assignment) -> Placement:
    """Where nothing is to be chosen."""
    seconds = value_s(problem, assignment)
    return Placement(
        routes=((_by_name(problem, assignment), 1.0),),
        objective=problem.objective,
        value_s=seconds,
        rule="there is no choice",
        optimal=True,
        lower_bound_s=seconds,
        single_device=dict(_single_device(problem)),
    )


def _place_whole(problem: Problem) -> Placement | None:
    """All stages as one, on the device where that costs least; None where no device can."""
    if problem.whole is None:
        return None
    able = [c for c in problem.whole.eligible() if c.estimate is not None]
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
    allowed = [stage.allowed() for stage in problem.stages]
    exact = math.prod(map(len, allowed)) <= _MOST_EXACT
    found = itertools.product(*allowed) if exact else _improve(problem, allowed)
    ranked = _ranked(problem, found)
    best_s, _, best = ranked[0]
    rule = "exact search" if exact else "list scheduling, improved by single moves"
    return Placement(
        routes=((_by_name(problem, best), 1.0),),
        objective=problem.objective,
        value_s=best_s,
        rule=f"{rule}, least makespan",
        optimal=exact,
        lower_bound_s=best_s if exact else None,
        single_device=dict(_single_device(problem)),
        runner_up=(_by_name(problem, ranked[1][2]), ranked[1][0]) if len(ranked) > 1 else None,
    )


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


_Ranked = tuple[float, tuple[float, tuple[str, ...]], Assignment]


def _ranked(problem: Problem, found: Iterable[Assignment]) -> list[_Ranked]:
    """Assignments by value, ties by the work in all and by names."""
    scored = ((value_s(problem, a), _tie_break(problem, a), a) for a in found)
    return sorted(scored, key=lambda row: row[:2])


def value_s(problem: Problem, assignment: Assignment) -> float:
    """Seconds of the objective under an assignment (one candidate for each stage)."""
    if problem.objective is Objective.PERIOD:
        return period_s(problem, assignment)
    return makespan_s(problem, assignment)


def period_s(problem: Problem, assignment: Assignment) -> float:
    """Seconds per batch of a steady stream: the largest load of a device or of the host."""
    return routes_period_s(problem, [(assignment, 1.0)])


def routes_period_s(problem: Problem, routes: Sequence[tuple[Assignment, float]]) -> float:
    """The same for batches that take several routes in shares."""
    load: dict[str, float] = {}
    host = 0.0
    for assignment, share in routes:
        for candidate in assignment:
            takes = problem.concurrency.get(candidate.device_id, _ONE_AT_A_TIME)
            seconds = share * cost_s(candidate, problem.objective)
            load[candidate.device_id] = load.get(candidate.device_id, 0.0) + seconds / takes.slots
            host += seconds * takes.host_threads
    return max(*load.values(), host / problem.host_cores)


def makespan_s(problem: Problem, assignment: Assignment) -> float:
    """Seconds from the first start to the last finish of one batch."""
    finish: dict[str, float] = {}
    free: dict[str, list[float]] = {}
    for stage, candidate in zip(problem.stages, assignment, strict=True):
        takes = problem.concurrency.get(candidate.device_id, _ONE_AT_A_TIME)
        slots = free.setdefault(candidate.device_id, [0.0] * takes.slots)
        slot = slots.index(min(slots))
        ready = max((finish[name] for name in stage.predecessors), default=0.0)
        slots[slot] = max(ready, slots[slot]) + cost_s(candidate, problem.objective)
        finish[stage.name] = slots[slot]
    return max(finish.values())


def cost_s(candidate: Candidate, objective: Objective) -> float:
    """Seconds that a decision counts with: the median, or the 90 % quantile for realtime."""
    assert candidate.estimate is not None
    z = _Z_REALTIME if objective is Objective.MAKESPAN else 0.0
    return candidate.estimate.quantile(z)


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


def _improve(problem: Problem, allowed: list[tuple[Candidate, ...]]) -> Iterator[Assignment]:
    """A list schedule, then single moves while they help; yields what it tried."""
    current = _list_schedule(problem, allowed)
    current_s = value_s(problem, current)
    yield current
    better = True
    while better:
        better = False
        for index, options in enumerate(allowed):
            for candidate in options:
                trial = (*current[:index], candidate, *current[index + 1 :])
                trial_s = value_s(problem, trial)
                if trial_s < current_s * (1 - 1e-9):
                    current, current_s, better = trial, trial_s, True
                    yield current


def _list_schedule(problem: Problem, allowed: list[tuple[Candidate, ...]]) -> Assignment:
    """Stages by upward rank, each to the device of earliest finish."""
    chosen: dict[str, Candidate] = {}
    finish: dict[str, float] = {}
    free: dict[str, float] = {}
    options = dict(zip((s.name for s in problem.stages), allowed, strict=True))
    stages = {s.name: s for s in problem.stages}
    for name in _by_upward_rank(problem, options):
        before = stages[name].predecessors
        ready = max((finish[p] for p in before), default=0.0)
        ends = [_end(free, ready, c) for c in options[name]]
        pick = ends.index(min(ends))
        chosen[name] = options[name][pick]
        finish[name] = free[chosen[name].device_id] = ends[pick]
    return tuple(chosen[s.name] for s in problem.stages)


def _end(free: Mapping[str, float], ready: float, candidate: Candidate) -> float:
    start = max(ready, free.get(candidate.device_id, 0.0))
    return start + cost_s(candidate, Objective.MAKESPAN)


def _by_upward_rank(problem: Problem, options: Mapping[str, tuple[Candidate, ...]]) -> list[str]:
    """Names by decreasing mean cost of the longest path to the end; ties in given order."""
    rank: dict[str, float] = {s.name: 0.0 for s in problem.stages}
    for stage in reversed(problem.stages):
        costs = [cost_s(c, problem.objective) for c in options[stage.name]]
        rank[stage.name] += sum(costs) / len(costs)
        for name in stage.predecessors:
            rank[name] = max(rank[name], rank[stage.name])
    order = {s.name: index for index, s in enumerate(problem.stages)}
    return sorted(order, key=lambda name: (-rank[name], order[name]))
