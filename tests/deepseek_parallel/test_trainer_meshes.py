"""`Trainer` with a strategy: any mesh trains what one process trains, and says what can't be."""

import functools

import pytest
import rank_processes as group
import trainer_jobs as jobs
from process import one_thread

from deepseek_parallel.checkpoint import checkpoints  # noqa: F401 - once, before ranks are forked
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
        (2, "pp", {"schedule": "interleaved"}),
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
