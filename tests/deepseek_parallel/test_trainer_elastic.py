"""A killed worker of an elastic run: the others go on with its samples, and it comes back."""

import json
import os
import signal
import threading
import time

import pytest
from process import one_thread
from train_recipe import SCRIPT

from deepseek_parallel.cli.main import main

LIMIT_S = 60


def test_a_killed_rank_costs_no_step_and_no_sample(recipe_folder, capsys):
    """Rank 0 it is, which writes the log; the losses are those of one process."""
    (recipe_folder / "train.py").write_text(
        SCRIPT + "\n\ndef marked(model, batch):\n"
        '    open(f"pid-{os.getpid()}", "a").close()\n    return slow(model, batch)\n'
    )
    words = ["--set", "train.steps=60", "--set", "loss.function=train.py:marked", "--json"]
    changes = [*words[:4], "--set", "checkpoint.url=other", "--set", "log.folder=alone"]
    with one_thread():
        assert (
            main(["run", "recipe.toml", *changes, "--set", "loss.function=train.py:loss", "--json"])
            == 0
        )
    wanted = json.loads(capsys.readouterr().out)["losses"]

    def kill():
        until_s = time.monotonic() + LIMIT_S
        log = recipe_folder / "log" / "log.jsonl"
        while time.monotonic() < until_s and (not log.exists() or log.read_text().count("\n") < 5):
            time.sleep(0.02)
        first = min(recipe_folder.glob("pid-*"), key=lambda file: int(file.name[4:]))
        os.kill(int(first.name[4:]), signal.SIGKILL)

    for file in recipe_folder.glob("pid-*"):
        file.unlink()
    killer = threading.Thread(target=kill)
    killer.start()
    assert main(["run", "recipe.toml", "--elastic", "1:2", *words]) == 0
    killer.join()
    report = json.loads(capsys.readouterr().out)
    changes = [(one["before"], one["after"]) for one in report["recoveries"]]
    assert changes[0] == (2, 1)
    log = [
        json.loads(line) for line in (recipe_folder / "log" / "log.jsonl").read_text().splitlines()
    ]
    steps = [line for line in log if line["kind"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, 61))
    assert [line["loss"] for line in steps] == pytest.approx(wanted, abs=1e-4)
