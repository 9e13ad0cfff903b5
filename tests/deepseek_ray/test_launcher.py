"""Commands on other nodes: started, followed, and ended by whatever ends who asked for them."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepseek_core import errors, places, training
from deepseek_core.discovery.scan import EXPECTED
from deepseek_ray.launching.launcher import open_launcher

LIMIT_S = 60
TELL = "import os, sys; print(os.getcwd(), os.environ['WORD'], file=sys.stderr); sys.exit(3)"
# It ignores SIGTERM, and has a child in a session of its own; both tell their processes.
STAYS = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                         start_new_session=True)
print(os.getpid(), child.pid, file=sys.stderr, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module", autouse=True)
def plugins(cache):
    """Those that are meant here, so that nodes are asked for no others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPSEEK_PLUGINS", "cluster_ray,parallel_torch")
        yield


@pytest.fixture(scope="module")
def launcher(nodes, plugins):
    """A launcher on the cluster of the tests."""
    with training.open_launcher("ray", address=nodes.address) as launcher:
        yield launcher


def node_of(launcher, name="b"):
    return next(node for node in launcher.nodes() if node.name == name)


def python(code, **more):
    return training.Command(**{"arguments": ("-c", code), "folder": "/", **more})


def until(is_true, limit_s=LIMIT_S):
    until_s = time.monotonic() + limit_s
    while not (found := is_true()):
        assert time.monotonic() < until_s
        time.sleep(0.05)
    return found


def ended(launcher, started):
    def state():
        found = launcher.look(started)
        return found if found.has_ended else None

    return until(state)


def processes_of(launcher, started):
    """Those that STAYS has told."""
    (line,) = until(lambda: launcher.look(started).lines)
    return [int(word) for word in line.split()]


def is_gone(process):
    try:
        return "State:\tZ" in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True


def test_the_nodes_and_which_of_them_this_is(launcher):
    assert {(n.name, n.is_here, n.cpus) for n in launcher.nodes()} == {
        ("a", True, 1), ("b", False, 1)
    }  # fmt: skip


def test_a_command_gets_its_files_where_they_are_not_and_they_go_with_it(launcher):
    command = python(
        TELL + " if open('a b/c.txt').read() == 'x' else 1", folder="/no such folder",
        files={"a b/c.txt": b"x"}, environment={"WORD": "two words"},
    )  # fmt: skip
    started = launcher.start(node_of(launcher), command)
    assert started.is_copy
    state = ended(launcher, started)
    assert (state.code, state.lines) == (3, (f"{started.folder} two words",))
    assert not Path(started.folder).exists()


def test_a_folder_that_has_the_same_files_is_used(launcher, tmp_path):
    folder = tmp_path / "with a space"
    folder.mkdir()
    (folder / "own.txt").write_text("x")
    files = {"own.txt": b"x"}
    command = python(TELL, folder=str(folder), files=files, environment={"WORD": ""})
    started = launcher.start(node_of(launcher), command)
    assert (started.folder, started.is_copy) == (str(folder), False)
    assert ended(launcher, started).lines == (str(folder),)
    (folder / "own.txt").write_text("another")
    started = launcher.start(node_of(launcher), command)
    assert started.is_copy
    ended(launcher, started)
    assert (folder / "own.txt").read_text() == "another"


def test_a_folder_that_must_be_shared_is_proven_to_be(launcher, tmp_path):
    (tmp_path / "mark").write_text("x")
    needed = python("0", needs={str(tmp_path / "mark"): b"x"})
    assert ended(launcher, launcher.start(node_of(launcher), needed)).code == 0
    (tmp_path / "mark").write_text("y")
    with pytest.raises(errors.InputError, match=f"node b: {tmp_path} is another folder there"):
        launcher.start(node_of(launcher), needed)


def test_what_stays_after_a_stop_is_killed_with_all_that_it_began(launcher):
    started = launcher.start(node_of(launcher), python(STAYS))
    processes = processes_of(launcher, started)
    assert not any(map(is_gone, processes))
    launcher.stop([started], 0.2)
    assert launcher.look(started).code == 128 + signal.SIGKILL
    assert all(map(is_gone, processes))


def test_cpus_that_are_taken_are_waited_for_within_a_limit(nodes, launcher):
    here = launcher.start(node_of(launcher), python(STAYS))
    options = places.PlaceOptions(settings={"address": nodes.address, "open_s": 1.0})
    with open_launcher(options) as other:  # of another job
        node = node_of(other)
        with pytest.raises(errors.DeviceUnavailable, match=r"node b: .* in 1 s: its CPUs may be"):
            other.start(node, python("0"))
        with pytest.raises(errors.DeviceUnavailable, match="it has 1 CPUs for Ray, and 2 are"):
            other.start(node, python("0", cpus=2))
    launcher.stop([here], 0.1)
    again = launcher.start(node_of(launcher), python("0"))
    assert ended(launcher, again).code == 0


OWNER = """
import sys
from deepseek_core import training
launcher = training.open_launcher("ray", address=sys.argv[1])
node = next(node for node in launcher.nodes() if node.name == "b")
started = launcher.start(node, training.Command(arguments=("-c", sys.argv[2]), folder="/"))
while not (lines := launcher.look(started).lines):
    pass
print(lines[0], flush=True)
input()
"""


def test_a_command_ends_with_who_started_it_even_by_a_kill(nodes):
    words = [sys.executable, "-c", OWNER, nodes.address, STAYS.replace("SIG_IGN", "SIG_DFL")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        processes = [int(word) for word in owner.stdout.readline().split()]
        assert not any(map(is_gone, processes))
        owner.kill()
    until(lambda: all(map(is_gone, processes)))


def test_a_launcher_outlives_the_process_that_ray_ends(nodes):
    """Ray ends a process whose head is gone."""
    with training.open_launcher("ray", address=nodes.address) as launcher:
        started = launcher.start(node_of(launcher), python(STAYS.replace("SIG_IGN", "SIG_DFL")))
        processes = processes_of(launcher, started)
        launcher._process.kill()
        with pytest.raises(errors.DeviceUnavailable, match="the connection to Ray is lost"):
            launcher.look(started)
        until(lambda: all(map(is_gone, processes)))


def test_a_node_that_dies_is_told_and_its_command_ends(nodes, launcher):
    """Its daemon alone is gone: what else runs there would stay."""
    nodes.add("dies")
    node = until(lambda: next((n for n in launcher.nodes() if n.name == "dies"), None))
    started = launcher.start(node, python(STAYS.replace("SIG_IGN", "SIG_DFL")))
    processes = processes_of(launcher, started)
    nodes.kill_daemon("dies")
    assert "is gone" in ended(launcher, started).lost
    until(lambda: all(map(is_gone, processes)), 20.0)
    until(lambda: node.id not in {n.id for n in launcher.nodes()})
    launcher.stop([started], 1.0)
    with pytest.raises(errors.DeviceUnavailable):
        launcher.start(node, python("0"))


def test_a_node_with_other_versions_is_refused_by_its_name(nodes):
    environment = {"DEEPSEEK_PLUGINS": "cluster_ray", EXPECTED: "0" * 16}
    options = places.PlaceOptions(settings={"address": nodes.address}, environment=environment)
    told = "node b: the plugins here are not those"
    with open_launcher(options) as launcher, pytest.raises(errors.PluginError, match=told):
        launcher.start(node_of(launcher), python("0"))
