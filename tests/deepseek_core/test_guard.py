"""What a plugin does to the process while it loads is found and undone."""

import builtins
import json
import os
import signal
import subprocess
import sys
import threading

import plugin_zoo as zoo
import pytest

from deepseek_core.discovery.guard import Guard, Overdue, time_limit
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.scan import scan
from deepseek_core.discovery.switches import Switches


@pytest.fixture
def load(monkeypatch, tmp_path):
    """Loads one plugin with these hooks and gives its row."""

    def load(name, hooks=zoo.HOOKS, **switches):
        monkeypatch.syspath_prepend(str(tmp_path))
        zoo.install(tmp_path, name, hooks=hooks)
        rows = discover(Switches(**switches), entry_points=scan([str(tmp_path)])).plugins
        return next(row for row in rows if row.name == name)

    yield load
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


def test_variables_are_as_before(load, monkeypatch):
    monkeypatch.setenv("ZOO_KEPT", "as it was")
    before = dict(os.environ)
    row = load("env", "import os\nos.environ['ZOO_KEPT'] = 'x'\ndel os.environ['PATH']\n")
    assert dict(os.environ) == before
    assert row.status == "broken", "it implements no hook, which counts more"
    row = load("env_b", "import os\nos.environ['ZOO_KEPT'] = 'secret'\n" + zoo.HOOKS)
    assert row.reason == (
        "its import changed the environment, which was restored: changed ZOO_KEPT"
    )


def test_the_library_is_as_before(load):
    dumps, printing = json.dumps, builtins.print
    row = load("patch", "import json, builtins\njson.dumps = json.loads = builtins.print = None\n")
    assert json.dumps is dumps and builtins.print is printing
    assert row.reason == (
        "its import replaced builtins.print, json.dumps, json.loads, which was restored"
    )


@pytest.mark.parametrize("first", [True, False])
def test_what_a_plugin_replaces_is_put_back_and_it_is_refused(first, tmp_path):
    """Whether the plugin is the first to import the module, or not."""
    sources = (
        zoo.REPLACED if not first else {k: v for k, v in zoo.REPLACED.items() if k != "own_api"}
    )
    for name, (source, _what) in sources.items():
        zoo.install(tmp_path, name, hooks=source + zoo.HOOKS)
    imports = "" if first else "import asyncio, pickle, socket, ssl, subprocess\n"
    imports += "" if first else "import deepseek_core\nfrom deepseek_core import Device\n"
    code = """
import sys
from deepseek_core.discovery import loader, scan
rows = loader.discover(entry_points=scan.scan([sys.argv[1]])).plugins
import asyncio, json, pickle, socket, ssl, subprocess
from deepseek_core import Device
assert ssl._create_default_https_context is ssl.create_default_context
assert asyncio.run is not print and pickle.loads is not eval and Device != 1
for part in (socket.socket, socket.getaddrinfo, ssl.SSLContext, subprocess.Popen):
    assert part.__module__ in ("socket", "ssl", "subprocess"), part
print(json.dumps({row.name: [row.status, row.reason] for row in rows}))
"""
    process = subprocess.run(
        [sys.executable, "-P", "-c", imports + code, str(tmp_path)],
        capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": f"{zoo.SOURCES}{os.pathsep}{tmp_path}"},
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout) == {
        name: ["broken", f"its import replaced {what}, which was restored"]
        for name, (_source, what) in sources.items()
    }


def test_a_plugin_that_takes_the_lock_of_loading_away_ends_nothing(load):
    """As eventlet, which replaces each lock of the process by one of its own."""
    steals = "from deepseek_core.discovery import guard\nguard._TURN.lock.release()\n"
    assert load("steals", steals + zoo.HOOKS).status == "available"
    assert load("well").status == "available"


@pytest.mark.parametrize("part", ["meta_path", "path_hooks", "path"])
def test_who_took_the_import_system_away_is_told_all_the_same(part, tmp_path):
    hooks = f"import sys\nsys.{part}.clear()\nimport nothing_of_the_kind\n"
    zoo.install(tmp_path, "takes", hooks=hooks)
    env = {"DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"), "PYTHONWARNINGS": "ignore"}
    process = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path], env=env)
    assert process.returncode == 0, process.stderr
    rows = {row["name"]: row for row in json.loads(process.stdout)["plugins"]}
    assert rows["takes"]["status"] == "broken"
    assert rows["takes"]["reason"].startswith("import failed: ModuleNotFoundError")
    assert rows["takes"]["remedy"]
    assert rows["cpu_onnx"]["status"] == "available"


def test_a_plugin_that_closes_all_files_is_named_and_then_left_out(tmp_path):
    """As a daemon does; what had been open can't be had again."""
    zoo.install(tmp_path, "closes", hooks="import os\nos.closerange(3, 256)\n" + zoo.HOOKS)
    env = {"DEEPSEEK_CACHE_DIR": str(tmp_path / "cache")}
    for _ in range(2):
        process = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path], env=env)
        assert process.returncode == 1
        assert process.stderr == (
            "error: plugin 'closes' closed files of this process as it was imported\n"
            "fix: pip install -U zoo-closes (or DEEPSEEK_DISABLE_PLUGINS=closes)\n"
        )
    process = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path], env=env)
    rows = {row["name"]: row for row in json.loads(process.stdout)["plugins"]}
    assert rows["closes"]["status"] == "broken"
    assert rows["cpu_onnx"]["status"] == "available"


def test_the_process_group_is_as_before(tmp_path):
    """In a group of its own, Ctrl-C would not reach it."""
    zoo.install(tmp_path, "alone", hooks="import os\nos.setpgrp()\n" + zoo.HOOKS)
    code = """
import os, sys
from deepseek_core.discovery import loader, scan
before = os.getpgrp()
(row,) = loader.discover(entry_points=scan.scan([sys.argv[1]])).plugins
print(before == os.getpgrp(), row.reason)
"""
    process = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tmp_path)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": f"{zoo.SOURCES}{os.pathsep}{tmp_path}"}, check=True,
    )  # fmt: skip
    assert process.stdout == "True its import changed the process group, which was restored\n"


def test_a_module_that_only_the_plugin_imported_is_looked_at_too():
    code = """
import sys
from deepseek_core.discovery.guard import Guard
assert "json" not in sys.modules
guard = Guard()
import json
json.loads = print
print(guard.library_restored())
assert json.loads("[1]") == [1]
print(Guard().library_restored())
"""
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(zoo.SOURCES)},
    )  # fmt: skip
    assert process.stdout == "its import replaced json.loads, which was restored\nNone\n"


def test_an_import_that_hangs_is_ended_even_if_it_catches_everything(load):
    hooks = """
        import time
        try:
            time.sleep(600)
        except Exception:
            time.sleep(600)
        """
    row = load("hangs", hooks, load_timeout_s=0.2)
    assert (row.status, row.reason) == ("broken", "its import did not end in 0.2 s")


def test_a_hook_that_hangs_is_ended(load):
    hooks = zoo.HOOKS.replace("    return", "    import time; time.sleep(600)\n    return")
    assert load("late", hooks, load_timeout_s=0.2).reason == "its import did not end in 0.2 s"


def test_the_alarm_clock_is_given_back():
    with pytest.raises(Overdue), time_limit(0.01):
        threading.Event().wait(60)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_an_alarm_that_ends_the_process_is_set_again():
    signal.setitimer(signal.ITIMER_REAL, 600)
    try:
        with time_limit(60):
            assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60
        assert 60 < signal.getitimer(signal.ITIMER_REAL)[0] <= 600
        with time_limit(3600):
            assert signal.getitimer(signal.ITIMER_REAL)[0] <= 600
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_an_application_that_uses_the_alarm_keeps_it():
    heard = []
    signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        with time_limit(0.01):
            signal.raise_signal(signal.SIGALRM)
        assert heard == [1]
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_in_another_thread_there_is_no_limit_and_no_error():
    done = []

    def work():
        with time_limit(0.01):
            done.append(signal.getitimer(signal.ITIMER_REAL))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [(0, 0)]


def test_nothing_done_is_nothing_told():
    guard = Guard()
    assert guard.restored() is None
    assert guard.library_restored() is None


def test_a_copy_of_the_process_ends(tmp_path):
    """The user's command runs once, not twice."""
    zoo.install(tmp_path, "forking", hooks=zoo.BAD_HOOKS["forking_import"])
    env = {"DEEPSEEK_PLUGINS": "forking"}
    process = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path], env=env)
    assert len(json.loads(process.stdout)["plugins"]) >= 1
