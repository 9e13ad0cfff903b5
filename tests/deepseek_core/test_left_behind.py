"""What a plugin's import leaves behind in the process is put back, or named in its row."""

import json
import os
import subprocess
import sys

import plugin_zoo as zoo
import pytest

# Everything that is looked at has been used, so that its state before is known.
CODE = """
import asyncio, decimal, json, locale, logging, multiprocessing, random, socket, sys, threading
import numpy
from deepseek_core.discovery import loader, scan
from deepseek_core.discovery.process_state import all_readers

numpy.random.seed(7)
decimal.getcontext().prec = 30
before = {name: read() for name, read in all_readers().items()}
drawn = [random.random() for _ in range(3)] if random.seed(11) is None else []
random.seed(11)
before["random numbers"] = random.getstate()
rows = loader.discover(entry_points=scan.scan([sys.argv[1]])).plugins
after = {name: read() for name, read in all_readers().items()}
differing = [name for name in before if before[name] != after[name]]
told = {row.name: [row.status, row.reason, row.remedy] for row in rows}
print(json.dumps([differing, told, drawn == [random.random() for _ in range(3)]]))
"""


def told_by(folder, code=CODE):
    """What a fresh process finds in the folder."""
    process = subprocess.run(
        [sys.executable, "-P", "-c", code, str(folder)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": f"{zoo.SOURCES}{os.pathsep}{folder}"},
        check=False, timeout=120,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("left")
    for name, hooks in zoo.HOOKS_AFTER.items():
        zoo.install(folder, name, hooks=hooks)
    return told_by(folder)


def test_the_process_is_as_it_was(outcome):
    differing, _told, same_numbers = outcome
    assert differing == [
        "sys.path", "names in builtins", "threads", "child processes",
    ], "these can only be told"  # fmt: skip
    assert same_numbers


@pytest.mark.parametrize("name", zoo.RESTORED)
def test_what_was_put_back_is_told(name, outcome):
    status, reason, remedy = outcome[1][name]
    assert status == "available"
    assert f"its import changed {zoo.RESTORED[name][1]}, which was restored" in reason
    assert remedy.startswith("pip install -U zoo-")


@pytest.mark.parametrize("name", zoo.LEFT)
def test_what_stays_is_told(name, outcome):
    status, reason, _remedy = outcome[1][name]
    assert status == "available"
    assert reason.startswith(f"its import left behind {zoo.LEFT[name][1]}")


def test_each_part_that_is_looked_at_has_a_way_back_or_is_only_named():
    from deepseek_core.discovery import process_state, undoing

    parts = process_state.all_readers().keys()
    told_alone = {"standard descriptors"}  # the guard holds what they need
    assert parts == undoing._UNDO.keys() | undoing._LEFT.keys() | told_alone


def test_a_module_that_the_plugin_imports_first_is_as_new(tmp_path):
    for name in ("logs_all", "few_digits", "sockets_wait"):
        zoo.install(tmp_path, name, hooks=zoo.HOOKS_AFTER[name])
    quiet = "import logging, decimal, socket, random\n" + zoo.HOOKS
    zoo.install(tmp_path, "quiet", hooks=quiet)
    code = """
import sys
from deepseek_core.discovery import loader, scan
assert not {"logging", "decimal", "_socket"} & sys.modules.keys()
rows = loader.discover(entry_points=scan.scan([sys.argv[1]])).plugins
import decimal, json, logging, socket
assert decimal.getcontext().prec == 28
assert socket.getdefaulttimeout() is None
assert logging.root.level == logging.WARNING and not logging.root.handlers
print(json.dumps({row.name: row.reason for row in rows}))
"""
    told = told_by(tmp_path, code)
    assert told.pop("quiet") is None
    for name, reason in told.items():
        assert reason == f"its import changed {zoo.RESTORED[name][1]}, which was restored"


def test_a_seed_that_a_plugin_sets_first_is_forgotten(tmp_path):
    zoo.install(tmp_path, "seeds", hooks=zoo.HOOKS_AFTER["seeds"])
    code = """
import json, sys
from deepseek_core.discovery import loader, scan
assert "random" not in sys.modules
loader.discover(entry_points=scan.scan([sys.argv[1]]))
import random
print(json.dumps(random.random() != random.Random(0).random()))
"""
    assert told_by(tmp_path, code) is True


def test_filters_that_name_a_message_stay(tmp_path):
    """As numpy adds them: taken away, its users would see what it hides."""
    narrow = "import warnings\nwarnings.filterwarnings('ignore', message='xyz changed')\n"
    zoo.install(tmp_path, "narrow", hooks=narrow + zoo.HOOKS)
    code = """
import json, sys, warnings
from deepseek_core.discovery import loader, scan
(row,) = loader.discover(entry_points=scan.scan([sys.argv[1]])).plugins
print(json.dumps([row.reason, "xyz changed" in str(warnings.filters)]))
"""
    assert told_by(tmp_path, code) == [None, True]


def test_a_finder_that_comes_last_stays_and_is_told(tmp_path):
    """As the one of `six`, without which its modules can't be imported."""
    last = "import sys\nclass Six: pass\nsys.meta_path.append(Six)\n"
    zoo.install(tmp_path, "last", hooks=last + zoo.HOOKS)
    code = """
import json, sys
from deepseek_core.discovery import loader, scan
(row,) = loader.discover(entry_points=scan.scan([sys.argv[1]])).plugins
print(json.dumps([row.reason, sys.meta_path[-1].__name__]))
"""
    reason = "its import left behind Six at the end of sys.meta_path"
    assert told_by(tmp_path, code) == [reason, "Six"]


def test_other_threads_of_the_program_keep_their_random_numbers(tmp_path):
    """To put the state back would give them the same numbers again."""
    zoo.install(tmp_path, "seeds", hooks="import random\nrandom.random()\n" + zoo.HOOKS)
    code = """
import json, random, sys, threading
from deepseek_core.discovery import loader, scan
threading.Thread(target=threading.Event().wait, daemon=True).start()
random.seed(1)
(row,) = loader.discover(entry_points=scan.scan([sys.argv[1]])).plugins
print(json.dumps([row.reason, random.random() == random.Random(1).random()]))
"""
    assert told_by(tmp_path, code) == [None, False]


def test_a_thread_that_loads_plugins_leaves_the_main_thread_alone(tmp_path):
    """Ctrl-C is held back, and streams are replaced, in the main thread: no plugin did it."""
    waits = "import os, time\nwhile not os.path.exists(os.environ['ZOO_GO']): time.sleep(0.01)\n"
    zoo.install(tmp_path, "waits", hooks=waits + zoo.HOOKS)
    code = """
import io, json, os, signal, sys, threading, time
from deepseek_core.discovery import loader, scan

os.environ["ZOO_GO"] = os.path.join(sys.argv[1], "go")
rows = []
find = lambda: rows.extend(loader.discover(entry_points=scan.scan([sys.argv[1]])).plugins)
thread = threading.Thread(target=find)
thread.start()
while "zoo_waits.hooks" not in sys.modules:
    time.sleep(0.01)
held = lambda *_: None
signal.signal(signal.SIGINT, held)
sys.stdin = mine = io.StringIO()
os.chdir("/")
open(os.environ["ZOO_GO"], "w").close()
thread.join()
kept = signal.getsignal(signal.SIGINT) is held and sys.stdin is mine and os.getcwd() == "/"
print(json.dumps([rows[0].reason, kept]))
"""
    assert told_by(tmp_path, code) == [None, True]


def test_a_plugin_that_leaves_nothing_is_told_nothing_of(tmp_path):
    zoo.install(tmp_path, "well")
    process = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path], env={
        "DEEPSEEK_PLUGINS": "well", "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
    })  # fmt: skip
    rows = json.loads(process.stdout)["plugins"]
    (reason,) = [row["reason"] for row in rows if row["name"] == "well"]
    assert reason == "its devices were not asked yet"
