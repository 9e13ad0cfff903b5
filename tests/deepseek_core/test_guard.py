"""What a plugin does to the process while it loads is found and undone."""

import builtins
import json
import os
import signal
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

    def load(name, hooks, **switches):
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
    import subprocess

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
