"""A run on two machines: who may join it, and what it does when one is cut off."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from train_recipe import RECIPE, SCRIPT
from two_machines import FIRST, NoMachines, machines

from deepseek_core import errors
from deepseek_parallel import CodeMismatch, JoinRefused
from deepseek_parallel.cli.main import main
from deepseek_parallel.elastic import addresses, roster_elsewhere
from deepseek_parallel.elastic.code_version import hashes_of, plugin_version
from deepseek_parallel.elastic.group import _exchange_by
from deepseek_parallel.elastic.roster import Rules
from deepseek_parallel.elastic.roster_process import RosterProcess
from deepseek_parallel.trainer.launch.elastic import files_of
from deepseek_parallel.trainer.recipe.read import read_recipe

LIMIT_S = 120


def until(is_true, process):
    until_s = time.monotonic() + LIMIT_S
    while not is_true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until_s
        time.sleep(0.1)


def started(machine, folder, *words, **more):
    code = f"import sys; from deepseek_core.cli import main; sys.exit(main({['train', *words]}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **more}
    environment.pop("GLOO_SOCKET_IFNAME", None)
    with (folder / "stderr").open("w") as stderr:
        return subprocess.Popen(
            [*machine.inside, sys.executable, "-c", code], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=stderr,
        )  # fmt: skip


def test_a_machine_that_is_cut_off_is_a_lost_member(tmp_path):
    """It joins by what the first one prints; its cable is drawn, and is put back later."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.py").write_text(SCRIPT)
        recipe = RECIPE.replace('"saved"', f'"{tmp_path}/saved"').replace(
            "train.py:loss", "train.py:slow"
        )
        (tmp_path / name / "recipe.toml").write_text(recipe.replace("steps = 12", "steps = 100000"))
    log = tmp_path / "one" / "log" / "log.jsonl"

    def ranks():
        """How many there were in the last step."""
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        steps = [json.loads(x) for x in lines[-20:] if x.endswith("\n") and '"step"' in x]
        return next((int(x["ranks"]) for x in reversed(steps) if x["kind"] == "step"), 0)

    try:
        with machines() as (one, two):
            words = ["run", "recipe.toml", "--elastic", "1:2", "--listen", f"{FIRST}:0", "--json"]
            first = started(one, tmp_path / "one", *words)
            second = None
            try:
                told = tmp_path / "one" / "stderr"
                until(lambda: "train join" in told.read_text(), first)
                found = re.search(r"DEEPSEEK_RUN=(\w+) ds-sdk train (join .*)", told.read_text())
                second = started(two, tmp_path / "two", *found[2].split(), DEEPSEEK_RUN=found[1])
                until(lambda: ranks() == 2, first)
                two.call("ip", "link", "set", "cable", "down")
                until(lambda: ranks() == 1, first)
                two.call("ip", "link", "set", "cable", "up")
                until(lambda: ranks() == 2, first)  # its worker was out, and another has come
                first.send_signal(signal.SIGINT)
                second.send_signal(signal.SIGINT)
                report = json.loads(first.communicate(timeout=LIMIT_S)[0])
                assert first.returncode == 130
                assert second.wait(LIMIT_S) == 130
            finally:
                for process in filter(None, (first, second)):
                    process.kill()
                    process.communicate()
    except NoMachines as reason:
        pytest.skip(f"no namespaces here: {reason}")
    assert report["stopped"] == "SIGTERM"  # which the launcher hands on
    assert (2, 1) in [(x["before"], x["after"]) for x in report["recoveries"]]
    assert report["checkpoints"]


@pytest.fixture
def roster(recipe_folder):
    """The roster of a run of this recipe, without a worker."""
    files = files_of(read_recipe(recipe_folder / "recipe.toml"))
    job = {"version": plugin_version(), "files": hashes_of(files), "changes": [], "resume": False}
    rules = Rules(least=1, most=2, first=1, lost_after_s=1.0)
    running = RosterProcess(rules, "the-run", job=job)
    running.start()
    yield running
    running.stop()


def test_a_stranger_and_other_files_are_refused(recipe_folder, roster, monkeypatch):
    words = ["join", "recipe.toml", roster.address]
    with pytest.raises(errors.ConfigError, match="--nproc must be 1 or more, got 0"):
        main([*words, "--nproc", "0"])
    monkeypatch.delenv("DEEPSEEK_RUN", raising=False)
    with pytest.raises(errors.ConfigError, match="DEEPSEEK_RUN is not set"):
        main(words)
    monkeypatch.setenv("DEEPSEEK_RUN", "the-rum")
    with pytest.raises(JoinRefused, match="the token differs"):
        main(words)
    monkeypatch.setenv("DEEPSEEK_RUN", "the-run")
    (recipe_folder / "train.py").write_text(SCRIPT + "\n")
    (recipe_folder / "more.py").write_text("")
    with pytest.raises(CodeMismatch, match=r"^more\.py, train\.py: not as on the machine"):
        main(words)


def test_a_run_that_does_not_answer_is_told(recipe_folder, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_RUN", "the-run")
    monkeypatch.setattr(roster_elsewhere, "_ASK_S", 0.3)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        for address, text in (
            (f"127.0.0.1:{held.getsockname()[1]}", "Connection refused"),
            ("no-such-host.invalid:4300", "known"),
            ("127.0.0.1", "is not HOST:PORT"),
        ):
            with pytest.raises(errors.ConfigError, match=text):
                main(["join", "recipe.toml", address])
        held.listen()
        with pytest.raises(errors.ConfigError, match=r"nothing was heard for 0\.3 s"):
            main(["join", "recipe.toml", f"127.0.0.1:{held.getsockname()[1]}"])


@pytest.mark.parametrize(
    ("listen", "text"),
    [
        ("0.0.0.0:0", "the others must be told one address"),
        ("[::]:0", "the others must be told one address"),
        ("192.0.2.1:4300", "192.0.2.1 is no address of this machine"),
        ("no-such-host.invalid:4300", "can't be resolved"),
        ("4300", "is not HOST:PORT"),
        ("debian:4300", "it is 127.0.1.1 here, which no other machine reaches"),
    ],
)
def test_an_address_that_others_do_not_reach(recipe_folder, monkeypatch, listen, text):
    plain = socket.getaddrinfo

    def as_debian(host, *rest, **more):  # whose /etc/hosts has the name of the machine so
        return plain("127.0.1.1" if host == "debian" else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", as_debian)
    monkeypatch.setattr(addresses, "own", lambda own=addresses.own: {**own(), "127.0.1.1": "lo"})
    with pytest.raises(errors.ConfigError, match=re.escape(text)):
        main(["run", "recipe.toml", "--elastic", "1:2", "--listen", listen])


def test_the_addresses_of_this_machine_have_interfaces():
    found = addresses.own()
    assert found["127.0.0.1"] == "lo"
    assert set(found.values()) <= {name for _, name in socket.if_nameindex()}
    assert addresses.joined("::1", 3) == "[::1]:3"
    assert addresses.listen_address("localhost:7") == ("127.0.0.1", 7)


def test_gloo_is_told_an_interface_that_is_there(monkeypatch):
    """Else it takes the address of the machine's name; one of another machine is told at once."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth77")
    with pytest.raises(errors.ConfigError, match=r"no interface eth77.* -> unset GLOO_SOCKET"):
        _exchange_by("127.0.0.1")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    _exchange_by("127.0.0.1")
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"


def test_a_port_that_is_taken_and_options_that_do_not_go_together(recipe_folder):
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(errors.ConfigError, match=f"can't listen at {place}: Address already"):
            main(["run", "recipe.toml", "--elastic", "1:2", "--listen", place])
    with pytest.raises(errors.ConfigError, match="--listen is for workers that come and go"):
        main(["run", "recipe.toml", "--listen", "127.0.0.1:0"])
    with pytest.raises(errors.ConfigError, match="3 workers of this machine"):
        main(["run", "recipe.toml", "--elastic", "1:2", "--nproc", "3"])
