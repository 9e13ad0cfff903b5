"""What a training tells plugins that listen."""

import math

import pytest
import trainer_jobs as jobs
from process import one_thread
from rank_processes import run

from deepseek_core import events
from deepseek_core.testing import listening
from deepseek_parallel.errors import NotFiniteLoss
from deepseek_parallel.trainer.events import Event
from deepseek_parallel.trainer.trainer import Trainer
from deepseek_parallel.trainer.watch.emitted import Emitted


def trainer(loss=jobs.mean, **options):
    model = jobs.plain()
    return Trainer(model, jobs.sgd(model), loss, jobs.data(), batch=10, **options)


def test_a_training_tells_its_beginning_its_checkpoints_and_its_end(tmp_path):
    url = str(tmp_path / "saved")
    with one_thread(), listening() as heard:
        report = trainer(checkpoint=url, save_every=3).fit(steps=6)
        trainer(checkpoint=url).fit(steps=8, resume=True)
    began, again = heard.of(events.TrainingBegan)
    assert (began.run, began.ranks, began.mesh, began.step, again.step) == (url, 1, "dp=1", 0, 6)
    saved = heard.of(events.CheckpointCommitted)
    assert [one.step for one in saved] == [3, 6, 8]
    assert all(one.url.startswith(url) and one.nbytes > 1000 for one in saved)
    ended, _ = heard.of(events.TrainingEnded)
    assert (ended.step, ended.error) == (6, None)
    before_end = [
        e for e in heard.all()[: heard.all().index(ended)] if isinstance(e, events.TrainingState)
    ]
    assert (before_end[-1].step, before_end[-1].loss) == (6, report.loss)


def test_one_that_fails_tells_why():
    with one_thread(), listening() as heard, pytest.raises(NotFiniteLoss):
        trainer(lambda m, b: jobs.mean(m, b) * math.nan).fit(steps=4)
    (ended,) = heard.of(events.TrainingEnded)
    assert ended.run == "Sequential" and ended.error.startswith("NotFiniteLoss: the loss of rank 0")


def states_of(*steps):
    """What is told of these steps: (seconds, samples, sent, whole, imbalance, loss)."""
    with listening() as heard:
        emitted = Emitted("a")
        for number, (seconds, samples, sent, whole, imbalance, loss) in enumerate(steps, 1):
            figures = {
                "seconds": seconds, "samples": samples, "wire_nbytes": sent, "whole_nbytes": whole,
                "imbalance": imbalance, "loss": loss,
            }  # fmt: skip
            emitted(Event(kind="step", step=number, samples=0, epoch=0.0, figures=figures))
        emitted.end(None)
    return heard.of(events.TrainingState)


def test_a_state_sums_up_the_steps_since_the_last():
    first, rest = states_of(
        (0.1, 10, 100, 400, 0.0, 1.0),
        (0.1, 10, 100, 400, 0.1, math.nan),
        (0.3, 30, 200, 150, 0.3, math.inf),
    )
    assert (first.step, first.samples_per_s, first.bytes_sent, first.bytes_saved) == (
        1,
        100,
        100,
        300,
    )
    assert (rest.step, rest.samples_per_s, rest.bytes_sent, rest.bytes_saved) == (3, 100, 300, 250)
    assert rest.imbalance == pytest.approx(0.2) and rest.loss == math.inf


def test_a_change_of_the_members_is_told():
    figures = {"before": 4, "after": 3, "lost": 2, "joined": 1, "seconds": 0.5}
    with listening() as heard:
        Emitted("a")(Event(kind="recovery", step=7, samples=0, epoch=0.0, figures=figures))
    (changed,) = heard.of(events.MembersChanged)
    assert (changed.run, changed.step, changed.lost, changed.joined) == ("a", 7, 2, 1)
    assert (changed.ranks, changed.seconds) == (3, 0.5)


def told_by(rank, ranks):
    with listening() as heard:
        jobs.trained(rank, ranks, steps=3)
    return [type(event).__name__ for event in heard.all()]


def test_of_many_ranks_the_first_tells():
    first, *others = run(told_by, 2)
    assert first[0] == "TrainingBegan" and first[-1] == "TrainingEnded"
    assert others == [[]]
