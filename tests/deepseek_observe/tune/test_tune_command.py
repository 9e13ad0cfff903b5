"""`ds-sdk tune` as a person and a script see it."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from tune_kit import CLASSES, RECIPE

from deepseek_core import errors
from deepseek_observe.cli.tune_command import main
from deepseek_observe.tune import tune as tuning
from deepseek_observe.tune.errors import Diverges
from deepseek_observe.tune.fits import Verdict
from deepseek_observe.tune.worker import may_be_at_work, this_worker


class AllFits:
    """A prober for tests of what comes after it; the real one has tests of its own."""

    def __init__(self, target, *, seed, limit_s, most=10_000):
        self.most = most

    def fits(self, batch, nbytes):
        return Verdict(fits=batch <= self.most)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text(CLASSES)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@pytest.fixture
def roomy(folder, monkeypatch):
    monkeypatch.setattr(tuning, "Prober", AllFits)
    return folder


def test_a_recipe_is_tuned_in_a_real_child_and_written(folder, capsys):
    assert main(["recipe.toml", "-o", "tuned.toml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    written = tomllib.loads((folder / "tuned.toml").read_text())
    assert written["train"]["batch"] == found["tuned"]["batch"]
    assert written["optimizer"]["kwargs"]["lr"] == found["tuned"]["rate"] > 0.003
    assert found["was"] == {"batch": 20, "rate": 0.003}
    own = [one for one in found["race"]["trials"] if one["rate"] == 0.003]
    assert own  # the recipe's own rate raced, and lost
    best = min(one["loss"] for one in found["race"]["trials"])
    assert best < own[0]["loss"]
    assert {one.name for one in folder.iterdir()} <= {
        "train.py", "recipe.toml", "tuned.toml", "__pycache__",
    }  # fmt: skip


def test_a_person_reads_what_was_found(roomy, capsys):
    assert main(["train.py:build", "--batch", "20:200"]) == 0
    out = capsys.readouterr().out
    assert "noise scale of the gradient" in out
    assert "the best of the race" in out or "linear" in out
    assert "was: " not in out


def test_values_of_a_function_are_written(roomy):
    assert main(["train.py:build", "--batch", "32", "-o", "values.toml"]) == 0
    written = tomllib.loads((roomy / "values.toml").read_text())
    assert written["batch"] == 32
    assert written["microbatch"] * written["accumulate"] * written["devices"] >= 32


def test_what_does_not_fit_is_accumulated(roomy, monkeypatch, capsys):
    def small(target, **options):
        return AllFits(target, **options, most=12)

    monkeypatch.setattr(tuning, "Prober", small)
    assert main(["recipe.toml", "--batch", "40", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["tuned"]
    assert (found["batch"], found["accumulate"]) == (40, 4)
    assert found["microbatch"] == 10


def test_a_rate_that_diverges_is_refused_and_the_one_told_instead_holds(roomy, capsys):
    words = ["train.py:build", "--batch", "64", "--rate"]
    with pytest.raises(Diverges, match="diverges with rate 300") as caught:
        main([*words, "300", "-o", "never.toml"])
    assert not (roomy / "never.toml").exists()
    told = caught.value.remedy.split()
    assert told[:3] == ["--batch", "64", "--rate"]
    assert main([*words, told[3], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tuned"]["rule"] == "given"


KILLED_WORKER = """
import os, signal
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from deepseek_observe.tune.worker import WORKER, this_worker

optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(study_name="tune", storage=JournalStorage(JournalFileBackend("s.log")))
study.ask().set_user_attr(WORKER, this_worker())
study.ask()  # killed before it said who it is
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_trial_is_at_work_as_long_as_its_process_lives():
    mine = this_worker()
    assert may_be_at_work(mine)
    assert may_be_at_work({**mine, "host": "elsewhere", "pid": 2**22})
    assert not may_be_at_work({**mine, "began": mine["began"] - 1})
    assert not may_be_at_work({**mine, "pid": 2**30})
    assert not may_be_at_work(None)


def test_a_search_goes_on_where_it_was_and_counts_no_trial_of_the_dead(roomy, capsys):
    pytest.importorskip("optuna")
    words = ["train.py:build", "--batch", "20:80", "--study", "s.log", "--json", "--trials"]
    assert main([*words, "3"]) == 0
    first = json.loads(capsys.readouterr().out)["search"]
    assert first["finished"] + first["pruned"] == 3
    killed = subprocess.run([sys.executable, "-c", KILLED_WORKER], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert main([*words, "5"]) == 0
    more = json.loads(capsys.readouterr().out)
    assert more["search"]["finished"] + more["search"]["pruned"] == 5
    assert more["search"]["loss"] <= first["loss"]
    assert more["tuned"]["batch"] == more["search"]["batch"]
    with pytest.raises(errors.ConfigError, match="a search over batches"):
        main(["train.py:build", "--batch", "30:80", "--study", "s.log", "--trials", "6"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--batch", "5000"], "needs more than the 540 samples"),
        (["--batch", "0"], "must be a batch"),
        (["--batch", "64:32"], "must be a batch"),
        (["--rate", "0.1"], "--rate is of one batch"),
        (["--batch", "16:32", "--rate", "0.1"], "--rate is of one batch"),
        (["--batch", "4", "--devices", "8"], "can't be shared by 8 devices"),
        (["--rate", "nan"], "must be a number above 0"),
        (["--study", "s.log"], "--study is of a search"),
        (["-o", "train.py"], "would overwrite what this command reads"),
        (["-o", "no/where.toml"], "does not exist"),
        (["--memory", "much"], "must be a size"),
        (["--trials", "-1"], "must be a whole number"),
    ],
)
def test_what_can_not_be_is_told(roomy, words, told):
    with pytest.raises((errors.ConfigError, errors.InputError), match=told) as caught:
        main(["train.py:build", *words])
    assert caught.value.remedy


def test_batch_norm_is_warned_of(roomy, capsys):
    (roomy / "train.py").write_text(CLASSES.replace("nn.ReLU()", "nn.BatchNorm1d(hidden)"))
    assert main(["train.py:build", "--batch", "32"]) == 0
    assert "BatchNorm mixes the samples" in capsys.readouterr().out


def test_ctrl_c_ends_the_child_and_leaves_nothing(folder):
    slow = CLASSES.replace(
        "return nn.functional", "import time; time.sleep(30); return nn.functional"
    )
    (folder / "train.py").write_text(slow)
    words = [sys.executable, "-m", "deepseek_core", "tune", "train.py:build", "-o", "t.toml"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        end_s = time.monotonic() + 60
        while not (forks := _tries_of(process.pid)) and time.monotonic() < end_s:
            time.sleep(0.05)
        assert forks
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert not (folder / "t.toml").exists()
    end_s = time.monotonic() + 10
    while any(_lives(pid) for pid in forks) and time.monotonic() < end_s:
        time.sleep(0.02)
    assert not any(_lives(pid) for pid in forks)


def _children(pid):
    try:
        told = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in told.split()]


def _tries_of(pid):
    """The child that forks, and the forks, once there is one."""
    for child in _children(pid):
        if forks := _children(child):
            return [child, *forks]
    return []


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
