"""How many batches must be in flight, and how many can then wait at a device."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deepseek_core.schedule.throughput.model import Model

Routes = Sequence[tuple[Sequence[int], float]]


def in_flight(model: Model, routes: Routes, period_s: float) -> int:
    """Batches between source and sink that keep the bottleneck busy.

    Little's law for the slowest route, one batch waiting at each slot in use, and one for each
    route, whose turns are even up to one batch.
    """
    latency_s = max(_latency_s(model, route) for route, _ in routes)
    used = {d for route, _ in routes for d in route}
    waiting = sum(model.problem.devices[d].slots for d in used)
    return math.ceil(latency_s / period_s) + waiting + len(routes)


def queue_bounds(model: Model, routes: Routes, limit: int) -> dict[str, int]:
    """Device id -> the most runs that can be at it with `limit` batches in flight.

    Batches leave in order, so those in flight are consecutive; among `limit` of them a route of
    share w has at most w * limit + 2.
    """
    bounds = {}
    for d, device in enumerate(model.problem.devices):
        there = 0
        for route, share in routes:
            runs = sum(len(stages) for g, stages in enumerate(model.members) if route[g] == d)
            batches = limit if len(routes) == 1 else min(limit, math.floor(share * limit + 2))
            there += batches * (1 if _is_chain(model) and runs else runs)
        if there:
            bounds[device.id] = there
    return bounds


def _is_chain(model: Model) -> bool:
    """Whether a batch is in one stage at a time."""
    sources = [edge.source for edge in model.problem.edges]
    targets = [edge.target for edge in model.problem.edges]
    count = len(model.problem.stages)
    one_each = len(set(sources)) == len(sources) and len(set(targets)) == len(targets)
    return one_each and len(sources) == count - 1


def _latency_s(model: Model, route: Sequence[int]) -> float:
    """Seconds of a batch alone: all its runs one after the other at worst."""
    total = 0.0
    for g, d in enumerate(route):
        cost = model.cost[g][d]
        assert cost is not None
        total += cost[0] * model.problem.devices[d].slots
    for t in model.transfers:
        da, db = route[t.a], route[t.b]
        if da != db:
            at_a, at_b = model.transfer_loads(t, da, db)
            devices = model.problem.devices
            total += max(at_a * devices[da].slots, at_b * devices[db].slots)
    return total
