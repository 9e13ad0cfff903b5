"""Placements are optimal for few stages, good for many, and the same each time."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import Concurrency, Estimate
from deepseek_core.contracts.errors import NoDevice
from deepseek_core.schedule.explain import as_json, as_text
from deepseek_core.schedule.placement import makespan_s, period_s, place
from deepseek_core.schedule.problem import Candidate, Objective, Problem, StageOptions


def measured(seconds):
    return Estimate(seconds=seconds, sigma=0.1, source="measured", samples=9)


def chain(*costs, objective=Objective.PERIOD, concurrency=None, cores=8, pins=None):
    """A chain of stages; each cost maps device -> seconds or None."""
    stages = []
    for index, row in enumerate(costs):
        stages.append(
            StageOptions(
                name=f"s{index}",
                predecessors=(f"s{index - 1}",) if index else (),
                candidates=tuple(
                    Candidate(device_id=d, refusal="too small")
                    if seconds is None
                    else Candidate(device_id=d, estimate=measured(seconds))
                    for d, seconds in row.items()
                ),
                pinned_to=(pins or {}).get(f"s{index}", ()),
            )
        )
    return Problem(
        stages=tuple(stages), concurrency=concurrency or {}, host_cores=cores, objective=objective
    )


def test_a_stream_is_split_although_one_device_is_faster_at_everything():
    problem = chain({"cpu": 6.0, "fpga": None}, {"cpu": 2.0, "fpga": 5.0})
    placement = place(problem)
    assert dict(placement.devices) == {"s0": "cpu", "s1": "fpga"}
    assert placement.value_s == pytest.approx(6.0)
    assert placement.single_device == {"cpu": pytest.approx(8.0)}


def test_one_batch_goes_to_the_fastest_device():
    problem = chain(
        {"cpu": 6.0, "fpga": None}, {"cpu": 2.0, "fpga": 5.0}, objective=Objective.MAKESPAN
    )
    assert dict(place(problem).devices) == {"s0": "cpu", "s1": "cpu"}


def test_devices_that_share_the_hosts_cores_are_no_free_lunch():
    """On one core a second runtime that is slower only adds work."""
    both = dict.fromkeys(("cpu", "pocl"), Concurrency(slots=1, host_threads=1))
    costs = {"cpu": 6.0, "pocl": None}, {"cpu": 2.0, "pocl": 5.0}
    assert place(chain(*costs, concurrency=both, cores=1)).devices["s1"] == "cpu"
    assert place(chain(*costs, concurrency=both, cores=2)).devices["s1"] == "pocl"


def test_a_pin_overrides_the_costs():
    problem = chain({"a": 1.0, "b": 9.0}, pins={"s0": ("b",)})
    placement = place(problem)
    assert placement.devices["s0"] == "b"
    assert "pinned" in as_text(problem, placement, {})


def test_a_stage_that_nobody_runs_says_why():
    with pytest.raises(NoDevice, match=r"'s1'.*cpu: too small; fpga: too small") as caught:
        place(chain({"cpu": 1.0}, {"cpu": None, "fpga": None}))
    assert caught.value.refusals == {"cpu": "too small", "fpga": "too small"}


def test_a_pin_to_a_device_that_refuses_says_why():
    with pytest.raises(NoDevice, match=r"pinned to .*fpga: too small"):
        place(chain({"cpu": 1.0, "fpga": None}, pins={"s0": ("fpga",)}))


costs = st.lists(
    st.fixed_dictionaries({d: st.one_of(st.none(), st.floats(0.1, 10)) for d in "bc"}).map(
        lambda row: {"a": 3.0, **row}
    ),
    min_size=1,
    max_size=5,
)


@given(costs, st.sampled_from(Objective))
def test_no_assignment_beats_the_placement(rows, objective):
    problem = chain(*rows, objective=objective)
    score = period_s if objective is Objective.PERIOD else makespan_s
    every = itertools.product(*(s.allowed() for s in problem.stages))
    best_s = min(score(problem, a) for a in every)
    placement = place(problem)
    if len(placement.routes) == 1:
        assert placement.value_s == pytest.approx(best_s)
    else:
        assert placement.value_s <= 0.95 * best_s, "replicated without need"
    assert place(problem) == placement


@settings(max_examples=10)
@given(st.lists(st.tuples(*[st.floats(0.1, 10)] * 3), min_size=10, max_size=24))
def test_long_streams_are_near_the_load_that_no_one_can_avoid(rows):
    problem = chain(*({"a": a, "b": b, "c": c} for a, b, c in rows))
    placement = place(problem)
    assert placement.value_s <= min(placement.single_device.values()) * (1 + 1e-9)
    unavoidable = sum(min(row) for row in rows) / 3
    assert placement.lower_bound_s >= unavoidable * (1 - 1e-9)
    assert placement.value_s <= placement.lower_bound_s * 1.3


def test_a_stage_is_shared_out_where_that_is_worth_it():
    problem = chain({"a": 6.0, "b": 6.0})
    placement = place(problem)
    assert placement.value_s == pytest.approx(3.0)
    assert placement.shares("s0") == {"a": pytest.approx(0.5), "b": pytest.approx(0.5)}
    text = as_text(problem, placement, {("s0", "a"): 6.0, ("s0", "b"): 8.0})
    assert "s0 is shared out: a takes 50%, b takes 50% of the batches" in text
    assert "last run: 4 s measured, 3 s estimated" in text


def test_a_long_batch_is_placed_by_list_scheduling():
    rows = [{"a": 1.0 + i % 3, "b": 2.0 - i % 2} for i in range(16)]
    placement = place(chain(*rows, objective=Objective.MAKESPAN))
    fastest = sum(min(row.values()) for row in rows)
    assert not placement.optimal
    # A chain's best makespan is the sum of the fastest, at the 90 % quantile of sigma 0.1.
    assert placement.value_s == pytest.approx(fastest * 1.1367, rel=1e-3)


def test_the_explanation_names_the_rival_and_the_gain():
    problem = chain({"cpu": 6.0, "fpga": None}, {"cpu": 2.0, "fpga": 5.0})
    placement = place(problem)
    facts = as_json(problem, placement, {("s1", "fpga"): 4.9})
    assert facts["placement"] == {"s0": "cpu", "s1": "fpga"}
    assert facts["stages"][1]["candidates"][1]["measured_s"] == 4.9
    assert facts["stages"][0]["candidates"][1]["refusal"] == "too small"
    assert "although cpu alone would be faster" in facts["why"][1]
    assert "1.33x the rate of cpu alone" in facts["summary"]


def test_after_a_run_the_explanation_compares_estimate_and_measurement():
    problem = chain({"cpu": 6.0, "fpga": None}, {"cpu": 2.0, "fpga": 5.0})
    placement = place(problem)
    measured_costs = {("s0", "cpu"): 7.0, ("s1", "fpga"): 4.0}
    text = as_text(problem, placement, measured_costs)
    assert "best alternative: s1 on cpu: 8 s estimated (+33 %)" in text
    assert "last run: 7 s measured, 6 s estimated" in text
    assert as_json(problem, placement, measured_costs)["measured_value_s"] == 7.0
    assert as_json(problem, placement, {})["measured_value_s"] is None
