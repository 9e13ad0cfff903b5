"""Which nodes of a cluster train with a run, as its launcher's answers have it."""

import threading
import time

import pytest
from train_recipe import RECIPE

from deepseek_core import errors, training
from deepseek_parallel.errors import RankFailed
from deepseek_parallel.trainer.launch import guests as module
from deepseek_parallel.trainer.launch.elastic import files_of
from deepseek_parallel.trainer.launch.guests import Guests, job_of
from deepseek_parallel.trainer.recipe.read import read_recipe

LIMIT_S = 20


def node(name, address="10.0.0.2", **more):
    return training.LaunchNode(id=f"id of {name}", name=name, address=address, **more)


class Cluster(training.Launcher):
    """Nodes by name; what is said of their commands is set by the test."""

    def __init__(self, *names, here="10.0.0.1"):
        self.up = [node("here", here, is_here=True), *map(node, names)]
        self.refusals, self.states, self.commands = {}, {}, {}
        self.stopped = []
        self.lock = threading.Lock()

    def nodes(self):
        return list(self.up)

    def start(self, node, command):
        with self.lock:
            self.commands[node.name] = command
        if node.name in self.refusals:
            raise errors.DeviceUnavailable(self.refusals[node.name], device_id=node.name)
        return training.Started(number=len(self.commands), node=node, folder=command.folder)

    def look(self, started):
        return self.states.get(started.node.name, training.CommandState())

    def stop(self, started, limit_s):
        self.stopped += [one.node.name for one in started]

    def close(self):
        pass


@pytest.fixture(autouse=True)
def begun(monkeypatch):
    """All guests of a test, which look at the nodes each 10 ms and end with it."""
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    found = []
    begin = Guests.begin
    monkeypatch.setattr(
        Guests, "begin", lambda self, *given: (found.append(self), begin(self, *given))
    )
    yield
    for guests in found:
        guests.end(at_once=True)


class Run:
    """Guests of a run, begun, and what they have said."""

    def __init__(self, cluster, *, workers=(1, 8), **more):
        self.said = []
        recipe = read_recipe(module.Path("recipe.toml"))
        self.guests = Guests(cluster, job_of(recipe, files_of(recipe)), **{"nproc": 1, **more})
        self.guests.begin("10.0.0.1:4300", "token", workers, self.said.append)

    def until(self, is_true):
        until_s = time.monotonic() + LIMIT_S
        while not is_true():
            assert time.monotonic() < until_s, self.said
            time.sleep(0.01)

    def error(self):
        """What ends the run."""
        found = []

        def raised():
            try:
                self.guests.check()
            except RankFailed as error:
                found.append(error)
            return found

        self.until(raised)
        return str(found[0])


def test_nodes_join_up_to_the_most_and_one_that_comes_later(recipe_folder):
    cluster = Cluster("a", "b")
    run = Run(cluster, nproc=2, workers=(1, 8))
    run.until(lambda: len(cluster.commands) == 2)
    cluster.up += map(node, "cde")
    run.until(lambda: len(cluster.commands) == 3)  # of 2 processes each, and this machine's 2
    cluster.states["a"] = training.CommandState(lost="it fell")
    run.until(lambda: len(cluster.commands) == 4)
    assert "node a is lost (it fell); the others train on" in run.said
    run.guests.check()
    run.guests.end(at_once=True)
    assert cluster.stopped == ["b", "c", "d"]
    command = cluster.commands["d"]
    assert command.arguments[-4:] == ("recipe.toml", "10.0.0.1:4300", "--nproc", "2")
    assert (command.cpus, command.environment["DEEPSEEK_RUN"]) == (2, "token")


def test_a_node_that_fails_ends_a_run_that_has_taken_no_step(recipe_folder):
    cluster = Cluster("a", "b")
    cluster.refusals["a"] = "node a: no CPUs"
    run = Run(cluster, count=3)
    assert "2 of 3 nodes can train, with this machine: node a does not train: no CPUs" in (
        run.error()
    )

    cluster = Cluster("a")
    cluster.states["a"] = training.CommandState(code=2, lines=("error: no such file",))
    assert "its processes ended with code 2\n  error: no such file" in Run(cluster).error()


def test_a_node_that_fails_later_or_can_be_spared_is_told_alone(recipe_folder):
    cluster = Cluster("a", "b")
    cluster.refusals["a"] = "no CPUs"
    run = Run(cluster)
    run.until(lambda: "node b joins" in run.said and len(run.said) == 2)
    run.guests.has_begun = True
    cluster.states["b"] = training.CommandState(code=1)
    run.until(lambda: len(run.said) == 3)
    assert run.said[-1] == "node b does not train: its processes ended with code 1"
    run.guests.check()


def test_nodes_prove_that_they_see_the_folder_of_the_checkpoints(recipe_folder):
    cluster = Cluster("a")
    run = Run(cluster)
    run.until(lambda: cluster.commands)
    ((path, content),) = cluster.commands["a"].needs.items()
    assert module.Path(path).parent == recipe_folder / "saved"
    assert module.Path(path).read_bytes() == content
    assert run.guests.changes == [f'checkpoint.url="{recipe_folder / "saved"}"']
    run.guests.end(at_once=True)
    assert not module.Path(path).exists()


def test_a_cluster_that_can_not_serve_is_told(recipe_folder):
    with pytest.raises(errors.ConfigError, match=r"--nodes 3: the cluster has 2 .*\(here, a\)"):
        Run(Cluster("a"), count=3)
    away = Cluster("a")
    away.up = away.up[1:]
    with pytest.raises(errors.ConfigError, match="this machine is no node of the cluster"):
        Run(away)
    run = Run(Cluster("a", here="127.0.0.1"))
    with pytest.raises(errors.ConfigError, match=r"by 127\.0\.0\.1, which a does not reach"):
        run.guests.address()
    assert Run(Cluster("a", here="fd00::1")).guests.address() == "[fd00::1]:0"


def test_what_nodes_get_of_a_recipe(recipe_folder, monkeypatch):
    package = recipe_folder / "pack" / "deep"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").write_text("")
    (package / "part.py").write_text("x = 1")
    (recipe_folder / "data.csv").write_text("1")
    (recipe_folder / "elsewhere").mkdir()

    def job(path):
        recipe = read_recipe(module.Path(path))
        return job_of(recipe, files_of(recipe))

    found = job("recipe.toml")
    assert (found.folder, found.recipe) == (recipe_folder, "recipe.toml")
    assert set(found.files) == {
        "recipe.toml", "train.py", "pack/__init__.py", "pack/deep/part.py"
    }  # fmt: skip
    assert found.files["recipe.toml"] == RECIPE.encode()
    monkeypatch.chdir(recipe_folder.parent)
    assert job(f"{recipe_folder.name}/recipe.toml").recipe == f"{recipe_folder.name}/recipe.toml"
    monkeypatch.chdir(recipe_folder / "elsewhere")
    assert job("../recipe.toml").folder == recipe_folder
    (package / "large.py").write_bytes(b"#" * (16 << 20))
    with pytest.raises(errors.ConfigError, match="too much to send"):
        job("../recipe.toml")
