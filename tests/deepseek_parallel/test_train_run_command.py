"""`ds-sdk train run` and `resume` as a person and a script see them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from train_recipe import RECIPE

from deepseek_core import errors
from deepseek_core.cli import main as ds_sdk
from deepseek_parallel import CheckpointMissing, RankFailed
from deepseek_parallel.cli.main import main
from deepseek_parallel.trainer.recipe.read import read_recipe

LIMIT_S = 60


def told(capsys, *words):
    capsys.readouterr()
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_processes_train_what_one_trains_and_a_run_goes_on(recipe_folder, capsys):
    code, one = told(capsys, "run", "recipe.toml", "--set", "checkpoint.url=other")
    assert code == 0
    code, two = told(capsys, "run", "recipe.toml", "--nproc", "2", "--set", "train.steps=5")
    assert (code, two["ranks"], two["checkpoints"]) == (0, 2, [5])
    assert two["losses"] == pytest.approx(one["losses"][:5], abs=1e-5)
    code, rest = told(capsys, "resume", "recipe.toml")
    assert (code, rest["resumed"], rest["steps"]) == (0, 5, 12)
    assert rest["losses"] == pytest.approx(one["losses"][5:], abs=1e-4)
    assert rest["evaluations"][-1][1]["right"] > 0.3
    assert (recipe_folder / "log" / "report.html").exists()
    with pytest.raises(errors.ConfigError, match="holds a checkpoint of step 12"):
        main(["run", "recipe.toml"])
    assert main(["run", "recipe.toml", "--resume"]) == 0
    assert "12 steps, 144 samples, 3 epochs on one rank, resumed at step 12" in (
        capsys.readouterr().out
    )


def test_a_dead_worker_ends_the_run_with_its_last_words(recipe_folder):
    start_s = time.monotonic()
    with pytest.raises(RankFailed, match="rank 1 ended with SIGKILL") as caught:
        main(["run", "recipe.toml", "--nproc", "2", "--set", "loss.function=train.py:killed"])
    assert "the end of rank 1" in caught.value.log
    assert caught.value.rank == 1
    assert time.monotonic() - start_s < LIMIT_S


def test_warnings_of_workers_are_seen_once(recipe_folder, capsys):
    script = recipe_folder / "train.py"
    script.write_text(script.read_text() + '\n\nimport warnings\nwarnings.warn("look here")\n')
    assert main(["run", "recipe.toml", "--nproc", "2", "--set", "train.steps=1"]) == 0
    assert capsys.readouterr().err.count("UserWarning: look here") == 1


# As a shell inside a job of torchrun, SLURM and our own launcher has them.
OF_OTHERS = {
    "RANK": "3", "LOCAL_RANK": "3", "WORLD_SIZE": "64", "GROUP_RANK": "1",
    "MASTER_ADDR": "10.9.9.9", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "x",
    "TORCHELASTIC_USE_AGENT_STORE": "False",
    "SLURM_PROCID": "3", "SLURM_NTASKS": "64", "DEEPSEEK_ROSTER": "10.9.9.9:1",
    "DEEPSEEK_RUN": "x", "GLOO_SOCKET_IFNAME": "eth77",
}  # fmt: skip


def test_a_program_that_wants_their_port_does_not_part_the_workers(
    recipe_folder, capsys, monkeypatch
):
    """It asks between their start and their meeting; variables of other launchers are around."""
    for name, value in OF_OTHERS.items():
        monkeypatch.setenv(name, value)
    script = recipe_folder / "train.py"
    script.write_text(
        script.read_text() + "\n\nimport socket\ntry:\n"
        '    place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])\n'
        "    taken = socket.create_server(place)\nexcept OSError:\n    pass\n"
    )
    code, report = told(capsys, "run", "recipe.toml", "--nproc", "2", "--set", "train.steps=2")
    assert (code, report["ranks"], report["steps"]) == (0, 2, 2)


def test_a_failed_worker_has_its_own_words_last(recipe_folder):
    """And not what native libraries say at an end."""
    with pytest.raises(RankFailed) as caught:
        main(["run", "recipe.toml", "--nproc", "2", "--set", "loss.function=train.py:failing"])
    assert caught.value.log.splitlines()[-1] == "ValueError: no loss of rank 1"


def test_a_notice_saves_and_a_stop_finishes_the_step_and_says_how_to_go_on(recipe_folder):
    """The processes are stages of a pipeline, which save and end after the same step."""
    words = ["train", "run", "recipe.toml", "--nproc", "2", "--strategy", "pp:schedule=1f1b",
             "--set", "train.steps=5000", "--set", "loss.function=train.py:slow"]  # fmt: skip
    code = f"import sys; from deepseek_parallel.cli.main import main; sys.exit(main({words[1:]}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    until_s = time.monotonic() + LIMIT_S
    while not list((recipe_folder / "saved").glob("*-step-*")) and time.monotonic() < until_s:
        if (recipe_folder / "log" / "log.jsonl").exists():
            process.send_signal(signal.SIGUSR1)
        time.sleep(0.05)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, err
    assert "ended by: SIGTERM" in out
    assert "stopped and saved; go on by: ds-sdk train resume recipe.toml --nproc 2 " in err
    assert "--strategy pp:schedule=1f1b" in err
    assert list((recipe_folder / "saved").glob("*-step-*"))


@pytest.mark.parametrize("words", [("--nproc", "2"), ("--elastic", "1:2")])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_while_workers_begin_leaves_nothing_behind(recipe_folder, words, how):
    words = ["train", "run", "recipe.toml", *words]
    code = f"import sys; from deepseek_core.cli import main; sys.exit(main({words}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL, start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    started = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until_s = time.monotonic() + LIMIT_S
    while len(children := started.read_text().split()) < 2 and time.monotonic() < until_s:
        time.sleep(0.01)
    process.send_signal(how)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert not (recipe_folder / "saved").exists()


def test_a_dry_run_says_what_would_be_done(recipe_folder, capsys):
    code, facts = told(capsys, "run", "recipe.toml", "--dry-run", "--nproc", "2")
    assert code == 0
    assert facts["steps"] == 12
    assert facts["microbatches of each rank"] == [2, 1]
    assert facts["trained weights"] == 6 * 9 + 9 + 9 * 3 + 3
    assert not (recipe_folder / "saved").exists()
    assert main(["run", "recipe.toml", "--dry-run"]) == 0
    assert "nothing was trained" in capsys.readouterr().out
    _, facts = told(capsys, "run", "recipe.toml", "--dry-run", "--set", "train.epochs=2")
    assert facts["steps"] == 2 * 48 / 12  # in place of the steps of the recipe


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--elastic 1:2 --strategy pp", "the strategy pp divides the model over the ranks"),
        ("--nproc 2 --strategy hybrid:tp=2,pp=2", "need a multiple of 4 ranks, and there are 2"),
        ("--strategy pp:pp=2", "pp 2 need a multiple of 2 ranks, and there is one"),
        ("--nproc 2 --strategy hybird", "a strategy 'hybird' -> did you mean hybrid"),
        ("--strategy hybrid:tp", "is not NAME:KEY=VALUE,... -> --strategy hybrid:tp=2,pp=2"),
        (
            "--strategy hybrid:tpp=2",
            "'hybrid' has no option 'tpp' -> did you mean tp or pp? its options: dp, tp",
        ),
        ("--strategy hybrid:tp=two", "tp is 'two', not a whole number of 1 or more"),
        ("--set strategy.tp=2", "has none of name"),
    ],
)
def test_a_mesh_that_can_not_be_is_told_before_a_process_starts(recipe_folder, words, text):
    with pytest.raises((errors.ConfigError, errors.InputError), match=re.escape(text)):
        main(["run", "recipe.toml", *words.split()])
    assert not (recipe_folder / "log").exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("train.bach=3", "there is no train.bach -> did you mean 'batch'"),
        ("trian.batch=3", r"there is no \[trian\] -> did you mean 'train'"),
        ("train.batch=x", "train.batch is 'x' -> give a whole number"),
        ("train.balance=1", "train.balance is 1 -> give true or false"),
        ("train={steps=3,epochs=3}", "has steps and epochs of steps, epochs"),
        ("train", "has no table, key and value"),
        ("model.factory=train.py", "model.factory is 'train.py' -> write it as"),
        ("model.factory=none.py:make", "no such file: .*none.py"),
        ("model.factory=train.py:make_modle", "did you mean 'make_model'"),
        ("model.factory=no.such.module:f", "ModuleNotFoundError"),
        (
            "model.kwargs={hiden = 3}",
            "unexpected keyword argument 'hiden' -> did you mean 'hidden'",
        ),
        ("optimizer.name=AdamV", "torch has no 'AdamV' -> did you mean 'Adam'"),
        ("optimizer.kwargs={rl = 1}", "unexpected keyword argument 'rl'"),
        ("scheduler.name=Cosine", "torch has no 'Cosine'"),
        ('loss={name = "l1"}', "there is no loss 'l1'"),
        ("evaluate={every = 3}", "evaluate.factory is missing"),
    ],
)
def test_what_a_recipe_can_not_be_is_told(recipe_folder, change, text):
    with pytest.raises(errors.ConfigError, match=text):
        main(["run", "recipe.toml", "--set", change])


def test_files_that_are_no_recipe(recipe_folder, tmp_path):
    (tmp_path / "bad.toml").write_text("train = [")
    (tmp_path / "empty.toml").write_text("")
    for name, text in (
        ("none.toml", "can't be read"), ("bad.toml", "is not TOML"),
        ("empty.toml", "model.factory is missing"),
    ):  # fmt: skip
        with pytest.raises(errors.ConfigError, match=text):
            read_recipe(tmp_path / name)


def test_there_must_be_something_to_go_on_from(recipe_folder):
    with pytest.raises(CheckpointMissing, match=r"begin by: ds-sdk train run recipe\.toml"):
        main(["resume", "recipe.toml"])
    (recipe_folder / "recipe.toml").write_text(RECIPE.replace('[checkpoint]\nurl = "saved"\n', ""))
    with pytest.raises(errors.ConfigError, match="has no checkpoint to go on from"):
        main(["resume", "recipe.toml"])
    with pytest.raises(errors.ConfigError, match="--nproc must be 1 or more"):
        main(["run", "recipe.toml", "--nproc", "0"])


@pytest.mark.parametrize("words", [[], ["--nproc", "2"], ["--elastic", "1:2"]])
def test_a_wrong_recipe_ends_with_the_same_code_on_any_number(recipe_folder, capfd, words):
    wrong = ["--set", "model.kwargs={ widht = 3 }"]
    assert ds_sdk(["train", "run", "recipe.toml", *wrong, *words]) == 2
    assert "widht" in capfd.readouterr().err
