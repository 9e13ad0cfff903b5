"""Strategies on real processes: each mesh and schedule equals one process."""

import functools

import pytest
import rank_processes as group
import split_models as models

BOUND = 1e-5
MESHES = [  # dp, tp, pp
    (2, 2, 1, None),
    *((*sizes, name) for sizes in ((2, 1, 2), (1, 2, 2), (2, 2, 2))
      for name in ("1f1b", "interleaved", "zero_bubble")),
]  # fmt: skip


@functools.cache
def one_process(**options):
    return models.alone(**options)


def assert_equal(found, wanted):
    for rank in found:
        assert rank is not None, "a rank ended without a word"
        for (loss, norm), (wanted_loss, wanted_norm) in zip(rank, wanted, strict=True):
            assert loss == pytest.approx(wanted_loss, abs=BOUND)
            assert norm == pytest.approx(wanted_norm, rel=1e-4)


def run(plan, **given):
    return group.run(
        functools.partial(models.trained, **given),
        plan.mesh.num_ranks,
        plan,
    )


@pytest.mark.parametrize(("dp", "tp", "pp", "schedule"), MESHES)
def test_a_mesh_equals_one_process(dp, tp, pp, schedule):
    """Over 20 steps of SGD, to 1e-5 in loss; Adam would hide a gradient of the wrong scale."""
    plan = models.plan(
        "hybrid",
        dp * tp * pp,
        dp=dp,
        tp=tp,
        pp=pp,
        micro=models.BATCH // dp // 4,
        schedule=schedule,
    )
    assert dict(plan.mesh.sizes) == {"pp": pp, "dp": dp, "tp": tp}
    assert bool(plan.options.get("split")) == (tp > 1)
    assert len(plan.cut) == (pp if schedule in (None, "1f1b") else 2 * pp)
    assert_equal(run(plan), one_process())
    assert one_process()[-1][0] < 0.8 * one_process()[0][0]


@pytest.mark.parametrize(
    ("name", "shares", "wished"),
    [
        ("ddp", (1, 3), {"micro": 4}),
        ("fsdp", (2, 2), {"micro": 4}),
        ("fsdp", (1, 3), {"micro": 4}),
        ("tp", None, {"micro": 16}),
        ("pp", None, {"micro": 4, "schedule": "1f1b"}),
    ],
)
def test_a_strategy_equals_one_process(name, shares, wished):
    """Whatever the share of each replica: the gradient is the sum over all, by the count of all."""
    assert_equal(run(models.plan(name, 2, shares=shares, **wished)), one_process())


@pytest.mark.parametrize(("name", "wished"), [("ddp", {}), ("pp", {"schedule": "zero_bubble"})])
def test_a_loss_may_give_a_sum_and_a_count(name, wished):
    """As many words as each batch happens to have: no mean of means."""
    plan = models.plan(name, 2, micro=4, **wished)
    found = run(plan, loss=models.loss_of_words, steps=6)
    assert_equal(found, one_process(loss=models.loss_of_words, steps=6))


def test_parameters_that_only_some_replicas_use_are_summed():
    """Whatever the batches of each happen to use; and a sparse gradient is made dense."""
    odd = models.Odd()
    plan = models.plan("ddp", 2, model=odd, micro=1, shares=(4, 12))
    found = run(plan, model=models.Odd, steps=8)
    assert_equal(found, one_process(model=models.Odd, steps=8, micro=1))


def test_ranks_that_share_layers_draw_the_same_numbers():
    plan = models.plan("tp", 2, micro=16)
    one, other = group.run(models.dropped, 2, plan)
    assert one == other


def test_thirty_layers_on_four_stages_stay_thirty():
    model = models.language_model(blocks=28)
    plan = models.plan("pp", 4, model=model, micro=4, schedule="1f1b")
    assert sum(plan.cut) == 30 and len(plan.cut) == 4
    assert max(plan.cut[1:3]) == 7  # blocks alone; the ends are cheaper
    assert plan.options["layers"] == [str(number) for number in range(30)]


def test_a_pipeline_says_which_microbatches_do_not_fit():
    plan = models.plan("pp", 2, micro=4, schedule="interleaved")
    for told, items in group.run(models.uneven, 2, plan):
        uneven, few, by_name, no_call, none = told
        assert uneven[0] == few[0] == by_name[0] == no_call[0] == none[0] == "InputError"
        assert "microbatch 3 has shapes [(1, 5)] and microbatch 0 [(4, 5)]" in uneven[1]
        assert "1 microbatches do not fit 2 stages: interleaved needs a multiple of 2" in few[1]
        assert "by position" in by_name[1]
        assert "does not call the model" in no_call[1]
        assert "no microbatch" in none[1]
        assert items == models.BATCH


def test_a_plan_that_does_not_fit_is_told_by_its_dimension():
    plan = models.plan("pp", 2, micro=4, schedule="1f1b")
    for told in group.run(models.misfits, 2, plan):
        kinds, texts = [one[0] for one in told], [one[1] for one in told]
        assert kinds == [
            "MeshMismatch", "MeshMismatch", "InputError", "MeshMismatch", "MeshMismatch",
            "MeshMismatch", "MeshMismatch", "InputError", "InputError", "InputError",
        ]  # fmt: skip
        says = [
            "pp 4 x dp 1 x tp 1 are 4 ranks, and there are 2 processes",
            "stages of [2, 3] layers do not fit a model of 4",
            "1 microbatches do not fit 2 stages",
            "2 shares of microbatches for dp 1",
            "rank 1 has another model than rank 0",
            "stages 0 and 1 share the parameter 3.weight",
            "tp 2 does not divide the width 3 of the layer '0'",
            "the layer '1', a ReLU, can't be divided by 'column'",
            "the plan is of the strategy 'pp', and this is 'tp'",
            "a function is no nn.Module",
        ]
        assert all(part in text for part, text in zip(says, texts, strict=True)), texts


def test_an_optimizer_over_plain_and_divided_parameters():
    plan = models.plan("tp", 2, micro=16)
    for foreach, (kind, text) in group.run(models.mixed, 2, plan):
        assert foreach == [False]
        assert kind == "ConfigError"
        assert "AdamW has foreach=True over plain and divided parameters" in text


LOST = [
    ("ddp", {}),
    ("tp", {}),
    ("pp", {"schedule": "1f1b"}),
    ("pp", {"schedule": "zero_bubble"}),
    ("hybrid", {"dp": 2, "tp": 2}),  # whose axes have groups of their own
]


@pytest.mark.parametrize("work", [models.killed, models.hung])
@pytest.mark.parametrize(("name", "wished"), LOST)
def test_a_lost_rank_is_told_in_time(work, name, wished):
    ranks = 4 if name == "hybrid" else 2
    plan = models.plan(name, ranks, micro=4, **wished)
    *others, last = group.run(work, ranks, plan, patience_s=group.PATIENCE_S)
    assert last in (None, group.HANGS)
    for rank, ((kind, text), seconds) in enumerate(others):
        assert kind == "RankLost"
        assert f"rank {rank} got no answer of another one" in text
        assert seconds < group.PATIENCE_S + 5


@pytest.mark.parametrize(("strategy", "options"), [("auto", None), ("hybrid", {"tp": 2})])
def test_one_call_counts_plans_and_applies(strategy, options):
    """All ranks hold to one plan, whatever each has measured."""
    found = group.run(models.split_up, 2, strategy, options)
    plans = [one[0] for one in found]
    assert plans[0] == plans[1]
    assert dict(plans[0].mesh.sizes).get("tp") == (2 if options else None)
    for _, ranked, whole, loss in found:
        expected = {"ddp", "fsdp", "hybrid", "pp", "tp"} if options is None else {"hybrid"}
        assert set(ranked) == expected
        assert whole == {"3": "no pair of it was proven"}
        assert loss == pytest.approx(one_process()[0][0], abs=BOUND)


def test_a_split_that_can_not_be_is_told():
    for told in group.run(models.split_wrongly, 2):
        says = [
            "no plugin offers a strategy 'hybird' -> did you mean hybrid?",
            "strategy 'hybrid' has no option 'dpp' -> did you mean pp or dp?",
            "", "options are of one strategy, and none is named",
            "schedule is 'gpipe' -> use one of: 1f1b, interleaved, zero_bubble",
            "micro 3 does not divide the batch of 16",
            "no mesh of 2 ranks and a batch of 16 has what is wanted",
            "no mesh of 2 ranks and a batch of 16 has what is wanted",
        ]  # fmt: skip
        for part, one in zip(says, told, strict=True):
            assert part in " ".join(one) and bool(part) == bool(one), one


SOME = [("ddp", {}), ("fsdp", {}), ("tp", {}), ("pp", {}), ("pp", {"schedule": "interleaved"})]


@pytest.mark.parametrize(("name", "wished"), SOME)
def test_an_evaluation_leaves_no_trace(name, wished):
    plan = models.plan(name, 2, micro=4, **wished)
    found = group.run(models.evaluated, 2, plan)
    for sums, again, clean in found:
        assert clean and sums == again
    total = {sums for sums, *_ in found} if name != "tp" and name != "pp" else {found[0][0]}
    mean = sum(sums.loss for sums in total) / sum(sums.items for sums in total)
    assert mean == pytest.approx(one_process()[0][0], abs=BOUND)


@pytest.mark.parametrize("name", ["fsdp", "tp", "pp"])
@pytest.mark.parametrize("model", [models.half_frozen, models.recurrent])
def test_frozen_and_recurrent_layers_equal_one_process(model, name):
    schedule = {"schedule": "interleaved"} if name == "pp" else {}
    plan = models.plan(name, 2, model=model(), micro=4, **schedule)
    assert_equal(run(plan, model=model, steps=5), one_process(model=model, steps=5))


def test_zero_bubble_trains_weights_that_are_used_twice():
    """Their stages give views, which torch detaches in place."""
    plan = models.plan("pp", 2, model=models.shared(), micro=4, schedule="zero_bubble")
    assert_equal(run(plan, model=models.shared, steps=4), one_process(model=models.shared, steps=4))


def test_zero_bubble_says_what_it_can_not_train():
    """The one would be an error deep in torch, the other gradients that are not there."""
    plan = models.plan("pp", 2, model=models.recomputed(), micro=4, schedule="zero_bubble")
    told = group.run(models.bubbles, 2, plan)
    assert {kind for kind, _ in told} <= {"InputError", "RankLost"}
    assert any("zero bubble can't compute the gradients" in text for _, text in told)


def test_zero_bubble_refuses_a_first_stage_that_is_not_trained():
    plan = models.plan("pp", 2, micro=4, schedule="zero_bubble")
    for kind, text in group.run(models.first_frozen, 2, plan):
        assert kind == "MeshMismatch"
        assert "nothing to be trained" in text
