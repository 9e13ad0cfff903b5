"""A trainer goes on from a checkpoint: to the bit in its world, with the same samples in any."""

import numpy as np
import pytest
import rank_processes as group
import torch
import trainer_jobs as jobs
from process import one_thread

from deepseek_core import errors
from deepseek_parallel import SaveFailed, StateMismatch
from deepseek_parallel.trainer.trainer import Trainer


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


@pytest.mark.parametrize(("ranks", "options"), [(1, {}), (2, {}), (2, {"compress": 0.05})])
def test_it_goes_on_to_the_bit_in_the_same_world(tmp_path, ranks, options):
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    whole = group.run(jobs.resumed, ranks, one, 0, 12, options)
    group.run(jobs.resumed, ranks, two, 7, 12, options)
    again = group.run(jobs.resumed, ranks, two, 0, 12, options)
    for (weights, losses, resumed, buffers), (theirs, their_losses, step, others) in zip(
        whole, again, strict=True
    ):
        assert (resumed, step) == (None, 7)
        assert weights == theirs
        assert losses[7:] == their_losses
        assert all((a == b).all() for a, b in zip(buffers, others, strict=True))


def test_another_number_of_ranks_goes_on_with_the_same_samples(tmp_path):
    url = str(tmp_path / "one")
    group.run(jobs.resumed, 2, url, 7, 12, {})
    _, wanted, _, _ = jobs.resumed(0, 1, str(tmp_path / "other"), 0, 12, {})
    for _, losses, step, _ in group.run(jobs.resumed, 3, url, 0, 12, {}):
        assert step == 7
        assert np.allclose(losses, wanted[7:], atol=1e-4)


def made(url, *, seed=0, length=60, **options):
    model = jobs.plain()
    return Trainer(
        model, jobs.sgd(model), jobs.mean, jobs.data(length), batch=10, seed=seed, checkpoint=url,
        **options,
    )  # fmt: skip


def test_a_url_that_holds_a_run_is_not_begun_anew(tmp_path):
    assert made(tmp_path / "one").fit(steps=2).checkpoints == (2,)
    with pytest.raises(errors.ConfigError, match="holds a checkpoint of step 2 -> go on from it"):
        made(tmp_path / "one").fit(steps=4)
    with pytest.raises(StateMismatch, match="has 50 samples and had 60"):
        made(tmp_path / "one", length=50).fit(steps=4, resume=True)
    with pytest.raises(StateMismatch, match="give the seed"):
        made(tmp_path / "one", seed=1).fit(steps=4, resume=True)
    report = made(tmp_path / "one").fit(steps=4, resume=True)
    assert (report.resumed, report.steps, len(report.losses)) == (2, 4, 2)


def test_a_second_fit_goes_on_and_saves_on(tmp_path):
    trainer = made(tmp_path / "one", save_every=2)
    assert trainer.fit(steps=3).checkpoints == (2, 3)
    report = trainer.fit(steps=6)
    assert len(report.losses) == 3
    assert report.checkpoints == (4, 6)
    _, losses, _ = jobs.trained(0, 1, steps=6, microbatch=None)
    assert report.losses == losses[3:]


@pytest.mark.parametrize(
    "rates",
    [
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 3, 8], gamma=0.5),
        lambda o: torch.optim.lr_scheduler.SequentialLR(
            o,
            [
                torch.optim.lr_scheduler.LinearLR(o, total_iters=4),
                torch.optim.lr_scheduler.CosineAnnealingLR(o, 10),
            ],
            milestones=[4],
        ),
        lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0, factor=0.7),
    ],
)
def test_every_scheduler_goes_on_where_it_was(tmp_path, rates):
    def options(url):
        return {
            "url": url, "scheduler": rates, "save_every": 1,
            "evaluate": jobs.Evaluation(data=jobs.data(20), every=2),
        }  # fmt: skip

    whole = made(**options(tmp_path / "one")).fit(steps=10).losses
    made(**options(tmp_path / "two")).fit(steps=5)
    assert made(**options(tmp_path / "two")).fit(steps=10, resume=True).losses == whole[5:]


def test_a_checkpoint_of_another_model_or_optimizer_is_refused(tmp_path):
    made(tmp_path / "one").fit(steps=2)
    wide, same = torch.nn.Linear(13, 3), jobs.plain()
    for model, optimizer in ((wide, jobs.sgd(wide)), (same, torch.optim.Adam(same.parameters()))):
        trainer = Trainer(
            model, optimizer, jobs.mean, jobs.data(), batch=10, checkpoint=tmp_path / "one"
        )
        with pytest.raises(StateMismatch):
            trainer.fit(steps=4, resume=True)


def test_a_save_that_fails_is_told_and_the_last_one_ends_the_training(tmp_path, caplog):
    url, told = tmp_path / "one", []

    def spoil(event):
        if event.kind == "checkpoint":
            told.append(event.text)
        if event.step == 3 and event.kind == "step":
            url.rename(tmp_path / "gone")
            url.write_text("a file where the folder was")

    with pytest.raises(SaveFailed, match="the checkpoint of step 6 was not saved"):
        made(url, save_every=2, callbacks=spoil).fit(steps=6)
    assert "failed: the checkpoint of step 4 was not saved" in "".join(told)
    assert "the checkpoint of step 4 failed" in caplog.text
