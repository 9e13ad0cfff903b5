"""Which costs a placement rests on, for random problems: never a guess before a measurement."""

import attrs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from placement_problems import DEVICES, problems

from deepseek_core import Estimate
from deepseek_core.contracts.errors import NoDevice
from deepseek_core.schedule.belief import believed
from deepseek_core.schedule.explain import as_json, as_text
from deepseek_core.schedule.placement import place
from deepseek_core.schedule.problem import Candidate, Objective, Problem, StageOptions

quick = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
founded = problems(sources=("measured", "model"))


def able(stage):
    return [c for c in stage.eligible() if c.estimate is not None]


def chosen_rows(problem, placement):
    """(what was to be chosen from, what was chosen) of each decision.

    All parts on one device may be chosen for what they cost there one by one, where the whole was
    not measured there.
    """
    if placement.is_uncut(believed(problem)):
        (device,) = placement.used()
        return [(problem.whole, problem.whole_on(device))]
    return [
        (stage, next(c for c in stage.candidates if c.device_id == device))
        for stage in problem.stages
        for device in placement.shares(stage.name)
    ]


def guess(device_id, seconds, *, reads_model=False):
    estimate = Estimate(seconds=seconds, sigma=1.0, source="prior")
    return Candidate(device_id=device_id, estimate=estimate, reads_model=reads_model)


def measured(device_id, seconds):
    estimate = Estimate(seconds=seconds, sigma=0.1, source="measured", samples=9)
    return Candidate(device_id=device_id, estimate=estimate)


def one_stage(*candidates, **more):
    stage = StageOptions(name="s0", candidates=candidates, **more)
    return Problem(stages=(stage,), concurrency={}, host_cores=2, objective=Objective.MAKESPAN)


@quick
@given(problems())
def test_a_guess_is_never_preferred_to_a_measurement(problem):
    for row, choice in chosen_rows(problem, place(problem)):
        assert choice.is_founded or not any(c.is_founded for c in able(row))


@quick
@given(problems(sources=("prior",)))
def test_among_guesses_the_devices_that_load_the_model_as_it_is_come_first(problem):
    for row, choice in chosen_rows(problem, place(problem)):
        assert choice.reads_model or not any(c.reads_model for c in able(row))


@quick
@given(problems())
def test_pins_hold_and_devices_that_refuse_get_nothing(problem):
    placement = place(problem)
    for stage in problem.stages:
        used = set(placement.shares(stage.name))
        assert not stage.pinned_to or used <= set(stage.pinned_to)
        if not placement.is_uncut(believed(problem)):
            assert used <= {c.device_id for c in able(stage)}


@quick
@given(problems(with_whole=True))
def test_the_choice_is_never_worse_than_the_whole_model_on_one_device(problem):
    assume(problem.whole is not None)
    placement = place(problem)
    kept = [c.device_id for c in able(believed(problem).whole)]
    assert {d: placement.single_device[d] for d in kept}
    assert placement.value_s <= min(placement.single_device[d] for d in kept)


@quick
@given(problems(with_whole=True))
def test_a_cut_is_made_only_where_it_is_measured_and_clearly_better(problem):
    assume(problem.whole is not None)
    placement = place(problem)
    if len(placement.used()) == 1:
        return
    assert all(choice.is_founded for _, choice in chosen_rows(problem, placement))
    kept = [c.device_id for c in able(believed(problem).whole)]
    assert placement.value_s < 0.95 * min(placement.single_device[d] for d in kept)


@quick
@given(problems())
def test_equal_input_gives_equal_output_and_an_explanation(problem):
    again = attrs.evolve(problem, stages=tuple(attrs.evolve(s) for s in problem.stages))
    first = place(problem)
    assert place(again) == first
    assert as_text(problem, first, {}).count("  why: ") >= len(problem.stages)
    assert as_json(problem, first, {})["value_s"] == first.value_s


@quick
@given(founded, st.data())
def test_a_device_that_was_never_measured_changes_no_measured_choice(problem, data):
    def joined(stage):
        seconds = data.draw(st.floats(1e-6, 20.0))
        new = guess("new", seconds, reads_model=data.draw(st.booleans()))
        return attrs.evolve(stage, candidates=(*stage.candidates, new))

    before = place(problem)
    whole = None if problem.whole is None else joined(problem.whole)
    after = place(attrs.evolve(problem, stages=tuple(map(joined, problem.stages)), whole=whole))
    assert after.routes == before.routes
    assert after.value_s == before.value_s


@quick
@given(founded, st.data())
def test_a_worse_candidate_makes_no_plan_slower(problem, data):
    index = data.draw(st.integers(0, len(problem.stages) - 1))
    stage = problem.stages[index]
    refusing = [c for c in stage.eligible() if c.estimate is None]
    assume(refusing)
    worst_s = max(c.estimate.seconds for c in able(stage))
    new = measured(refusing[0].device_id, worst_s * data.draw(st.floats(1.0, 3.0)))
    row = tuple(new if c.device_id == new.device_id else c for c in stage.candidates)
    stages = list(problem.stages)
    stages[index] = attrs.evolve(stage, candidates=row)
    more = attrs.evolve(problem, stages=tuple(stages))
    assert place(more).value_s <= place(problem).value_s * (1 + 1e-9)


def test_a_measured_device_is_chosen_over_any_guess():
    problem = one_stage(measured("slow", 9.0), guess("quick", 1e-6, reads_model=True))
    assert place(problem).devices == {"s0": "slow"}


def test_a_device_that_loads_the_model_goes_before_a_quicker_guess():
    problem = one_stage(guess("parts", 1.0), guess("whole", 2.0, reads_model=True))
    assert place(problem).devices == {"s0": "whole"}


def test_a_pin_to_a_guess_is_obeyed():
    problem = one_stage(measured("slow", 9.0), guess("quick", 1.0), pinned_to=("quick",))
    assert place(problem).devices == {"s0": "quick"}


def test_nobody_left_is_told_with_each_reason():
    out = Candidate(device_id="a", refusal="quarantined: the cable is out")
    with pytest.raises(NoDevice, match="the cable is out"):
        place(one_stage(out, Candidate(device_id="b", refusal="too small")))


@pytest.mark.parametrize("objective", Objective)
def test_each_able_device_is_a_candidate_for_the_whole(objective):
    problem = attrs.evolve(one_stage(measured("a", 3.0), measured("b", 2.0)), objective=objective)
    stage = problem.stages[0]
    two = attrs.evolve(
        problem,
        stages=(stage, attrs.evolve(stage, name="s1", predecessors=("s0",))),
        whole=StageOptions(
            name="s0 + s1", candidates=(measured("a", 1.0), measured("b", 1.5), measured("c", 9.0))
        ),
    )
    placement = place(two)
    assert set(placement.single_device) == {"a", "b", "c"}
    assert placement.devices == {"s0": "a", "s1": "a"}
    assert placement.is_uncut(two)


def test_the_random_problems_know_all_kinds():
    kinds = set()

    @settings(max_examples=80, database=None)
    @given(problems())
    def look(problem):
        placement = place(problem)
        kinds.add("uncut" if placement.is_uncut(problem) else "cut")
        kinds.add("shared" if len(placement.routes) > 1 else "one route")
        kinds.update(placement.used())

    look()
    assert kinds == {"uncut", "cut", "shared", "one route", *DEVICES}


@pytest.mark.parametrize("objective", Objective)
@pytest.mark.parametrize(("saved", "is_cut"), [(0.0, False), (0.04, False), (0.06, True)])
def test_a_cut_must_save_more_than_measurements_differ_by(saved, is_cut, objective):
    """Two stages; the second one is quick on another device."""
    cut_s = 4.0 if objective is Objective.PERIOD else 5.0
    whole_s = cut_s / (1 - saved)
    first = StageOptions(name="s0", candidates=(measured("a", 4.0),))
    second = StageOptions(
        name="s1", predecessors=("s0",), candidates=(measured("a", 4.0), measured("b", 1.0))
    )
    problem = Problem(
        stages=(first, second),
        concurrency={},
        host_cores=2,
        objective=objective,
        whole=StageOptions(name="s0 + s1", candidates=(measured("a", whole_s),)),
    )
    assert place(problem).is_uncut(problem) != is_cut
