"""`Trainer` with a strategy: any mesh trains what one process trains, and says what can't be."""

import functools
import math
import re

import numpy as np
import pytest
import rank_processes as group
import torch
import trainer_jobs as jobs
from process import one_thread

from deepseek_core import Mesh, errors, training
from deepseek_parallel import MeshMismatch
from deepseek_parallel.checkpoint import checkpoints  # noqa: F401 - once, before ranks are forked
from deepseek_parallel.sampling import Order
from deepseek_parallel.trainer import divided  # noqa: F401 - the same

BOUND = 1e-5


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


@functools.cache
def alone(**more):
    return jobs.on_mesh(0, 1, "ddp", {}, **more)


def on(ranks, strategy, options, *given, **more):
    return group.run(
        functools.partial(jobs.on_mesh, **more), ranks, strategy, options, *given
    )  # fmt: skip


def assert_equal(found, begin=0, end=None, **more):
    """Losses, norms and evaluations of the steps from `begin` to `end` are those of one process."""
    wanted, norms = alone(**more)
    evaluations = dict(wanted.evaluations)
    for report, mine in found:
        assert report.losses == pytest.approx(wanted.losses[begin:end], abs=BOUND)
        assert mine == pytest.approx(norms[begin:end], rel=1e-4)
        for step, one in report.evaluations:
            assert step not in evaluations or one == pytest.approx(evaluations[step], abs=BOUND)


@pytest.mark.parametrize(
    ("ranks", "strategy", "options"),
    [
        (2, "fsdp", {}),
        (4, "hybrid", {"tp": 2, "pp": 2}),
    ],
)
def test_a_mesh_trains_what_one_process_trains(ranks, strategy, options):
    """With a clip that bites, a schedule and evaluations of samples that nothing divides."""
    found = on(ranks, strategy, options)
    assert_equal(found)
    assert min(alone()[1]) > 0.2
    assert len(found[0][0].evaluations) == 2
    assert dict(found[0][0].mesh).get("pp") == (None if strategy == "fsdp" else 2)


@pytest.mark.parametrize("strategy", ["fsdp", "pp", "tp"])
def test_bf16_on_a_mesh_is_bf16_of_one_process(strategy):
    """Shards and stages round what one process rounds; sums are in fp32.

    Parts of a layer are rounded before they are added, as is what bf16 makes of the whole layer:
    so they are no farther from one process in bf16 than that is from fp32.
    """
    wanted, norms = alone(precision="bf16")
    rounding = max(abs(a - b) for a, b in zip(wanted.losses, alone()[0].losses, strict=True))
    assert rounding > 1e-3
    bound = rounding if strategy == "tp" else 1e-6
    for report, mine in on(2, strategy, {}, precision="bf16"):
        assert report.losses == pytest.approx(wanted.losses, abs=bound)
        assert mine == pytest.approx(norms, rel=bound)
        assert [step for step, _ in report.evaluations] == [4, 8]


@pytest.mark.parametrize(("strategy", "drop"), [("fsdp", 0.3), ("tp", 0.0)])
def test_layers_that_drop_and_change_in_place(strategy, drop):
    """Dropout's masks are those of one process; parts of a tensor may be changed as it may."""
    more = {"make": functools.partial(jobs.in_place, drop=drop)}
    assert_equal(on(2, strategy, {}, **more), **more)


class OneNumber(torch.nn.Linear):
    """Has a parameter that can't be divided."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.scale = torch.nn.Parameter(torch.tensor(1.0))


class Hooked(torch.nn.Linear):
    """Torch's parts of a parameter have no hooks."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.weight.register_hook(lambda gradient: gradient / 2)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (OneNumber(4, 4), "the parameter 1.scale is one number"),
        (Hooked(4, 4), "the parameter 1.weight has a hook"),
        (torch.nn.Linear(4, 4).double(), "parts of one dtype alone .* 1.bias is of torch.float64"),
    ],
)
def test_parameters_that_can_not_be_divided_are_named(layer, text):
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), layer)
    plan = training.TrainingPlan(
        strategy="fsdp", mesh=Mesh(sizes={"dp": 2}), micro=1, shares=(1, 1), cut=(2,), step_s=1.0,
        memory_nbytes=0.0, wire_nbytes=0.0,
    )  # fmt: skip
    with pytest.raises(errors.InputError, match=text):
        training.open_strategy("fsdp").apply(plan, model)


def test_zero_bubble_takes_sums_and_views():
    """Torch detaches what a stage and the loss give in place."""
    more = {"make": jobs.in_views, "loss": jobs.weighted}
    options = {"schedule": "zero_bubble", "interleave": 2, "layers": [*"0123"]}
    assert_equal(on(2, "pp", options, **more), **more)


def test_a_run_goes_on_under_another_mesh(tmp_path):
    """Pipeline, then shards, then alone: momenta, schedule and samples go on."""
    url = str(tmp_path / "one")
    on(2, "pp", {}, url, False, 3)
    assert_equal(on(2, "fsdp", {}, url, True, 6), 3, 6, steps=9)
    report, norms = jobs.on_mesh(0, 1, "ddp", {}, url, True, 9)
    assert report.resumed == 6
    assert_equal([(report, norms)], 6, 9, steps=9)


@pytest.mark.parametrize(("strategy", "options"), [("fsdp", {}), ("pp", {})])
def test_the_last_step_of_an_epoch_may_be_of_any_size(strategy, options):
    """Of 60 samples in steps of 19, three are left: fewer than the microbatches of a mesh."""
    more = {"epochs": 1, "batch": 19, "microbatch": None}
    assert_equal(on(2, strategy, options, **more), **more)


def test_what_goes_wrong_on_a_mesh_is_told_on_all_ranks():
    wanted = [
        ("InputError", "the dataset has 5 samples now, and had 60"),
        ("InputError", "the dataset has 5 samples now, and had 60"),
        ("NotFiniteLoss", "the loss of rank 1 is NaN or infinite at step 0"),
        ("NotFiniteGradient", "the gradient of 6.weight on rank 1 holds NaN"),
        ("InputError", "the loss calls the model 2 times, and a pipeline runs it once"),
        ("MeshMismatch", "tp 3 need a multiple of 3 ranks, and there are 2 -> start 3: --nproc 3"),
        ("MeshMismatch", "are more stages than the model's 1 layers"),
    ]
    other, mine = group.run(jobs.faults, 2, "pp")
    assert not mine.pop() and not other.pop()  # the ranks train on
    for (kind, text), one in zip(wanted, mine, strict=True):
        assert one[0] == kind
        assert text in one[1]
    assert [one[0] for one in other[:2]] == ["RankFailed"] * 2
    assert "rank 1 failed at step 2: InputError: the dataset has 5" in other[0][1]
    assert "rank 1 failed in the evaluation: InputError: the dataset" in other[1][1]
    assert other[2:] == mine[2:]


@pytest.mark.parametrize(
    ("ranks", "strategy", "options", "in_training"),
    [
        (2, "fsdp", {}, True),
        (2, "tp", {}, False),
        (4, "hybrid", {"tp": 2, "pp": 2}, True),
    ],
)
def test_an_error_inside_the_model_is_told_to_all_at_once(ranks, strategy, options, in_training):
    """Rank 1 lives on, and the others wait for it in the middle of the pass."""
    found = group.run(jobs.torn, ranks, strategy, options, in_training)
    own, _, _ = found.pop(1)
    assert own == ["ValueError", "a picture is torn"]
    for mine, ((kind, text), seconds), again in found:
        assert not mine
        assert kind == "RankFailed"
        when = "at step" if in_training else "in the evaluation"
        assert re.search(rf"rank 1 failed {when}.*: ValueError: a picture is torn", text)
        assert seconds < group.CALM_S / 2  # of the limit, after which they would have heard
        assert again[0] in ("ConfigError", "RankFailed")
        assert "the mesh has ended by an error" in again[1]


def test_a_killed_stage_ends_the_others():
    ((kind, text), seconds), gone = group.run(jobs.lost, 2, "pp")
    assert gone is None
    assert kind == "RankLost"
    assert "rank 0 got no answer of another one" in text
    assert "--elastic" not in text
    assert seconds < group.CALM_S


def test_a_stop_of_one_stage_and_a_second_fit():
    """What other stages hold is let go."""
    found = group.run(jobs.stopped_and_on, 2)
    for steps, losses, _ in found:
        assert steps == 3
        assert losses == found[0][1]
        assert len(losses) == 6
    assert sum(free for *_, free in found) == len([*jobs.deep().parameters()])


class Elsewhere:
    """Ranks that may change."""

    rank, size, epoch, group = 0, 2, 0, None


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("none of them may be lost or join -> start them by --nproc", {"ranks": Elsewhere()}),
        ("can't be had with compressed gradients", {"compress": 0.01}),
        ("can't be had with balance: ranks of a mesh wait", {"balance": True, "microbatch": 4}),
        ("3 does not divide the batch of 16", {"microbatch": 3}),
        ("give microbatch=4", {"options": {"micro": 4}}),
        ("ddp takes no options", {"strategy": "ddp", "options": {"dp": 2}}),
        ("auto chooses tp itself", {"strategy": "auto", "options": {"tp": 2}}),
        ("use ParameterServer and work_at_server", {"strategy": "parameter_server"}),
        ("a strategy 'hybird' -> did you mean hybrid?", {"strategy": "hybird"}),
        ("no option 'dpp' -> did you mean", {"options": {"dpp": 2}}),
        ("layers are 'a'", {"options": {"layers": "a"}}),
    ],
)
def test_what_does_not_go_with_a_strategy_is_refused_at_once(text, given):
    model = jobs.deep()
    with pytest.raises(errors.ConfigError, match=re.escape(text)):
        jobs.Trainer(
            model, jobs.sgd(model), jobs.mean, jobs.data(), **{"strategy": "hybrid", "batch": 16,
            **given}
        )  # fmt: skip


def test_an_optimizer_that_has_a_state_is_refused():
    model = jobs.deep()
    adagrad = torch.optim.Adagrad(model.parameters())
    with pytest.raises(errors.ConfigError, match="this Adagrad has a state already"):
        jobs.Trainer(model, adagrad, jobs.mean, jobs.data(), batch=16, strategy="pp")


def test_a_mesh_of_one_is_a_process_alone():
    """So that one script runs alone too; a mesh that needs more says how many."""
    wanted, _ = alone()
    assert jobs.on_mesh(0, 1, "fsdp", {})[0].losses == wanted.losses
    with pytest.raises(MeshMismatch, match=r"tp 2 x pp 2 need a multiple of 4 ranks, .* is one"):
        jobs.on_mesh(0, 1, "hybrid", {"tp": 2, "pp": 2})


def test_running_statistics_of_a_stage_are_of_samples_alone():
    """Torch tries each stage once on values that mean nothing."""
    wanted = jobs.noisy()
    numbers = Order(60).indices(0, 12)
    for some in numbers.reshape(3, 4):
        wanted(jobs.data()[some][0])
    found = group.run(jobs.statistics, 2)
    assert all(math.isfinite(loss) for loss, _ in found)
    assert any(
        all(np.allclose(value, held[name], atol=1e-6) for name, value in wanted.named_buffers())
        for _, held in found
    )
