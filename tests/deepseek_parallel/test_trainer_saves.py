"""When a trainer saves by how failures come, on a clock that the test moves."""

import contextlib
import itertools
import os
import signal
import subprocess
import sys

import failure_logs
import numpy as np
import pytest
import rank_processes as group
import trainer_jobs as jobs
from process import one_thread

from deepseek_core import errors
from deepseek_parallel import Checkpoints, failure_predictor
from deepseek_parallel.errors import RankLost
from deepseek_parallel.hazard.gaps import Constant, GapPredictor
from deepseek_parallel.ranks import Renewed, StaticRanks
from deepseek_parallel.stopping import Wishes, interruptible, unheard
from deepseek_parallel.trainer.recipe.build import build
from deepseek_parallel.trainer.recipe.read import read_recipe
from deepseek_parallel.trainer.trainer import Trainer

HOUR_S = 3600.0


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def saves(url, mean_s, *, steps=60, ranks=None):
    """Steps that are saved to, where each look at the clock finds it 10 s later."""
    ticks = itertools.count(step=10.0)
    model = jobs.plain()
    trainer = Trainer(
        model, jobs.sgd(model), jobs.mean, jobs.data(60), batch=10, checkpoint=url, ranks=ranks,
        save_every=failure_predictor(mean_s), clock=lambda: next(ticks),
    )  # fmt: skip
    return trainer.fit(steps=steps).checkpoints


def test_it_saves_as_often_as_failures_are_expected(tmp_path):
    seldom = saves(tmp_path / "seldom", 100 * HOUR_S)
    often = saves(tmp_path / "often", HOUR_S)
    assert 2 <= len(seldom) < len(often) < 60
    assert seldom[-1] == often[-1] == 60
    gaps = {b - a for a, b in itertools.pairwise(often[:-1])}
    assert max(gaps) - min(gaps) <= 2  # as regular as steps are


class OnceLost(StaticRanks):
    """One rank that is alone, and loses another one that it never had, again and again."""

    def __init__(self, lost_at):
        super().__init__(0, 1, None)
        self._asked, self._lost_at = 0, lost_at

    def changed(self):
        self._asked += 1
        if self._asked in self._lost_at:
            raise RankLost("a rank is lost")
        return False

    def renew(self):
        return Renewed(rank=0, size=1, survivors=(0,), joined=())


def test_failures_that_are_met_make_it_save_more_often(tmp_path):
    calm = saves(tmp_path / "calm", 100 * HOUR_S)
    rough = saves(tmp_path / "rough", 100 * HOUR_S, ranks=OnceLost(range(5, 40)))
    assert len(rough) > 1.5 * len(calm)


class Noting(GapPredictor):
    """A constant rate, and the gaps that it was told of."""

    def __init__(self):
        self.gaps_s = []

    def observe(self, gap_s):
        self.gaps_s.append(gap_s)

    def forecast(self):
        return Constant(HOUR_S).forecast()


def gaps_after(url, end=lambda step: None, *, steps=60, ranks=None):
    """The gaps that a run knows at its end; it resumes, and `end` is called at each step."""
    ticks = itertools.count(step=10.0)
    model, noting = jobs.plain(), Noting()
    trainer = Trainer(
        model, jobs.sgd(model), jobs.mean, jobs.data(60), batch=10, checkpoint=url, ranks=ranks,
        save_every=noting, clock=lambda: next(ticks), callbacks=lambda event: end(event.step),
    )  # fmt: skip
    with contextlib.suppress(ValueError, RankLost):
        trainer.fit(steps=steps, resume=True)
    return noting.gaps_s


def killed(rank, ranks, url):
    """Such a run, which is killed in the middle."""
    return gaps_after(url, lambda step: step == 50 and os.kill(os.getpid(), signal.SIGKILL))


def test_a_run_that_was_killed_counts_as_a_failure_once(tmp_path):
    url = tmp_path / "saved"
    assert group.run(killed, 1, url) == [None]
    saved = Checkpoints(url).latest().step
    (gap_s,) = gaps_after(url, steps=70)
    assert 10.0 * saved <= gap_s  # a look at the clock a step, or more
    assert gaps_after(url, steps=80) == [gap_s]


class AllLost(OnceLost):
    """A rank that can't go on without those that it loses."""

    def renew(self):
        raise RankLost("too few are left")


def test_a_lost_rank_that_ends_the_run_counts_and_what_people_do_does_not(tmp_path):
    def wrong(step):
        if step == 50:
            raise ValueError("an error of the user's")

    assert gaps_after(tmp_path / "wrong", wrong) == []
    assert gaps_after(tmp_path / "wrong") == []
    assert gaps_after(tmp_path / "lost", ranks=AllLost([55])) != []
    assert len(gaps_after(tmp_path / "lost")) == 1


def test_a_callback_and_a_notice_save_at_once(tmp_path):
    def look(event):
        if event.kind == "step" and event.step == 3:
            trainer.save()
        if event.kind == "step" and event.step == 7:
            signal.raise_signal(signal.SIGUSR1)

    model = jobs.plain()
    trainer = Trainer(
        model, jobs.sgd(model), jobs.mean, jobs.data(60), batch=10,
        checkpoint=tmp_path / "saved", callbacks=look,
    )  # fmt: skip
    before = signal.getsignal(signal.SIGUSR1)
    assert trainer.fit(steps=12).checkpoints == (4, 8, 12)
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_handler_of_the_users_own_stays(tmp_path):
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        with interruptible(Wishes()):
            signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]


def test_a_notice_does_not_end_a_process_that_does_not_listen_yet():
    with unheard(), subprocess.Popen(["cat"], stdin=subprocess.PIPE) as worker:
        worker.send_signal(signal.SIGUSR1)
        worker.communicate(b"", timeout=20)
    assert worker.returncode == 0


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "job.py").write_text(
        "import torch\n"
        "def model(): return torch.nn.Linear(2, 1)\n"
        "def data(): return torch.utils.data.TensorDataset(torch.ones(8, 2), torch.ones(8, 1))\n"
    )
    path = tmp_path / "r.toml"
    path.write_text(
        '[model]\nfactory = "job.py:model"\n[data]\nfactory = "job.py:data"\n'
        '[optimizer]\nname = "SGD"\nkwargs = { lr = 0.1 }\n[loss]\nname = "mse"\n'
        '[train]\nsteps = 2\nbatch = 4\n[checkpoint]\nurl = "saved"\n'
    )
    return path


def mean_s_of(recipe, *changes):
    changes = [f"checkpoint.{change}" for change in changes]
    return build(read_recipe(recipe, changes)).trainer.setup.save_every.forecast().mean_s


def test_a_recipe_says_how_many_checkpoints_stay(recipe, monkeypatch):
    monkeypatch.chdir(recipe.parent)
    job = build(read_recipe(recipe, ["checkpoint.every=1", "checkpoint.keep=4", "train.steps=6"]))
    job.trainer.fit(**job.length)
    kept = sorted(folder.name for folder in (recipe.parent / "saved").glob("*-step-*"))
    assert [int(name.split("-")[2]) for name in kept] == [3, 4, 5, 6]
    with pytest.raises(errors.ConfigError, match="keep"):
        build(read_recipe(recipe, ["checkpoint.keep=0"]))


def test_a_recipe_says_the_hours_between_failures(recipe):
    assert mean_s_of(recipe, "failure_hours=6") == pytest.approx(6 * HOUR_S, rel=0.5)
    with pytest.raises(errors.ConfigError, match="both every and failure_hours"):
        mean_s_of(recipe, "failure_hours=6", "every=5")
    with pytest.raises(errors.ConfigError, match="above 0"):
        mean_s_of(recipe, "failure_hours=-1")


def test_a_recipe_names_a_log_of_failures(recipe):
    """It lies beside the recipe; a training on half of the nodes fails half as often."""
    gaps_s = np.random.default_rng(0).exponential(10 * HOUR_S, 100).tolist()
    failure_logs.write_log(recipe.parent / "log.csv", gaps_s)
    told_s = mean_s_of(recipe, 'failures="log.csv"')
    assert told_s == pytest.approx(10 * HOUR_S, rel=0.5)
    half_s = mean_s_of(recipe, 'failures="log.csv"', "failure_nodes=4", 'failure_system="a"')
    assert half_s == pytest.approx(2 * told_s)
    for changes, said in [
        (['failures="none.csv"'], "can't read"),
        (['failures="log.csv"', "every=2"], "both every and failures"),
        (['failures="log.csv"', 'failure_system="b"'], "use one of a"),
        (['failures="log.csv"', "failure_nodes=9"], "which has 8"),
        (["failure_nodes=4"], "has no log of them"),
    ]:
        with pytest.raises((errors.ConfigError, errors.InputError), match=said):
            mean_s_of(recipe, *changes)
    failure_logs.write_log(recipe.parent / "log.csv", [])
    with pytest.raises(errors.InputError, match="no two failures"):
        mean_s_of(recipe, 'failures="log.csv"')
