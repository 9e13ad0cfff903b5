"""The plan of highest rate for a stream: exact where small, near the optimum where large.

Unreplicated: branch and bound up to some twenty stages, multilevel annealing beyond. On top, where
stages are stateless, a mix of routes that shares them out over devices.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Final

from deepseek_core.contracts.errors import NoDevice
from deepseek_core.schedule.throughput.exact import BranchAndBound
from deepseek_core.schedule.throughput.mixing import Mix, best_mix
from deepseek_core.schedule.throughput.model import Model
from deepseek_core.schedule.throughput.pricing import Pricing
from deepseek_core.schedule.throughput.problem import Route, StreamPlan, StreamProblem
from deepseek_core.schedule.throughput.queues import in_flight, queue_bounds
from deepseek_core.schedule.throughput.search import greedy, memory_short, multilevel

_MOST_EXACT: Final = 24  # groups that branch and bound is tried on
_MOST_MIXED: Final = 64  # beyond, shares of single stages hardly matter
_GAIN: Final = 1e-6  # replication must win at least that much

Routes = Sequence[tuple[Sequence[int], float]]


def place_stream(
    problem: StreamProblem,
    *,
    replicate: bool = True,
    most_nodes: int = 200_000,
    moves: int = 100_000,
    restarts: int = 4,
    seed: int = 0,
) -> StreamPlan:
    """The plan of least period; equal input, equal output.

    `most_nodes` bounds branch and bound, `moves` the steps of each of `restarts` searches.

    Raises:
        NoDevice: a stage that no device can run, or memory that can't hold the stages.
    """
    model = Model(problem)
    relaxed = _fractional(model)
    plain, rule, proven = _unreplicated(
        model, relaxed, most_nodes=most_nodes, moves=moves, restarts=restarts, seed=seed
    )
    plain_s = max(model.loads(plain))
    routes: Routes = [(plain, 1.0)]
    alternatives = _single_devices(model)
    bound_s = plain_s if proven else relaxed.bound_s
    if replicate and any(model.stateless) and model.n <= _MOST_MIXED:
        mix, exact = _replicated(model, plain)
        bound_s = mix.bound_s if exact else relaxed.bound_s
        proven = exact
        if mix.period_s < plain_s * (1 - _GAIN):
            alternatives["unreplicated"] = plain_s
            routes, rule = mix.routes, f"{rule}; stateless stages shared out by linear program"
    return _plan(
        model, routes, rule=rule, bound_s=bound_s, proven=proven, alternatives=alternatives
    )


def _fractional(model: Model) -> Mix:
    """The LP of fractional shares without transfers: a bound for every plan."""

    def cheapest(prices: Sequence[float]) -> tuple[tuple[int, ...], list[float]]:
        route, loads = [], [0.0] * model.resources
        for g in range(model.n):
            priced = []
            for d in model.allowed[g]:
                cost = model.cost[g][d]
                assert cost is not None
                priced.append((prices[d] * cost[0] + prices[-1] * cost[1], d, cost))
            _, d, cost = min(priced)
            route.append(d)
            loads[d] += cost[0]
            loads[-1] += cost[1]
        return tuple(route), loads

    return best_mix(model.resources, cheapest)


def _unreplicated(
    model: Model, relaxed: Mix, *, most_nodes: int, moves: int, restarts: int, seed: int
) -> tuple[list[int], str, bool]:
    """The best assignment, the rule that found it, and whether it is proven."""
    small = model.n <= _MOST_EXACT
    try:
        start: list[int] | None = _searched(
            model,
            relaxed.bound_s,
            moves=moves // 50 if small else moves,
            restarts=1 if small else restarts,
            seed=seed,
        )
    except NoDevice:
        if not small:
            raise
        start = None  # a tight packing: branch and bound sees them all
    if not small:
        assert start is not None
        proven = max(model.loads(start)) <= relaxed.bound_s * (1 + 1e-9)
        return start, "multilevel annealing", proven
    search = BranchAndBound(model, start, relaxed.prices, most_nodes=most_nodes)
    search.run()
    if search.best is None:
        raise memory_short(model)
    rule = "branch and bound" if search.proven else "annealing, then branch and bound cut short"
    return search.best, rule, search.proven


def _searched(model: Model, bound_s: float, *, moves: int, restarts: int, seed: int) -> list[int]:
    best = greedy(model)
    for i in range(restarts if model.n > 1 and model.m > 1 else 0):
        rng = random.Random(seed + i)  # noqa: S311 - no secret
        found = multilevel(model, bound_s, moves=moves, rng=rng, starts=min(restarts, 3))
        best = min(best, found, key=lambda a: max(model.loads(a)))
    return best


def _replicated(model: Model, plain: Sequence[int]) -> tuple[Mix, bool]:
    """The best mix, with stages that hold state where they do best; and whether it is optimal."""
    fixed = {g: plain[g] for g in range(model.n) if not model.stateless[g]}
    mix, exact = _mix_within(model, fixed, plain)
    improved = bool(fixed)
    while improved:
        improved = False
        for stage, d in [(g, d) for g in fixed for d in model.allowed[g]]:
            trial = {**fixed, stage: d}
            if trial != fixed and _fixed_fit(model, trial):
                other, _ = _mix_within(model, trial, None)
                if other.period_s < mix.period_s * (1 - _GAIN):
                    fixed, mix, improved = trial, other, True
    return mix, exact and not fixed


def _fixed_fit(model: Model, fixed: Mapping[int, int]) -> bool:
    used = [0.0] * model.m
    for g, d in fixed.items():
        used[d] += model.mem[g]
    return all(used[d] <= model.room[d] for d in range(model.m))


def _mix_within(
    model: Model, fixed: Mapping[int, int], plain: Sequence[int] | None
) -> tuple[Mix, bool]:
    """The best mix whose replicas all fit into memory; and whether nothing was given up for it."""
    allowed = [(fixed[g],) if g in fixed else model.allowed[g] for g in range(model.n)]
    whole = True
    while True:
        pricing = Pricing(model, allowed)
        mix = best_mix(model.resources, pricing)
        over = _overfull(model, mix.routes)
        if over is None:
            return mix, whole and pricing.exact
        whole = False
        shed = _to_shed(model, mix.routes, over, allowed)
        if shed is None:
            period_s = max(model.loads(plain)) if plain is not None else math.inf
            routes = ((tuple(plain), 1.0),) if plain is not None else ()
            return Mix(period_s=period_s, routes=routes, prices=(), bound_s=0.0), False
        allowed[shed] = tuple(d for d in allowed[shed] if d != over)


def _overfull(model: Model, routes: Routes) -> int | None:
    """A device whose memory the replicas exceed."""
    for d in range(model.m):
        held = {g for route, _ in routes for g in range(model.n) if route[g] == d}
        if sum(model.mem[g] for g in held) > model.room[d]:
            return d
    return None


def _to_shed(
    model: Model, routes: Routes, device: int, allowed: Sequence[Sequence[int]]
) -> int | None:
    """The group that does least there for the memory it takes, if it may run elsewhere."""
    work: dict[int, float] = {}
    for route, share in routes:
        for g in range(model.n):
            cost = model.cost[g][device]
            if route[g] == device and cost is not None:
                work[g] = work.get(g, 0.0) + share * cost[0]
    able = [g for g in work if len(allowed[g]) > 1 and model.mem[g] > 0]
    return min(able, key=lambda g: (work[g] / model.mem[g], g), default=None)


def _single_devices(model: Model) -> dict[str, float]:
    """Period of everything on one device, where one can."""
    found = {}
    for d, device in enumerate(model.problem.devices):
        if all(d in allowed for allowed in model.allowed) and model.fits([d] * model.n):
            found[device.id] = max(model.loads([d] * model.n))
    return found


def _plan(
    model: Model,
    routes: Routes,
    *,
    rule: str,
    bound_s: float,
    proven: bool,
    alternatives: Mapping[str, float],
) -> StreamPlan:
    loads = [0.0] * model.resources
    for route, share in routes:
        for r, load in enumerate(model.loads(route)):
            loads[r] += share * load
    period_s = max(loads)
    ids = [device.id for device in model.problem.devices]
    limit = in_flight(model, routes, period_s)
    return StreamPlan(
        period_s=period_s,
        batch=model.problem.batch,
        routes=tuple(Route(devices=_by_stage(model, a), share=share) for a, share in routes),
        loads_s=dict(zip(ids, loads[:-1], strict=True)),
        host_load_s=loads[-1],
        lower_bound_s=min(bound_s, period_s),
        optimal=proven,
        rule=rule,
        max_in_flight=limit,
        queue_bounds=queue_bounds(model, routes, limit),
        alternatives=dict(alternatives),
    )


def _by_stage(model: Model, assignment: Sequence[int]) -> dict[str, str]:
    devices = model.problem.devices
    return {
        stage.name: devices[assignment[g]].id
        for g, stages in enumerate(model.members)
        for stage in stages
    }
