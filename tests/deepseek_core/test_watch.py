"""What a factory or a probe does to the process is put back, or named."""

import json
import os
import subprocess
import sys
from textwrap import dedent

import plugin_zoo as zoo
import pytest

HOOKS = """
import os
from deepseek_core import CompressorSpec, DeviceSpec, TierSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [DeviceSpec(name="moves", kind="sim", factory="{module}.parts:device",
                       probe="{module}.device:probe")]

@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [TierSpec(name="moves", schemes=("moves",), temperature="hot",
                     factory="{module}.parts:tier")]

@hookimpl(hooks.ds_register_compressors)
def compressors(ctx):
    return [CompressorSpec(name="moves", target="data",
                           factory="{module}.parts:compressor", probe="{module}.parts:probe")]

@hookimpl(hooks.ds_on_event)
def on_event(event):
    os.chdir("/")
"""
PARTS = """
import os

def device(device_id, options):
    os.chdir("/")
    raise RuntimeError("no board")

def tier(url):
    os.chdir("/")

def probe():
    os.chdir("/")

compressor = tier
"""
CODE = """
import json, os, sys, time
from deepseek_core import Session, open_tier
from deepseek_core.contracts.events.sessions import PlanMade
from deepseek_core.runtime.compressors import open_compressor

start = os.getcwd()
kept = []
with Session(cache_dir=sys.argv[1] + "/cache") as session:
    pool, registry = session._pool, session.registry

    def attempt(do):
        try:
            do()
        except Exception:
            pass
        kept.append(os.getcwd() == start)

    with_threads = len(sys.argv) > 2
    if with_threads:
        import threading
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    attempt(lambda: pool.open("zoo_moves:0"))
    os.chdir(start)
    attempt(lambda: open_tier("moves://x", registry=registry))
    os.chdir(start)
    attempt(lambda: open_compressor("moves", registry=registry))
    os.chdir(start)
    attempt(lambda: registry.emit(PlanMade(time_s=time.time(), graph="g", placement={})))
    registry.settle(60)
    kept[-1] = os.getcwd() == start
print(json.dumps(kept))
"""


def told(folder, code, *words):
    """What a fresh process prints, and its notices."""
    path = f"{zoo.SOURCES}{os.pathsep}{folder}"
    env = {
        "PYTHONPATH": path, "DEEPSEEK_PLUGINS": "moves", "DEEPSEEK_CACHE_DIR": str(folder / "c"),
    }  # fmt: skip
    process = subprocess.run(
        [sys.executable, "-P", "-c", code, str(folder), *words], capture_output=True, text=True,
        env=os.environ | env, check=False, timeout=120, cwd=folder,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout), process.stderr.splitlines()


@pytest.fixture
def moves(tmp_path):
    return zoo.install(tmp_path, "moves", hooks=HOOKS, files={"parts.py": PARTS})


DEEDS = ("opening zoo_moves:0", "opening moves://x", "the probe of compressor moves")
NAMED = "plugin 'moves': {} changed the working folder, or another thread did; nothing was restored"


def test_whatever_is_opened_the_process_is_as_before(moves):
    kept, notices = told(moves, CODE)
    assert kept == [True, True, True, False]
    for deed in DEEDS:
        line = f"plugin 'moves': {deed} changed the working folder, which was restored"
        assert notices.count(line) == 1, notices
    assert not [line for line in notices if "listener" in line]  # the program goes on beside it


BESIDE = """
import json, os, sys, time
from deepseek_core import Session, events

start = os.getcwd()
with Session(cache_dir=sys.argv[1] + "/cache") as session:
    session.registry.emit(events.PlanMade(graph="g", placement={}))
    try:
        session._pool.open("zoo_moves:0")
    except Exception:
        pass
    print(json.dumps(os.getcwd() == start))
"""


def test_who_tells_listeners_is_no_other_thread_at_work(tmp_path):
    hooks = HOOKS.replace("os.chdir", "import time; time.sleep(0.2); (lambda _: None)")
    zoo.install(tmp_path, "moves", hooks=hooks, files={"parts.py": PARTS})
    kept, notices = told(tmp_path, BESIDE)
    assert kept
    assert (
        "plugin 'moves': opening zoo_moves:0 changed the working folder, which was restored"
        in notices
    )


def test_where_another_thread_is_at_work_it_is_named_and_stays(moves):
    kept, notices = told(moves, CODE, "threads")
    assert kept == [False] * 4
    for deed in DEEDS:
        assert notices.count(NAMED.format(deed)) == 1, notices


ALONE = """
import asyncio, decimal, json, locale, logging, multiprocessing, random, socket, sys
import numpy.random
from deepseek_core.discovery.process_state import all_readers
from deepseek_core.discovery.watch import watched

numpy.random.seed(7)
found = {}
for name, source in json.loads(sys.argv[2]).items():
    before = {name: read() for name, read in all_readers().items()}
    with watched(name, "opening it"):
        exec(source)
    after = {name: read() for name, read in all_readers().items()}
    found[name] = [part for part in before if before[part] != after[part]]
print(json.dumps(found))
"""


def test_each_part_is_put_back(tmp_path):
    sources = {name: dedent(source) for name, (source, _what) in zoo.RESTORED.items()}
    differing, notices = told(tmp_path, ALONE, json.dumps(sources))
    last = {"path_first": ["sys.path"], "finder_first": ["sys.meta_path"]}  # and none the first
    assert differing == {name: last.get(name, []) for name in sources}
    for name, (_source, what) in zoo.RESTORED.items():
        line = f"plugin {name!r}: opening it changed {what}, which was restored"
        assert (line in notices) == ("random" not in what), name


def test_streams_outlive_a_factory_that_ends_them(tmp_path):
    code = """
import io, json, sys
from deepseek_core.discovery.watch import watched

for number in range(3):
    with watched("acme", "opening acme:0"):
        if number == 0:
            sys.stderr = io.TextIOWrapper(sys.stderr.buffer)
        if number == 1:
            sys.stdout.close()
        if number == 2:
            sys.stdin.detach()
print("still here", file=sys.stderr)
print(json.dumps([sys.stderr.closed, sys.stdout.closed, sys.stdin.closed]))
"""
    found, notices = told(tmp_path, code)
    assert found == [False] * 3
    assert notices[-1] == "still here"
    assert all("which was restored" in line for line in notices[:-1])


def test_parts_of_the_library_are_put_back(tmp_path):
    code = """
import asyncio, json, pickle, socket, ssl, subprocess, sys
import deepseek_core
from deepseek_core import Device
from deepseek_core.discovery.guard import library_parts
from deepseek_core.discovery.watch import watched

parts = library_parts()
for name, source in json.loads(sys.argv[2]).items():
    with watched(name, "opening it"):
        exec(source)
print(json.dumps(parts == library_parts()))
"""
    sources = {name: source for name, (source, _what) in zoo.REPLACED.items()}
    kept, notices = told(tmp_path, code, json.dumps(sources))
    assert kept
    for name, (_source, what) in zoo.REPLACED.items():
        assert f"plugin {name!r}: opening it replaced {what}, which was restored" in notices


@pytest.mark.parametrize("name", sorted(zoo.LEFT.keys() - {"adds_builtin"}))
def test_what_opening_takes_is_its_own(name, tmp_path):
    assert told(tmp_path, ALONE, json.dumps({name: dedent(zoo.LEFT[name][0])}))[1] == []


def test_a_place_to_import_from_goes_last_and_works_on(tmp_path):
    (tmp_path / "vendored").mkdir()
    (tmp_path / "vendored" / "acme_part.py").write_text("")
    (tmp_path / "vendored" / "json.py").write_text("")
    code = """
import json, sys
from deepseek_core.discovery.watch import watched
before = list(sys.path)
with watched("acme", "opening acme:0"):
    sys.path.insert(0, sys.argv[1] + "/vendored")
import acme_part
print(json.dumps(sys.path == [*before, sys.argv[1] + "/vendored"]))
"""
    assert told(tmp_path, code)[0] is True


def test_what_is_opened_in_a_thread_of_its_own_leaves_the_others_alone(tmp_path):
    """Two factories at once: neither puts back what the other, or the program, has done."""
    code = """
import json, os, sys, threading
from deepseek_core.discovery.watch import watched

first, second = threading.Event(), threading.Event()

def one():
    with watched("one", "opening one:0"):
        first.set()
        second.wait(30)

def two():
    first.wait(30)
    with watched("two", "opening two:0"):
        os.chdir("/")
        sys.setrecursionlimit(5000)
    second.set()

threads = [threading.Thread(target=each) for each in (one, two)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps([os.getcwd(), sys.getrecursionlimit()]))
"""
    found, notices = told(tmp_path, code)
    assert found == ["/", 5000]
    assert len(notices) == 2
    assert all(line.endswith("or another thread did; nothing was restored") for line in notices)


def test_nothing_done_is_nothing_told(tmp_path):
    code = """
import json
from deepseek_core.discovery.watch import watched
with watched("acme", "opening acme:0"):
    import numpy, decimal, socket, logging, multiprocessing, random, warnings
    warnings.filterwarnings("ignore", message="of one kind")
print(json.dumps(1))
"""
    assert told(tmp_path, code) == (1, [])
