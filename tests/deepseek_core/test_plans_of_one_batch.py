"""One batch: transfers, orders, waits that pay; what a plan says is what a run takes."""

import itertools
import math
import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_problems import problems

from deepseek_core import Concurrency, Estimate
from deepseek_core.contracts.errors import GraphError, InputError, NoDevice
from deepseek_core.schedule.dag.solver import solve
from deepseek_core.schedule.explain import as_text
from deepseek_core.schedule.of_problem import task_graph
from deepseek_core.schedule.placement import place
from deepseek_core.schedule.problem import Candidate, Link, Objective, Problem, StageOptions
from deepseek_core.schedule.value import bound_of, cost_s, makespan_s, played


def stage(name, before=(), mem_bytes=0, **seconds):
    """`before` names stages, or maps them to the bytes that are read; seconds by device."""
    read = before if isinstance(before, dict) else {}
    return StageOptions(
        name=name, predecessors=tuple(before), read_bytes=read,
        candidates=tuple(
            Candidate(
                device_id=d,
                estimate=Estimate(seconds=s, sigma=0.0, source="measured", mem_bytes=mem_bytes),
            )
            for d, s in seconds.items()
        ),
    )  # fmt: skip


def one_batch(*stages, links=None, slots=None, memory=None):
    return Problem(
        stages=stages, host_cores=8, objective=Objective.MAKESPAN, links=links or {},
        memory=memory or {},
        concurrency={d: Concurrency(slots=n) for d, n in (slots or {}).items()},
    )  # fmt: skip


def chosen(problem, placement):
    return tuple(
        next(c for c in one.candidates if c.device_id == placement.devices[one.name])
        for one in problem.stages
    )


def keeps_its_promise(problem, placement):
    taken_s = makespan_s(problem, chosen(problem, placement), placement.order, placement.holds)
    assert taken_s == pytest.approx(placement.value_s, rel=1e-9)
    assert placement.lower_bound_s <= placement.value_s * (1 + 1e-9)
    if placement.optimal:
        assert placement.lower_bound_s == pytest.approx(placement.value_s, rel=1e-8)


def least_makespan_s(problem):
    """Of all assignments and all orders, each stage behind what its slot has."""
    allowed = [one.allowed() for one in problem.stages]
    return min(
        listed_s(problem, assignment, order)
        for assignment in itertools.product(*allowed)
        for order in itertools.permutations(range(len(allowed)))
    )


def listed_s(problem, assignment, order):
    ends, free = {}, {}
    home = {s.name: c.device_id for s, c in zip(problem.stages, assignment, strict=True)}
    for index in order:
        one, candidate = problem.stages[index], assignment[index]
        if not ends.keys() >= set(one.predecessors):
            return math.inf
        here = candidate.device_id
        link = {p: problem.links.get((home[p], here)) for p in one.predecessors}
        arrivals = [
            ends[p] + (link[p].latency_s + link[p].s_per_byte * one.read_bytes.get(p, 0))
            if link[p]
            else ends[p]
            for p in one.predecessors
        ]
        takes = problem.concurrency.get(here, Concurrency())
        slots = free.setdefault(here, [0.0] * takes.slots)
        start_s = max([min(slots), *arrivals])
        slots[slots.index(min(slots))] = ends[one.name] = start_s + cost_s(
            candidate, problem.objective
        )
    return max(ends.values())


@settings(max_examples=250)
@given(
    st.booleans().flatmap(
        lambda links: problems(
            sources=("measured",), objective=Objective.MAKESPAN, with_whole=False, links=links
        )
    )
)
def test_small_graphs_are_solved_to_proof_over_every_assignment_and_order(problem):
    placement = place(problem)
    assert placement.value_s == pytest.approx(least_makespan_s(problem), rel=1e-9)
    assert placement.optimal
    keeps_its_promise(problem, placement)


def test_a_transfer_counts_where_it_is_known():
    rows = stage("s0", a=1.0, b=5.0), stage("s1", {"s0": 10**6}, a=5.0, b=1.0)
    free = place(one_batch(*rows))
    assert (free.devices, free.value_s) == ({"s0": "a", "s1": "b"}, 2.0)
    quick = place(one_batch(*rows, links={("a", "b"): Link(latency_s=0.5, s_per_byte=1e-6)}))
    assert (quick.devices, quick.value_s) == ({"s0": "a", "s1": "b"}, 3.5)
    slow = place(one_batch(*rows, links={("a", "b"): Link(s_per_byte=1e-5)}))
    assert len(set(slow.devices.values())) == 1
    assert (slow.value_s, slow.optimal) == (6.0, True)
    other_way = place(one_batch(*rows, links={("b", "a"): Link(s_per_byte=1e-5)}))
    assert other_way.value_s == 2.0, "links go one way"


def test_a_latency_counts_without_a_byte_and_bytes_without_a_latency():
    rows = stage("s0", a=1.0), stage("s1", ("s0",), b=1.0)
    assert place(one_batch(*rows, links={("a", "b"): Link(latency_s=0.25)})).value_s == 2.25
    assert place(one_batch(*rows, links={("a", "b"): Link(s_per_byte=1.0)})).value_s == 2.0


@pytest.mark.parametrize("wrong", [-1.0, math.inf, math.nan])
def test_a_link_is_of_finite_times(wrong):
    with pytest.raises(InputError, match="must be a finite number"):
        Link(s_per_byte=wrong)


def waiting():
    """`filler` is ready on y at once; `urgent` a second later, and much follows it."""
    return one_batch(
        stage("first", x=1.0),
        stage("filler", y=5.0),
        stage("urgent", ("first",), y=5.0),
        stage("long", ("urgent",), x=10.0),
    )


def test_a_device_waits_for_what_is_more_urgent_where_that_pays():
    placement = place(waiting())
    assert placement.holds == (("urgent", "filler"),)
    assert (placement.value_s, placement.optimal) == (16.0, True)
    keeps_its_promise(waiting(), placement)
    begun, ended = played(waiting(), chosen(waiting(), placement), placement.order, placement.holds)
    assert begun == [0.0, 6.0, 1.0, 6.0] and ended == [1.0, 11.0, 6.0, 16.0]
    greedy_s = makespan_s(waiting(), chosen(waiting(), placement), placement.order)
    assert greedy_s == 20.0
    assert "16 s" in as_text(waiting(), placement, {})


def layered(size, seed, devices="abc", slots=None, links=True):
    """Stages that read one or two of the three before them."""
    rng = random.Random(seed)
    pairs = [(a, b) for a in devices for b in devices if a != b]
    return one_batch(
        *(
            stage(
                f"s{n}",
                {f"s{rng.randrange(max(0, n - 3), n)}": rng.randrange(1000) for _ in "ab"}
                if n
                else {},
                **{d: rng.lognormvariate(0, 1) for d in devices},
            )
            for n in range(size)
        ),
        links={pair: Link(latency_s=0.1, s_per_byte=1e-3) for pair in pairs} if links else {},
        slots=slots,
    )


@settings(max_examples=12)
@given(st.integers(6, 40), st.integers(0, 2**20), st.sampled_from([{}, {"a": 2}]), st.booleans())
def test_a_run_keeps_what_the_plan_of_many_stages_says(size, seed, slots, links):
    problem = layered(size, seed, slots=slots, links=links)
    placement = place(problem)
    keeps_its_promise(problem, placement)
    assert placement.value_s <= solve(task_graph(problem), passes=24).makespan * (1 + 1e-9)
    assert placement.value_s <= min(placement.single_device.values()) * (1 + 1e-9)


def test_equal_input_equal_plan():
    assert place(layered(30, 7)) == place(layered(30, 7))


@pytest.mark.parametrize("seed", range(3))
def test_the_default_effort_is_near_what_six_times_as_much_finds(seed):
    problem = layered(45, seed, devices="abcd")
    most = solve(task_graph(problem), effort_s=1.2).makespan
    assert place(problem).value_s <= 1.03 * most


# -- shapes of models, and other graphs ----------------------------------------------------------


def blocks(branches, depth):
    """Inception or U-Net: branches between two points, and a skip over each block."""
    rows, last = [stage("in", a=1.0, b=2.0)], "in"
    for block in range(depth):
        names = [f"b{block},{n}" for n in range(branches)]
        rows += [stage(name, {last: 500}, a=1.0 + n, b=2.0) for n, name in enumerate(names)]
        rows.append(stage(f"join{block}", dict.fromkeys([*names, last], 500), a=0.5, b=0.5))
        last = f"join{block}"
    return rows


SHAPES = {
    "one stage": [stage("s", a=2.0, b=1.0)],
    "chain": [stage(f"s{n}", {f"s{n - 1}": 9} if n else {}, a=1.0, b=1.0) for n in range(12)],
    "inception": blocks(4, 3),
    "residual": blocks(1, 6),
    "fork": [
        stage("in", a=1.0, b=1.0), *(stage(f"w{n}", {"in": 1}, a=1.0, b=1.0) for n in range(9))
    ],
    "two components": [
        *blocks(2, 1), stage("other", a=3.0, b=3.0), stage("after", ("other",), b=1.0)
    ],
    "only one is able": [stage("p", a=1.0, b=1.0), stage("q", {"p": 7}, b=4.0)],
    "ties": [stage(f"s{n}", a=1.0, b=1.0, c=1.0) for n in range(7)],
    "no time": [stage(f"s{n}", (f"s{n - 1}",) if n else (), a=0.0, b=0.0) for n in range(5)],
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slots", [1, 3])
def test_graphs_of_every_shape_are_planned(shape, slots):
    pairs = [("a", "b"), ("b", "a"), ("c", "a")]
    links = {pair: Link(latency_s=0.01, s_per_byte=1e-4) for pair in pairs}
    problem = one_batch(*SHAPES[shape], links=links, slots={"a": slots})
    placement = place(problem)
    keeps_its_promise(problem, placement)
    assert placement.optimal or len(problem.stages) > 16
    assert as_text(problem, placement, {})


def test_five_thousand_stages_are_a_plan_like_any_other():
    problem = one_batch(
        *(stage(f"s{n}", {f"s{n - 1}": 5} if n else {}, a=1.0, b=1.0 + n % 2) for n in range(5000)),
        links={("a", "b"): Link(s_per_byte=1.0), ("b", "a"): Link(s_per_byte=1.0)},
    )
    placement = place(problem)
    assert placement.value_s == 5000.0 and placement.optimal


# -- memory --------------------------------------------------------------------------------------


def test_the_slots_of_a_device_share_its_memory():
    rows = [stage(f"s{n}", mem_bytes=600, a=1.0, b=1.6) for n in range(3)]
    problem = one_batch(*rows, slots={"a": 3}, memory={"a": 1300})
    placement = place(problem)
    assert sorted(placement.devices.values()) == ["a", "a", "b"]
    assert placement.value_s == 1.6
    assert place(one_batch(*rows, slots={"a": 3}, memory={"a": 1800})).value_s == 1.0


def test_what_a_stage_needs_elsewhere_bars_it_from_nowhere():
    """b needs ten times the bytes, and has no limit."""
    rows = tuple(
        attrs.evolve(
            stage(f"s{n}", a=1.0, b=9.0),
            candidates=tuple(
                Candidate(
                    device_id=d,
                    estimate=Estimate(seconds=s, sigma=0.0, source="measured", mem_bytes=m),
                )
                for d, s, m in (("a", 1.0, 100), ("b", 9.0, 1000))
            ),
        )
        for n in range(9)
    )
    placement = place(one_batch(*rows, memory={"a": 900}))
    assert set(placement.devices.values()) == {"a"}


# -- what makes no sense -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows, word",
    [
        ([stage("s", a=1.0), stage("s", a=1.0)], "two stages are called 's'"),
        ([stage("s", ("t",), a=1.0)], "there is no such stage"),
        ([stage("s", ("t",), a=1.0), stage("t", ("s",), a=1.0)], "does not come before it"),
        ([stage("s", ("s",), a=1.0)], "does not come before it"),
    ],
)
def test_stages_that_wait_for_nothing_or_themselves_are_named(rows, word):
    with pytest.raises(GraphError, match=word):
        one_batch(*rows)


@pytest.mark.parametrize("objective", Objective)
@pytest.mark.parametrize("huge", [{"seconds": 1e308}, {"seconds": 1.0, "sigma": 1e308}])
def test_a_cost_beyond_all_counting_is_no_choice(objective, huge):
    endless = Candidate(
        device_id="a", estimate=Estimate(**{"sigma": 0.0, "source": "model", **huge})
    )
    rows = [
        attrs.evolve(one, candidates=(endless, *one.candidates))
        for one in (stage("s0", b=1.0), stage("s1", ("s0",), b=2.0))
    ]
    problem = attrs.evolve(one_batch(*rows), objective=objective)
    placement = place(problem)
    assert placement.used() == {"b"} and math.isfinite(placement.value_s)
    lonely = attrs.evolve(problem, stages=(attrs.evolve(rows[0], candidates=(endless,)),))
    with pytest.raises(NoDevice, match="too long for any plan"):
        place(lonely)


@given(problems(sources=("measured",), objective=Objective.MAKESPAN, with_whole=False, links=True))
def test_no_run_beats_the_bound_of_its_assignment(problem):
    for assignment in itertools.islice(
        itertools.product(*(one.allowed() for one in problem.stages)), 20
    ):
        assert bound_of(problem, assignment) <= makespan_s(problem, assignment) * (1 + 1e-9)
