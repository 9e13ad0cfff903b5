"""Placements are optimal for few stages, good for many, and the same each time."""

import itertools

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import Concurrency, Estimate
from deepseek_core.contracts.errors import NoDevice
from deepseek_core.schedule.explain import as_json, as_text
from deepseek_core.schedule.placement import place
from deepseek_core.schedule.problem import Candidate, Objective, Problem, StageOptions
from deepseek_core.schedule.value import makespan_s, period_s


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
    assert placement.optimal and placement.rule.startswith("list scheduling")
    # A chain's best makespan is the sum of the fastest, at the 90 % quantile of sigma 0.1.
    assert placement.value_s == pytest.approx(fastest * 1.1367, rel=1e-3)


def test_the_explanation_names_the_rival_and_the_gain():
    problem = chain({"cpu": 6.0, "fpga": None}, {"cpu": 2.0, "fpga": 5.0})
    placement = place(problem)
    facts = as_json(problem, placement, {("s1", "fpga"): 4.9})
    assert facts["placement"] == {"s0": "cpu", "s1": "fpga"}
    assert facts["stages"][1]["candidates"][1]["measured_s"] == 4.9
    assert facts["stages"][0]["candidates"][1]["refusal"] == "too small"
    assert facts["why"][1] == "s1 runs on fpga: cpu is faster alone (2 vs 5 s) but is busy with s0."
    assert facts["summary"] == (
        "s0 on cpu, s1 on fpga. Steady state: one batch every 6 s (optimal for these costs), "
        "1.33x the rate of cpu alone."
    )


def test_after_a_run_the_explanation_compares_estimate_and_measurement():
    problem = chain({"cpu": 6.0, "fpga": None}, {"cpu": 2.0, "fpga": 5.0})
    placement = place(problem)
    measured_costs = {("s0", "cpu"): 7.0, ("s1", "fpga"): 4.0}
    text = as_text(problem, placement, measured_costs)
    assert "best alternative: s1 on cpu: 8 s estimated (+33 %)" in text
    assert "last run: 7 s measured, 6 s estimated" in text
    assert as_json(problem, placement, measured_costs)["measured_value_s"] == 7.0
    assert as_json(problem, placement, {})["measured_value_s"] is None


def guessed(seconds):
    return Estimate(seconds=seconds, sigma=1.0, source="prior")


def whole(problem, name="s0 + s1", **costs):
    """The problem with devices that run all of it as one; costs as in `chain`."""
    candidates = tuple(
        Candidate(device_id=d, refusal="too large")
        if cost is None
        else Candidate(device_id=d, estimate=cost if isinstance(cost, Estimate) else measured(cost))
        for d, cost in costs.items()
    )
    return attrs.evolve(problem, whole=StageOptions(name=name, candidates=candidates))


def with_guesses(problem, *device_ids):
    """The problem with the costs of these devices as guesses."""

    def guess(c):
        is_mine = c.device_id in device_ids and c.estimate is not None
        return attrs.evolve(c, estimate=guessed(c.estimate.seconds)) if is_mine else c

    stages = (
        attrs.evolve(stage, candidates=tuple(map(guess, stage.candidates)))
        for stage in problem.stages
    )
    return attrs.evolve(problem, stages=tuple(stages))


def told(problem):
    """The placement, its explanation as text and as JSON."""
    placement = place(problem)
    return placement, as_text(problem, placement, {}), as_json(problem, placement, {})


def test_a_line_of_a_table_has_no_word_that_needs_a_table_of_its_own():
    _, text, _ = told(with_guesses(chain({"cpu": 2.5, "npu": None, "gpu": 13.6e-6}), "gpu"))
    lines = text.splitlines()
    assert lines[1].split("   ")[-2:] == ["2.1 to 2.9 s (90 % range)", "measured, 9 samples"]
    assert lines[2].endswith("refused: too small")
    assert "about 13.6 us   2.6 to 70 us (90 % range)   a guess; not measured yet" in lines[3]
    assert lines[-1] == "note: some of these costs are guesses; `ds-sdk calibrate` measures them"


def test_costs_of_other_batch_sizes_and_of_a_formula_are_told_apart():
    problem = chain({"a": 1.0, "b": 1.0})
    estimates = (
        Estimate(seconds=1.0, sigma=0.2, source="model", samples=4),
        Estimate(seconds=2.0, sigma=0.2, source="model"),
    )
    pairs = zip(problem.stages[0].candidates, estimates, strict=True)
    candidates = tuple(attrs.evolve(c, estimate=e) for c, e in pairs)
    stage = attrs.evolve(problem.stages[0], candidates=candidates)
    _, text, _ = told(attrs.evolve(problem, stages=(stage,)))
    assert "measured at other batch sizes, 4 samples" in text
    assert "the device's own formula; not measured here" in text


def test_a_device_that_takes_all_cores_makes_the_other_stages_wait():
    takes = {
        "cpu": Concurrency(slots=2, host_threads=1),
        "pocl": Concurrency(slots=1, host_threads=2),
    }
    costs = {"cpu": 18.4e-3, "pocl": 12.6e-3}
    problem = chain({"cpu": 90e-3, "pocl": None}, costs, concurrency=takes, cores=2)
    _, _, facts = told(problem)
    assert facts["why"][1] == (
        "s1 runs on cpu: pocl is faster alone (12.6 vs 18.4 ms) but takes both CPU cores, "
        "so s0 would wait; sharing cpu is faster overall."
    )
    _, _, facts = told(chain(costs, concurrency=takes, cores=2))
    assert facts["why"] == [
        "s0 runs on cpu: pocl is faster alone (12.6 vs 18.4 ms) but takes both CPU cores, "
        "and cpu runs 2 batches at once."
    ]


def test_a_faster_guess_is_named_but_not_believed():
    placement, text, facts = told(with_guesses(chain({"cpu": 2.0, "npu": 1.0}), "npu"))
    assert placement.devices["s0"] == "cpu"
    assert facts["why"] == [
        "s0 runs on cpu (2 s); npu may be faster (about 1 s), but that is a guess: "
        "`ds-sdk calibrate` measures it."
    ]
    assert "optimal" not in facts["summary"]
    assert "guesses" in text.splitlines()[-1]


def test_what_rests_on_guesses_says_so():
    _, _, facts = told(with_guesses(chain({"a": 1.0, "b": 2.0}), "a", "b"))
    assert facts["why"] == [
        "s0 runs on a, where it costs least: about 1 s, against about 2 s on b "
        "(guesses; not measured yet)."
    ]
    assert "(a guess; not measured yet)" in facts["summary"]


COSTS = {"cpu": 6.0, "fpga": None}, {"cpu": 4.0, "fpga": 3.0}


def test_a_cut_that_pays_is_made_and_says_what_it_saves():
    placement, text, facts = told(whole(chain(*COSTS), cpu=9.0, fpga=None))
    assert dict(placement.devices) == {"s0": "cpu", "s1": "fpga"}
    assert facts["whole"]["why"] == "a cut pays: one batch every 6 s, against 9 s uncut on cpu."
    assert not facts["whole"]["chosen"]
    assert text.count("whole model, uncut\n") == 1


@pytest.mark.parametrize(
    ("uncut_s", "why"),
    [
        (5.0, "a cut does not pay: with s1 on fpga one batch every 6 s, not 5 s."),
        (6.2, "a cut with s1 on fpga would save 3%, less than such estimates are off."),
        (guessed(9.0), "with s1 on fpga one batch every 6 s, but that rests on guesses; "
                       "`ds-sdk calibrate` measures it."),
    ],
)  # fmt: skip
def test_a_cut_that_may_not_pay_is_not_made(uncut_s, why):
    placement, _, facts = told(whole(chain(*COSTS), cpu=uncut_s, fpga=None))
    assert set(placement.devices.values()) == {"cpu"}
    assert facts["whole"]["chosen"]
    assert facts["whole"]["why"] == why
    assert facts["why"][0] == "s0 runs on cpu, uncut with the rest of the model."
    assert facts["summary"].startswith("all stages on cpu. ")


def test_without_another_cut_the_reason_is_the_true_one():
    alone = {"cpu": 6.0, "fpga": None}, {"cpu": 2.0, "fpga": None}
    slow = {"cpu": 6.0, "fpga": None}, {"cpu": 2.0, "fpga": 50.0}
    for costs, guesses, why in (
        (alone, (), "no other device can run a part of it."),
        (slow, (), "no cut is estimated to be faster."),
        (slow, ("fpga",), "what its parts cost elsewhere was not measured yet; "
                          "`ds-sdk calibrate` measures it."),
    ):  # fmt: skip
        problem = whole(with_guesses(chain(*costs), *guesses), cpu=4.0, fpga=None)
        _, _, facts = told(problem)
        assert facts["whole"]["why"] == why


def test_a_model_that_nobody_takes_whole_says_who_refused():
    _, _, facts = told(whole(chain(*COSTS), cpu=None, fpga=None))
    assert facts["whole"]["why"] == (
        "no device can run all of it (cpu: too large; fpga: too large)."
    )
    _, _, facts = told(whole(chain(*COSTS, pins={"s1": ("fpga",)}), fpga=None))
    assert facts["whole"]["why"] == "no device that the pins allow can run all of it."


def test_a_device_takes_what_is_ready_and_a_bound_is_none_of_one_order_alone():
    """`s2` waits for nobody, so that it runs while `s1` waits for `s0`."""
    rows = [("s0", (), "a"), ("s1", ("s0",), "b"), ("s2", (), "b")]
    stages = tuple(
        StageOptions(
            name=name, predecessors=before,
            candidates=(Candidate(device_id=device, estimate=measured(0.3)),),
        )
        for name, before, device in rows
    )  # fmt: skip
    placement = place(
        Problem(stages=stages, concurrency={}, host_cores=2, objective=Objective.MAKESPAN)
    )
    assert placement.optimal
    assert placement.value_s == pytest.approx(2 * 0.3 * 1.1367, rel=1e-3)
    assert placement.lower_bound_s == pytest.approx(placement.value_s)


# -- memory -----------------------------------------------------------------------------------


def heavy(count, objective, small=1000, need=600, whole=False):
    """Stages that each need more than half of a fast device; a slow one has room for all."""

    def options(name, before, bytes_each):
        return StageOptions(
            name=name, predecessors=before,
            candidates=tuple(
                Candidate(device_id=d, estimate=attrs.evolve(measured(s), mem_bytes=bytes_each))
                for d, s in (("fast", 1.0), ("slow", 10.0))
            ),
        )  # fmt: skip

    stages = [options(f"s{i}", (f"s{i - 1}",) if i else (), need) for i in range(count)]
    return Problem(
        stages=tuple(stages), concurrency={}, host_cores=8, objective=objective,
        memory={"fast": small},
        whole=options("all", (), need * count) if whole else None,
    )  # fmt: skip


@pytest.mark.parametrize("objective", Objective)
@pytest.mark.parametrize("count", [2, 3, 16])
def test_a_device_holds_no_more_than_its_memory(count, objective):
    placement = place(heavy(count, objective))
    placed = {(stage, d) for devices, _ in placement.routes for stage, d in devices.items()}
    assert sum(device == "fast" for _, device in placed) == 1
    roomy = place(heavy(count, objective, small=600 * count))
    placed = {(stage, d) for devices, _ in roomy.routes for stage, d in devices.items()}
    assert sum(device == "fast" for _, device in placed) > 1


@pytest.mark.parametrize("objective", Objective)
def test_a_whole_model_goes_where_it_fits(objective):
    tight = place(heavy(2, objective, whole=True))
    assert list(tight.devices.values()).count("fast") <= 1
    roomy = place(heavy(2, objective, small=1200, whole=True))
    assert set(roomy.devices.values()) == {"fast"}


@pytest.mark.parametrize("objective", Objective)
@pytest.mark.parametrize("count", [2, 16])
def test_where_nothing_fits_by_the_estimates_loading_tells(count, objective):
    problem = attrs.evolve(heavy(count, objective), memory={"fast": 1, "slow": 1})
    assert place(problem).used() <= {"fast", "slow"}
