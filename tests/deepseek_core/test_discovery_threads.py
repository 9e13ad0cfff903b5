"""Discovery in several threads: streams are the whole process's, so one loads at a time."""

import json
import os
import subprocess
import sys
import threading

import pytest

from deepseek_core.contracts.errors import PluginError
from deepseek_core.discovery import guard
from deepseek_core.discovery.loader import discover

SLOW = """
import time
from deepseek_core import hookimpl, hooks

inside, most = [], []

@hookimpl(hooks.ds_register_devices)
def ds_register_devices(ctx):
    inside.append(1)
    most.append(len(inside))
    time.sleep(0.1)
    inside.pop()
    return []
"""
SCRIPT = """
import json, os, sys, threading
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.scan import EntryPoint

before = os.fstat(1).st_ino, sys.stdout
point = EntryPoint(name="slow", value="slow_plugin", group="deepseek_sdk.plugins.v1", dist="slow")
rows = []
threads = [
    threading.Thread(target=lambda: rows.extend(discover(entry_points=[point]).plugins))
    for _ in range(4)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(60)
import slow_plugin
print(json.dumps({
    "statuses": [str(row.status) for row in rows],
    "most": max(slow_plugin.most),
    "kept": before[0] == os.fstat(1).st_ino and before[1] is sys.stdout,
}))
"""


def test_threads_take_turns_and_stdout_is_what_it_was(tmp_path):
    (tmp_path / "slow_plugin.py").write_text(SLOW)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | {"PYTHONPATH": path},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == {"statuses": ["available"] * 4, "most": 1, "kept": True}


def test_a_thread_that_does_not_end_is_not_waited_for_without_limit(monkeypatch):
    monkeypatch.setattr(guard, "_WAIT_S", 0.05)
    held, over = threading.Event(), threading.Event()

    def hold():
        with guard.one_at_a_time():
            held.set()
            over.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    try:
        with pytest.raises(PluginError, match="another thread has been loading") as caught:
            discover(entry_points=[])
        assert caught.value.remedy.startswith("ds-sdk doctor")
    finally:
        over.set()
        thread.join(60)
    assert discover(entry_points=[]).plugins == ()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_a_thread_that_it_has_not():
    held, over = threading.Event(), threading.Event()

    def hold():
        with guard.one_at_a_time():
            held.set()
            over.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    child = os.fork()
    if child == 0:
        free = guard._TURN.lock.acquire(blocking=False)
        os._exit(0 if free else 1)
    over.set()
    thread.join(60)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
