"""Streams are placed at the optimum where it can be known, and near it elsewhere."""

import itertools
import math
import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import Concurrency, Estimate
from deepseek_core.contracts.errors import GraphError, InputError, NoDevice
from deepseek_core.schedule.placement import place
from deepseek_core.schedule.problem import Candidate, Objective, Problem, StageOptions
from deepseek_core.schedule.throughput.convert import stream_of
from deepseek_core.schedule.throughput.model import Model
from deepseek_core.schedule.throughput.placement import place_stream
from deepseek_core.schedule.throughput.problem import (
    Link,
    StreamDevice,
    StreamEdge,
    StreamProblem,
    StreamStage,
)
from deepseek_core.schedule.throughput.turns import RoundRobin


@st.composite
def problems(draw, stages=5, devices=3, memory=True, transfers=True):
    m = draw(st.integers(1, devices))
    n = draw(st.integers(1, stages))
    rng = random.Random(draw(st.integers(0, 2**32)))
    given_devices = tuple(
        StreamDevice(
            id=f"d{j}",
            slots=rng.choice((1, 1, 2)),
            host_threads=rng.choice((0, 0, 1)),
            mem_bytes=rng.choice((math.inf, 7.0)) if memory else math.inf,
            mem_node=f"m{rng.randrange(m)}",
        )
        for j in range(m)
    )
    alike = rng.random() < 0.3
    given_stages = []
    for i in range(n):
        able = [d.id for d in given_devices if alike or rng.random() < 0.8] or ["d0"]
        same = 0.1 + rng.random() * 4
        given_stages.append(
            StreamStage(
                name=f"s{i}",
                seconds={d: same if alike else 0.1 + rng.random() * 4 for d in able},
                mem_bytes=rng.randint(0, 3) if memory else 0,
                stateless=rng.random() < 0.7,
                together=rng.choice((None, None, "x")) if n > 3 and i < 2 else None,
            )
        )
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n) if rng.random() < 0.5]
    nodes = [f"m{j}" for j in range(m)]
    return StreamProblem(
        stages=tuple(given_stages),
        devices=given_devices,
        edges=tuple(
            StreamEdge(source=f"s{i}", target=f"s{j}", nbytes=rng.random() * 3)
            for i, j in pairs
            if transfers
        ),
        links={
            (a, b): Link(
                latency_s=rng.random() * 0.3,
                bytes_per_s=1 + rng.random() * 10,
                at_sender=rng.choice((1.0, 0.5, 0.0)),
                at_receiver=rng.choice((1.0, 0.5)),
            )
            for a, b in itertools.permutations(nodes, 2)
            if rng.random() < 0.8
        },
        host_cores=2,
    )


def by_hand(problem, where):
    """Period of stage name -> device id, computed anew from the definition."""
    devices = {d.id: d for d in problem.devices}
    stages = {s.name: s for s in problem.stages}
    load, host = dict.fromkeys(devices, 0.0), 0.0
    for name, device in where.items():
        seconds = stages[name].seconds[device]
        load[device] += seconds / devices[device].slots
        host += seconds * devices[device].host_threads / problem.host_cores
    for edge in problem.edges:
        a, b = devices[where[edge.source]], devices[where[edge.target]]
        if a.mem_node != b.mem_node and (a.mem_node, b.mem_node) in problem.links:
            link = problem.links[a.mem_node, b.mem_node]
            seconds = link.latency_s + edge.nbytes / link.bytes_per_s
            load[a.id] += seconds * link.at_sender / a.slots
            load[b.id] += seconds * link.at_receiver / b.slots
    return max(*load.values(), host)


def brute_force(problem):
    """The least period of all assignments that are allowed; None if there is none."""
    names = [s.name for s in problem.stages]
    best = None
    for choice in itertools.product(*(s.seconds for s in problem.stages)):
        where = dict(zip(names, choice, strict=True))
        used, groups = {}, {}
        for stage in problem.stages:
            used[where[stage.name]] = used.get(where[stage.name], 0) + stage.mem_bytes
            groups.setdefault(stage.together or stage.name, set()).add(where[stage.name])
        fits = all(used.get(d.id, 0) <= d.mem_bytes for d in problem.devices)
        if fits and all(len(g) == 1 for g in groups.values()):
            period_s = by_hand(problem, where)
            best = period_s if best is None else min(best, period_s)
    return best


def chain(*rows, devices=None, **more):
    """A chain of stages; each row maps device -> seconds."""
    ids = sorted({d for row in rows for d in row})
    return StreamProblem(
        stages=tuple(StreamStage(name=f"s{i}", seconds=row) for i, row in enumerate(rows)),
        devices=devices or tuple(StreamDevice(id=d) for d in ids),
        edges=tuple(
            StreamEdge(source=f"s{i}", target=f"s{i + 1}", nbytes=1.0) for i in range(len(rows) - 1)
        ),
        **more,
    )


@settings(max_examples=500)
@given(problems())
def test_small_streams_are_placed_as_well_as_brute_force_can(problem):
    try:
        best = brute_force(problem)
        plan = place_stream(problem, replicate=False)
    except NoDevice:
        assert brute_force(problem) is None
        return
    assert plan.optimal
    assert plan.period_s == pytest.approx(best, rel=1e-9)
    assert by_hand(problem, plan.routes[0].devices) == pytest.approx(plan.period_s, rel=1e-9)


@settings(max_examples=200)
@given(problems())
def test_a_mix_is_never_worse_keeps_state_in_one_place_and_fits(problem):
    try:
        plain, mix = place_stream(problem, replicate=False), place_stream(problem)
    except NoDevice:
        return
    assert mix.period_s <= plain.period_s * (1 + 1e-9)
    assert mix.lower_bound_s <= mix.period_s * (1 + 1e-9)
    assert sum(route.share for route in mix.routes) == pytest.approx(1.0)
    for stage in problem.stages:
        shares = mix.shares(stage.name)
        assert set(shares) <= set(stage.seconds)
        if not stage.stateless:
            assert len(shares) == 1
    for device in problem.devices:
        held = [s for s in problem.stages if device.id in mix.shares(s.name)]
        assert sum(s.mem_bytes for s in held) <= device.mem_bytes


def least_period_by_linear_program(problem):
    """The LP of fractional shares, with flows along the edges of a chain, by scipy."""
    from scipy.optimize import linprog

    model = Model(problem)
    n, m = model.n, model.m
    flows = {
        key: n * m + i
        for i, key in enumerate(
            (t, a, b) for t in range(len(model.transfers)) for a in range(m) for b in range(m)
        )
    }
    width = n * m + len(flows) + 1
    less, equal, right = [], [], []
    for resource in range(model.resources):
        row = [0.0] * width
        row[-1] = -1.0
        for g in range(n):
            for d in model.allowed[g]:
                device, host = model.cost[g][d]
                row[g * m + d] += (device if resource == d else 0) + (host if resource == m else 0)
        for (t, a, b), index in flows.items():
            at_a, at_b = model.transfer_loads(model.transfers[t], a, b)
            row[index] += (at_a if resource == a else 0) + (at_b if resource == b else 0)
        less.append(row)
    for g in range(n):
        row = [0.0] * width
        for d in model.allowed[g]:
            row[g * m + d] = 1.0
        equal.append(row)
        right.append(1.0)
    for t, transfer in enumerate(model.transfers):
        for d in range(m):
            for g, keys in (
                (transfer.a, [(t, d, b) for b in range(m)]),
                (transfer.b, [(t, a, d) for a in range(m)]),
            ):
                row = [0.0] * width
                for key in keys:
                    row[flows[key]] = 1.0
                row[g * m + d] -= 1.0
                equal.append(row)
                right.append(0.0)
    bounds = [(0, None)] * width
    for g in range(n):
        for d in set(range(m)) - set(model.allowed[g]):
            bounds[g * m + d] = (0, 0)
    goal = [0.0] * (width - 1) + [1.0]
    found = linprog(goal, A_ub=less, b_ub=[0.0] * len(less), A_eq=equal, b_eq=right, bounds=bounds)
    return found.fun


@settings(max_examples=100)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 4))
def test_the_shares_of_a_chain_are_those_of_the_linear_program(seed, n, m):
    rng = random.Random(seed)
    devices = tuple(
        StreamDevice(
            id=f"d{j}", slots=rng.choice((1, 2)), host_threads=rng.choice((0, 1)), mem_node=f"m{j}"
        )
        for j in range(m)
    )
    rows = [
        {d.id: 0.2 + rng.random() * 3 for d in devices if d.id == "d0" or rng.random() < 0.8}
        for _ in range(n)
    ]
    links = {
        (f"m{a}", f"m{b}"): Link(latency_s=rng.random() * 0.4, at_sender=rng.choice((0.5, 1.0)))
        for a, b in itertools.permutations(range(m), 2)
    }
    problem = chain(*rows, devices=devices, links=links, host_cores=2)
    plan = place_stream(problem)
    assert plan.optimal
    assert plan.period_s == pytest.approx(least_period_by_linear_program(problem), rel=1e-6)


def test_replication_beats_the_best_unreplicated_mapping():
    problem = chain({"cpu": 4.0, "gpu": 3.0}, {"cpu": 3.0, "gpu": 8.0})
    plan = place_stream(problem)
    assert plan.period_s == pytest.approx(3.0)  # already balanced
    assert "unreplicated" not in plan.alternatives
    skewed = place_stream(chain({"cpu": 4.0, "gpu": 2.0}))
    assert skewed.period_s == pytest.approx(4 / 3)
    assert skewed.shares("s0") == pytest.approx({"cpu": 1 / 3, "gpu": 2 / 3})
    assert skewed.items_per_s == pytest.approx(0.75)
    assert skewed.alternatives == pytest.approx({"cpu": 4.0, "gpu": 2.0, "unreplicated": 2.0})


def test_memory_limits_replicas():
    stages = (
        StreamStage(name="a", seconds={"x": 2.0, "y": 2.0}, mem_bytes=6),
        StreamStage(name="b", seconds={"x": 1.0, "y": 1.0}, mem_bytes=6),
    )
    devices = (StreamDevice(id="x", mem_bytes=10), StreamDevice(id="y", mem_bytes=10))
    plan = place_stream(StreamProblem(stages=stages, devices=devices))
    assert plan.period_s == pytest.approx(2.0)
    assert not plan.optimal or plan.lower_bound_s == plan.period_s
    assert len(plan.routes) == 1


def test_a_large_stream_comes_close_to_its_bound_and_repeats():
    rng = random.Random(4)
    devices = tuple(StreamDevice(id=f"d{j}", mem_node=f"m{j}") for j in range(4))
    rows = [{d.id: 1 + rng.random() for d in devices} for _ in range(150)]
    links = {(f"m{a}", f"m{b}"): Link(latency_s=0.02) for a in range(4) for b in range(4) if a != b}
    problem = chain(*rows, devices=devices, links=links)
    first, again = place_stream(problem, moves=20_000), place_stream(problem, moves=20_000)
    assert first == again
    assert not first.optimal
    assert first.gap < 0.05
    assert by_hand(problem, first.routes[0].devices) == pytest.approx(first.period_s)


def test_a_cut_off_search_does_not_claim_the_optimum():
    rng = random.Random(2)
    rows = [{f"d{j}": 1 + rng.random() for j in range(5)} for _ in range(16)]
    plan = place_stream(chain(*rows), replicate=False, most_nodes=20)
    assert not plan.optimal
    assert plan.lower_bound_s < plan.period_s


def test_twin_devices_are_not_tried_twice():
    rows = [{f"d{j}": float(i + 1) for j in range(6)} for i in range(12)]
    plan = place_stream(chain(*rows), replicate=False)
    assert plan.optimal
    assert plan.period_s == pytest.approx(13.0)


@settings(max_examples=200)
@given(st.lists(st.floats(0.001, 10.0), min_size=1, max_size=8), st.integers(1, 400))
def test_turns_are_never_off_by_one(shares, count):
    turns = RoundRobin(shares)
    had = [0] * len(shares)
    for n in range(1, count + 1):
        had[turns.next()] += 1
        for share, times in zip(shares, had, strict=True):
            assert abs(times - share / sum(shares) * n) < 1.0


def test_shares_of_nothing_are_refused():
    with pytest.raises(InputError):
        RoundRobin([])
    with pytest.raises(InputError):
        RoundRobin([1.0, 0.0])


def run_stream(problem, plan, batches=400):
    """A chain as planned, first come first served: seconds per batch, and the longest queues."""
    turns = RoundRobin([route.share for route in plan.routes])
    stages = problem.stages
    slots = {d.id: [0.0] * d.slots for d in problem.devices}
    visits = {d.id: [] for d in problem.devices}
    out_s = [None] * batches
    ready, begun = [], 0
    while begun < batches or ready:
        first = next((n for n in range(batches) if out_s[n] is None), batches)
        while begun < min(batches, first + plan.max_in_flight):  # they leave in order
            at_s = max(filter(None, out_s[: max(begun - plan.max_in_flight + 1, 0)]), default=0.0)
            ready.append((at_s, begun, 0, plan.routes[turns.next()].devices))
            begun += 1
        ready.sort(key=lambda r: (max(r[0], min(slots[r[3][stages[r[2]].name]])), r[1]))
        at_s, n, index, route = ready.pop(0)
        device = route[stages[index].name]
        slot = slots[device].index(min(slots[device]))
        end_s = max(at_s, slots[device][slot]) + stages[index].seconds[device]
        slots[device][slot] = end_s
        visits[device].append((at_s, end_s))
        if index + 1 < len(stages):
            ready.append((end_s, n, index + 1, route))
        else:
            out_s[n] = end_s
    longest = {}
    for device, times in visits.items():
        marks = sorted([(a, 1) for a, _ in times] + [(e, -1) for _, e in times])
        longest[device] = max(itertools.accumulate(step for _, step in marks), default=0)
    half = sorted(out_s)[batches // 2]
    return (max(out_s) - half) / (batches - 1 - batches // 2), longest


@pytest.mark.parametrize("seed", range(12))
def test_a_stream_run_as_planned_reaches_the_rate_within_the_queue_bounds(seed):
    rng = random.Random(seed)
    devices = tuple(StreamDevice(id=f"d{j}", slots=rng.choice((1, 1, 2))) for j in range(3))
    rows = [{d.id: 0.5 + rng.random() * 3 for d in devices} for _ in range(4)]
    problem = chain(*rows, devices=devices)
    plan = place_stream(problem)
    period_s, longest = run_stream(problem, plan)
    assert period_s <= plan.period_s * 1.03
    for device, most in longest.items():
        assert most <= plan.queue_bounds.get(device, 0)


def test_the_problem_of_a_plan_becomes_that_of_its_stream():
    def candidate(device, seconds):
        estimate = Estimate(seconds=seconds, sigma=0.1, source="measured", mem_bytes=5)
        return Candidate(device_id=device, estimate=estimate)

    problem = Problem(
        stages=(
            StageOptions(name="a", candidates=(candidate("cpu", 6.0), candidate("gpu", 2.0))),
            StageOptions(name="b", candidates=(candidate("cpu", 3.0),), pinned_to=("cpu",)),
        ),
        concurrency={"cpu": Concurrency(slots=2, host_threads=1)},
        host_cores=2,
        objective=Objective.PERIOD,
    )
    stream = stream_of(attrs.evolve(problem, memory={"gpu": 9}), batch=4)
    assert place_stream(stream).period_s == pytest.approx(place(problem).value_s)
    plan = place_stream(stream, replicate=False)
    assert plan.items_per_s == pytest.approx(2.0)
    assert stream.stages[0].mem_bytes == 5


def test_nonsense_is_named():
    stage = StreamStage(name="a", seconds={"x": 1.0})
    device = StreamDevice(id="x", mem_bytes=1024)
    with pytest.raises(GraphError, match="no stages"):
        StreamProblem(stages=(), devices=(device,))
    with pytest.raises(GraphError, match="same name"):
        StreamProblem(stages=(stage, stage), devices=(device,))
    with pytest.raises(GraphError, match="'b', which is no stage"):
        StreamProblem(
            stages=(stage,), devices=(device,), edges=(StreamEdge(source="a", target="b"),)
        )
    with pytest.raises(NoDevice, match="x: does not support it"):
        StreamProblem(stages=(StreamStage(name="a", seconds={}),), devices=(device,))
    with pytest.raises(NoDevice, match=r"1\.0 KiB too small"):
        StreamProblem(
            stages=(StreamStage(name="a", seconds={"x": 1.0}, mem_bytes=2048),), devices=(device,)
        )
    for seconds in (-1.0, math.nan, math.inf):
        with pytest.raises(InputError, match="stage 'a' costs"):
            StreamStage(name="a", seconds={"x": seconds})
    with pytest.raises(InputError, match="no stage costs"):
        StreamProblem(stages=(StreamStage(name="a", seconds={"x": 0.0}),), devices=(device,))
    twice = tuple(StreamStage(name=n, seconds={"x": 1.0}, mem_bytes=700) for n in "ab")
    with pytest.raises(NoDevice, match="by 376 B"):
        place_stream(StreamProblem(stages=twice, devices=(device,)))
