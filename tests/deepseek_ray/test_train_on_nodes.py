"""A training on the nodes of a cluster: losses of one process, and nodes that come and go."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepseek_core.cli import main

pytest.importorskip("torch", reason="torch isn't installed (make install-dev)")
sys.path.insert(0, str(Path(__file__).parents[1] / "deepseek_parallel"))

from train_recipe import RECIPE, SCRIPT

LIMIT_S = 120


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    """Those that are meant here, so that nodes are asked for no other plugins."""
    monkeypatch.setenv("DEEPSEEK_PLUGINS", "cluster_ray,parallel_torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with a space in its name, and a recipe below it."""
    folder = tmp_path / "a folder"
    (folder / "conf").mkdir(parents=True)
    (folder / "conf" / "train.py").write_text(SCRIPT)
    (folder / "conf" / "recipe.toml").write_text(RECIPE)
    monkeypatch.chdir(folder)
    return folder


WORDS = ["train", "run", "conf/recipe.toml", "--json"]


def until(is_true, process):
    until_s = time.monotonic() + LIMIT_S
    while not is_true():
        assert process.poll() is None
        assert time.monotonic() < until_s
        time.sleep(0.1)


def losses_of(capsys, *words):
    assert main([*WORDS, *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_two_nodes_have_the_losses_of_one_process(home, nodes, capsys):
    alone = losses_of(capsys)
    words = ["--executor", "ray", "--address", nodes.address, "--nodes", "2", "--elastic", "2:2"]
    both = losses_of(capsys, *words, "--set", "checkpoint.url=other")
    assert both["ranks"] == 2
    assert both["losses"] == pytest.approx(alone["losses"], abs=1e-5)


def joins():
    """Processes of `train join` on this machine."""
    found = set()
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"join" in words and b"conf/recipe.toml" in words:
            found.add(int(each.parent.name))
    return found


def test_a_node_comes_and_is_killed_and_ctrl_c_ends_all(home, nodes):
    log = home / "log" / "log.jsonl"

    def ranks():
        """How many there were in the last step."""
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        steps = [json.loads(x) for x in lines[-20:] if x.endswith("\n") and '"step"' in x]
        return next((int(x["ranks"]) for x in reversed(steps) if x["kind"] == "step"), 0)

    words = [*WORDS, "--executor", "ray", "--address", nodes.address, "--elastic", "1:3"]
    words += ["--set", "train.steps=100000", "--set", "loss.function=train.py:slow"]
    code = f"import sys; from deepseek_core.cli import main; sys.exit(main({words}))"
    with (home / "stderr").open("w") as stderr:
        run = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=stderr, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
    try:
        until(lambda: ranks() == 2, run)
        nodes.add("c")
        until(lambda: ranks() == 3, run)
        nodes.kill("c")
        until(lambda: ranks() == 2, run)
        until(lambda: "node c is lost" in (home / "stderr").read_text(), run)
        assert joins()
        run.send_signal(signal.SIGINT)
        report = json.loads(run.communicate(timeout=LIMIT_S)[0])
    finally:
        run.kill()
        run.communicate()
    assert run.returncode == 130, (home / "stderr").read_text()
    assert not joins()
    assert (3, 2) in [(x["before"], x["after"]) for x in report["recoveries"]]
    assert report["checkpoints"]
    assert "--executor ray" in (home / "stderr").read_text()  # how to resume


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--executor", "rey"], "no plugin offers an executor 'rey'"),
        (
            ["--executor", "ray", "--address", "ray://10.0.0.5:10001"],
            "is not an address of a Ray head",
        ),
        (["--executor", "ray", "--address", "127.0.0.1:9"], "no Ray head at 127.0.0.1:9: "),
        (["--executor", "ray", "--nodes", "1"], "--nodes counts this machine too"),
        (["--executor", "ray", "--dry-run"], "--dry-run is of this machine alone"),
        (["--nodes", "2"], "fix: add --executor ray"),
    ],
)
def test_what_can_not_be_is_told(home, capsys, words, told):
    assert main([*WORDS, *words]) != 0
    assert told in capsys.readouterr().err


def test_fewer_nodes_than_were_asked_for_are_told_at_once(home, nodes, capsys):
    words = ["--executor", "ray", "--address", nodes.address, "--nodes", "4"]
    assert main([*WORDS, *words]) == 2
    assert "--nodes 4: the cluster has 2 that are up (a, b)" in capsys.readouterr().err
