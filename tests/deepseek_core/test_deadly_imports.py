"""A plugin whose import ends or hangs the process does so once, and is named from then on."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import plugin_zoo as zoo
import pytest


@pytest.fixture
def env(tmp_path):
    return {
        "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
        "DEEPSEEK_CONFIG": str(tmp_path / "none.toml"),
        "DEEPSEEK_LOAD_TIMEOUT": "1",
    }


def rows(folder, env):
    process = zoo.ds_sdk("list-plugins", "--json", path=[folder], env=env)
    assert process.returncode == 0, process.stderr
    return {row["name"]: row for row in json.loads(process.stdout)["plugins"]}


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("segfault_import", -signal.SIGSEGV, "its import crashed with SIGSEGV"),
        ("abort_import", -signal.SIGABRT, "its import crashed with SIGABRT"),
        ("exit_import", 7, "its import's process ended with code 7 and no answer"),
    ],
)
def test_what_ended_one_process_ends_no_other(name, code, reason, tmp_path, env):
    zoo.install(tmp_path, "well")
    zoo.install(tmp_path, name, hooks=zoo.DEADLY_HOOKS[name])
    assert zoo.ds_sdk("list-plugins", path=[tmp_path], env=env).returncode == code
    found = rows(tmp_path, env)
    dist = f"zoo-{name.replace('_', '-')}"
    assert found["well"]["status"] == "available"
    assert (found[name]["status"], found[name]["reason"]) == ("broken", reason)
    assert found[name]["remedy"] == f"pip uninstall {dist} (or DEEPSEEK_DISABLE_PLUGINS={name})"


def test_the_verdict_is_kept_and_ends_with_the_plugin_that_it_is_about(tmp_path, env):
    zoo.install(tmp_path, "abort_import", hooks=zoo.DEADLY_HOOKS["abort_import"])
    assert zoo.ds_sdk("list-plugins", path=[tmp_path], env=env).returncode != 0
    assert rows(tmp_path, env)["abort_import"]["status"] == "broken"
    (record,) = (tmp_path / "cache" / "imports").iterdir()
    first = json.loads(record.read_text())
    record.write_text(json.dumps(first | {"at": first["at"] - 600}))
    again = rows(tmp_path, env)["abort_import"]
    assert again["reason"] == "its import crashed with SIGABRT (tried 10 min ago)"
    zoo.install(tmp_path, "abort_import", version="1.0.1")
    assert rows(tmp_path, env)["abort_import"]["status"] == "available"
    assert not list((tmp_path / "cache" / "imports").iterdir())


def test_one_that_was_only_interrupted_works_the_next_time(tmp_path, env):
    slow = "import time\ntime.sleep(0 if __import__('os').environ.get('GO') else 600)\n"
    zoo.install(tmp_path, "slow", hooks=slow + zoo.HOOKS)
    with started(tmp_path, env | {"DEEPSEEK_LOAD_TIMEOUT": "0"}) as process:
        process.kill()
    assert rows(tmp_path, env | {"GO": "1"})["slow"]["status"] == "available"
    assert not list((tmp_path / "cache" / "imports").iterdir())


def test_one_that_dies_in_this_process_alone_is_named_in_the_end(tmp_path, env):
    here = "import os\nif 'DEEPSEEK_CHILD' not in os.environ: os.abort()\n"
    zoo.install(tmp_path, "here", hooks=here + zoo.HOOKS)
    for _ in range(2):
        assert zoo.ds_sdk("list-plugins", path=[tmp_path], env=env).returncode != 0
    reason = "its import has ended the process 2 times, though not one of its own"
    assert rows(tmp_path, env)["here"]["reason"] == reason


def test_one_that_hangs_in_c_is_met_once_its_process_was_killed(tmp_path, env):
    zoo.install(tmp_path, "hanging_in_c", hooks=zoo.HANGING_IN_C)
    with started(tmp_path, env) as process:
        process.kill()
    start_s = time.perf_counter()
    row = rows(tmp_path, env)["hanging_in_c"]
    assert row["reason"] == "its import did not answer in 6 s and was killed"
    assert time.perf_counter() - start_s < 30
    assert rows(tmp_path, env)["hanging_in_c"]["status"] == "broken"


def test_one_that_hangs_in_c_ends_the_command_and_says_so(tmp_path, env):
    """No handler of the alarm runs: Python's lock is held."""
    zoo.install(tmp_path, "hanging_in_c", hooks=zoo.HANGING_IN_C)
    start_s = time.perf_counter()
    process = zoo.ds_sdk("list-plugins", path=[tmp_path], env=env)
    assert time.perf_counter() - start_s < 30
    assert process.returncode == 1
    assert (
        "<plugin 'hanging_in_c' of zoo-hanging-in-c>\", line 1 in its import, which hung in native "
        "code and has ended ds-sdk. Run the command again: the plugin is tried in a process of its "
        "own then (or pip uninstall zoo-hanging-in-c)"
    ).replace("line 1 ", "") in re.sub(r"line \d+ ", "", process.stderr)
    assert rows(tmp_path, env)["hanging_in_c"]["status"] == "broken"


def test_a_program_of_the_users_is_not_ended(tmp_path, env):
    slow = "import ctypes\nctypes.PyDLL(None).sleep(5)\n" + zoo.HOOKS
    zoo.install(tmp_path, "slow_in_c", hooks=slow)
    code = """
import sys
from deepseek_core.discovery import loader, scan
(row,) = loader.discover(entry_points=scan.scan([sys.argv[1]])).plugins
print(row.status, row.reason)
"""
    process = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path)], capture_output=True, text=True,
        env=os.environ | env | {"PYTHONPATH": f"{zoo.SOURCES}{os.pathsep}{tmp_path}"},
        check=False, timeout=60,
    )  # fmt: skip
    assert process.stdout == "broken its import did not end in 1 s\n", process.stderr


def test_a_process_that_still_imports_is_not_taken_for_dead(tmp_path, env):
    slow = "import time\ntime.sleep(0 if __import__('os').environ.get('GO') else 600)\n"
    zoo.install(tmp_path, "slow", hooks=slow + zoo.HOOKS)
    with started(tmp_path, env | {"DEEPSEEK_LOAD_TIMEOUT": "0"}) as process:
        found = rows(tmp_path, env | {"GO": "1"})["slow"]
        process.kill()
    assert found["load_ms"] is not None, "it was imported in this process"


def test_nothing_is_written_where_only_ours_are_installed(tmp_path, env):
    env |= {"DEEPSEEK_PLUGINS": "cpu_onnx,store"}
    assert zoo.ds_sdk("list-plugins", env=env).returncode == 0
    assert not (tmp_path / "cache" / "imports").exists()


class started:
    """A `ds-sdk list-plugins` that is in the middle of an import."""

    def __init__(self, folder, env):
        path = os.pathsep.join([str(folder), str(zoo.SOURCES)])
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "deepseek_core", "list-plugins"],
            env=os.environ | env | {"PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.notes = folder / "cache" / "imports"

    def __enter__(self):
        until_s = time.monotonic() + 60
        while not any(file.stat().st_size for file in self.notes.glob("running-*")):
            assert time.monotonic() < until_s
            time.sleep(0.05)
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(60)
