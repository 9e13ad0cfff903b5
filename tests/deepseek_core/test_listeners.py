"""Telling listeners: nobody waits for them, and what one does wrong harms no one else."""

import json
import os
import subprocess
import sys
import threading
from textwrap import dedent

import plugin_zoo as zoo
import pytest

from deepseek_core import Session, emit, events
from deepseek_core.discovery import courier, listeners
from deepseek_core.discovery.courier import COURIER, Courier
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.registry import Registry
from deepseek_core.discovery.scan import scan
from deepseek_core.discovery.switches import Switches

LISTENER = """
    import os, sys, threading, time
    from deepseek_core import emit, events, hookimpl, hooks

    heard = []

    @hookimpl(hooks.ds_on_event)
    def listen(event):
        heard.append(event)
        {deed}
    """
EVENT = events.CheckpointFailed(url="mem://a", step=3, reason="no room")
LOST = events.DeviceQuarantined(device_id="a:0", reason="it is gone")


@pytest.fixture(autouse=True)
def afresh(monkeypatch):
    """Who listens is found again, and each notice may be given again."""
    monkeypatch.setattr(courier, "_TOLD", set())
    listeners.PROCESS.forget()
    yield
    assert COURIER.drain(30)
    listeners.PROCESS.forget()
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install listeners by name and deed, and nothing else; their registry."""

    def install(**deeds):
        for name, deed in deeds.items():
            zoo.install(tmp_path, name, hooks=LISTENER, deed=deed)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("DEEPSEEK_PLUGINS", ",".join(deeds))
        return discover(Switches(), entry_points=scan([str(tmp_path)]))

    return install


def heard_by(name):
    return sys.modules[f"zoo_{name}.hooks"].heard


def test_an_event_is_heard_by_every_plugin_that_listens(installed):
    installed(a="pass", b="pass")
    emit(EVENT)
    emit(LOST, wait_s=30)
    assert heard_by("a") == heard_by("b") == [EVENT, LOST]


def test_a_plugin_that_is_switched_off_hears_nothing(installed, monkeypatch):
    installed(a="pass", b="pass")
    monkeypatch.setenv("DEEPSEEK_DISABLE_PLUGINS", "a")
    emit(EVENT, wait_s=30)
    assert (heard_by("a"), heard_by("b")) == ([], [EVENT])


def test_with_switches_that_make_no_sense_nobody_hears_and_it_is_told_once(
    installed, monkeypatch, caplog
):
    installed(a="pass")
    monkeypatch.setenv("DEEPSEEK_LOAD_TIMEOUT", "soon")
    for _ in range(3):
        emit(EVENT, wait_s=30)
    assert heard_by("a") == []
    (record,) = caplog.records
    assert "nobody hears of events" in record.message and "DEEPSEEK_LOAD_TIMEOUT" in record.message


def test_two_registries_do_not_hear_of_each_other(tmp_path, monkeypatch):
    found = []
    for name in ("a", "b"):
        folder = zoo.install(tmp_path / name, name, hooks=LISTENER, deed="pass")
        monkeypatch.syspath_prepend(str(folder))
        found.append(discover(Switches(), entry_points=scan([str(folder)])))
    found[0].emit(EVENT)
    found[1].emit(LOST)
    assert COURIER.drain(30)
    assert (heard_by("a"), heard_by("b")) == ([EVENT], [LOST])


def test_what_is_no_event_is_dropped_and_told_once(installed, caplog):
    installed(a="pass")
    for thing in ("a text", None, lambda: 3):
        emit(thing, wait_s=30)
    assert heard_by("a") == []
    assert [r.message for r in caplog.records] == [
        "emit takes an `events.Event`; given a str, which was dropped"
    ]


def test_a_listener_that_emits_is_not_told_of_it(installed, caplog):
    installed(a="emit(event)", b="pass")
    for _ in range(3):
        emit(EVENT, wait_s=30)
    assert heard_by("a") == heard_by("b") == [EVENT] * 3
    assert [r.message for r in caplog.records] == ["a listener emitted an event, which was dropped"]


def test_what_a_plugin_emits_as_it_loads_is_heard_by_nobody(installed, tmp_path):
    source = LISTENER + "\n    emit(events.DeviceQuarantined(device_id='a', reason='early'))\n"
    zoo.install(tmp_path, "early", hooks=source, deed="pass")
    installed(b="pass")
    assert heard_by("early") == heard_by("b") == []


def test_the_caller_does_not_wait_for_a_listener_that_hangs_and_others_go_on(
    installed, monkeypatch, caplog
):
    gate = threading.Event()
    registry = installed(a="sys.gate.wait(60)", b="pass")
    monkeypatch.setattr(sys, "gate", gate, raising=False)
    registry.emit(EVENT)
    while not heard_by("a"):
        assert not gate.wait(0.001)
    monkeypatch.setattr(courier, "_LIMIT_S", 0.0)
    registry.emit(EVENT)  # finds that the first has not returned
    monkeypatch.setattr(courier, "_LIMIT_S", 60.0)
    registry.emit(LOST)
    assert COURIER.drain(30)
    assert (heard_by("a"), heard_by("b")) == ([EVENT], [EVENT, EVENT, LOST])
    assert registry.absent == {"a"}
    assert "plugin a: its listener has not returned from CheckpointFailed" in caplog.text
    assert len(caplog.records) == 1
    gate.set()
    for thread in threading.enumerate():
        if thread.name == "deepseek-events":
            thread.join(30)
    registry.emit(LOST)
    assert COURIER.drain(30)
    assert heard_by("a") == [EVENT, LOST], "it is back"


def test_a_listener_that_is_slow_is_told_once(installed, monkeypatch, caplog):
    monkeypatch.setattr(courier, "_SLOW_S", 0.0)
    installed(a="pass")
    for _ in range(3):
        emit(EVENT, wait_s=30)
    (record,) = caplog.records
    assert "plugin a: its listener took 0.0 s for CheckpointFailed" in record.message


def test_more_events_than_may_wait_push_out_the_oldest(installed, monkeypatch, caplog):
    monkeypatch.setattr(courier, "_MOST_WAITING", 4)
    gate = threading.Event()
    monkeypatch.setattr(sys, "gate", gate, raising=False)
    registry = installed(a="sys.gate.wait(60)")
    made = [events.CheckpointFailed(url="", step=n, reason="") for n in range(10)]
    registry.emit(made[0])
    while not heard_by("a"):
        assert not gate.wait(0.001)
    for event in made[1:]:
        registry.emit(event)
    gate.set()
    assert COURIER.drain(30)
    assert [e.step for e in heard_by("a")] == [0, 6, 7, 8, 9]
    assert len([r for r in caplog.records if "the oldest are dropped" in r.message]) == 1


def test_what_is_emitted_while_another_thread_tells_early_events_waits_for_them(
    installed, monkeypatch
):
    """Or a thread's second event would be heard before its first, which came early."""
    installed(a="pass")
    tells, may_go, take = threading.Event(), threading.Event(), COURIER.take

    def slowly(audience, event):
        if event.step == -1:
            tells.set()
            assert may_go.wait(30)
        take(audience, event)

    monkeypatch.setattr(COURIER, "take", slowly)
    first = threading.Thread(target=emit, args=(checkpoint_failed(-1),))
    first.start()
    assert tells.wait(30)
    for number in range(5):
        emit(checkpoint_failed(number))
    may_go.set()
    first.join(30)
    assert not first.is_alive()
    assert COURIER.drain(30)
    assert [event.step for event in heard_by("a")] == [-1, 0, 1, 2, 3, 4]


def checkpoint_failed(step):
    return events.CheckpointFailed(url="", step=step, reason="")


def test_many_threads_emit_and_each_event_is_heard_once(installed):
    installed(a="pass")

    def work(first):
        for number in range(first, first + 50):
            emit(events.CheckpointFailed(url="", step=number, reason=""))

    threads = [threading.Thread(target=work, args=(n * 50,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert COURIER.drain(30)
    steps = [event.step for event in heard_by("a")]
    assert sorted(steps) == list(range(400))
    assert all(
        [s for s in steps if s // 50 == n] == list(range(n * 50, n * 50 + 50)) for n in range(8)
    )


class Broken:
    """An audience that can't even be told."""

    listeners, absent = ("a",), set()

    def __init__(self):
        self.told = []

    def tell(self, plugin, event):
        self.told.append(event)
        raise MemoryError


def test_what_goes_wrong_in_telling_ends_nothing(caplog):
    broken = Broken()
    for _ in range(3):
        COURIER.take(broken, EVENT)
        assert COURIER.drain(30)
    assert broken.told == [EVENT] * 3
    assert [r.message for r in caplog.records] == ["an event could not be told: MemoryError"]


class Nameless:
    """An audience that can't say who listens."""

    @property
    def listeners(self):
        raise RuntimeError("nobody knows")


def test_an_engine_gets_no_error_of_its_listeners(caplog):
    COURIER.take(Nameless(), EVENT)
    (record,) = caplog.records
    assert record.message == "an event could not be told: RuntimeError: nobody knows"


def test_no_thread_is_left_when_nothing_waits(installed):
    installed(a="pass")
    emit(EVENT, wait_s=30)
    assert "deepseek-events" not in {thread.name for thread in threading.enumerate()}


def test_it_may_emit_from_a_finalizer_in_the_midst_of_emitting(installed):
    registry = installed(a="pass")
    mine = Courier()
    with mine._turn:
        mine.take(registry, EVENT)
    assert mine.drain(30)
    assert heard_by("a") == [EVENT]


def test_a_closed_session_has_told_its_events(installed, tmp_path):
    registry = installed(a="pass")
    with Session(cache_dir=tmp_path / "cache", registry=registry) as session:
        session.registry.emit(EVENT)
    assert heard_by("a") == [EVENT]


def test_nobody_listens_to_no_plugins():
    Registry(plugins=(), switches=Switches()).emit(EVENT)
    assert COURIER.drain(0)


FORKED = """
import os, sys, threading
from deepseek_core import emit, events

def heard():
    return [event.step for event in sys.modules["zoo_a.hooks"].heard]

def failed(step):
    return events.CheckpointFailed(url="", step=step, reason="")

emit(failed(0))
children = []
for rank in range(8):
    pid = os.fork()
    if pid == 0:
        emit(failed(10 + rank), wait_s=30)
        os._exit(0 if heard() in ([10 + rank], [0, 10 + rank]) else 1)
    children.append(pid)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
emit(failed(1), wait_s=30)
print(codes, heard())
"""
AT_FIRST = """
import os, signal, threading, time
from deepseek_core import emit, events

EVENT = events.DeviceQuarantined(device_id="a", reason="")
thread = threading.Thread(target=emit, args=(EVENT,))
thread.start()  # it looks for plugins, which takes a while
hung = 0
while thread.is_alive():
    pid = os.fork()
    if pid == 0:
        emit(EVENT)
        os._exit(0)
    until = time.monotonic() + 20
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.001)
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            hung += 1
            break
print(hung)
"""
FORKS = """
import sys
from deepseek_core import emit, events
emit(events.DeviceQuarantined(device_id="a", reason=""), wait_s=30)
print(len(sys.modules["zoo_a.hooks"].heard))
"""
AT_THE_END = """
import sys, threading
from deepseek_core import emit, events

def work():
    while True:
        emit(events.CheckpointFailed(url="", step=1, reason=""))

emit(events.CheckpointFailed(url="", step=0, reason=""), wait_s=30)
if sys.argv[1:]:
    threading.Thread(target=work, daemon=True).start()
emit(events.DeviceQuarantined(device_id="a", reason=""))
"""


@pytest.fixture
def run(tmp_path):
    """Run a program of which plugin `a` does this at each event; what it prints."""

    def run(code, deed, *words):
        zoo.install(tmp_path, "a", hooks=LISTENER, deed=deed)
        env = os.environ | {
            "PYTHONPATH": f"{zoo.SOURCES}{os.pathsep}{tmp_path}", "DEEPSEEK_PLUGINS": "a",
        }  # fmt: skip
        process = subprocess.run(
            [sys.executable, "-P", "-c", dedent(code), *words], env=env, cwd=tmp_path,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
        return process.stdout, process.stderr

    return run


def test_a_forked_rank_tells_its_own_events_and_not_those_of_its_parent(run):
    out, _ = run(FORKED, "pass")
    assert out == f"{[0] * 8} [0, 1]\n"


def test_a_fork_waits_until_no_listener_is_at_work(run):
    out, _ = run(FORKED, "time.sleep(0.02)")
    assert out == f"{[0] * 8} [0, 1]\n"


def test_a_fork_waits_for_who_looks_for_plugins(run):
    out, _ = run(AT_FIRST, "pass")
    assert out == "0\n"


@pytest.mark.parametrize("deed", ["os.fork()", "os.fork() or sys.exit(3)"])
def test_the_copy_that_a_listener_makes_ends(run, deed):
    out, _ = run(FORKS, deed)
    assert out == "1\n"


def test_what_was_emitted_last_is_heard_before_the_process_ends(run, tmp_path):
    run(AT_THE_END, "open('heard', 'a').write(type(event).__name__ + '\\n')")
    assert (tmp_path / "heard").read_text().split() == ["CheckpointFailed", "DeviceQuarantined"]


@pytest.mark.parametrize("deed", ["pass", "time.sleep(600) if len(heard) > 1 else None"])
def test_a_process_ends_although_a_thread_emits_on_or_a_listener_hangs(run, deed):
    _, errors = run(AT_THE_END, deed, "emits on")
    assert "Traceback" not in errors and "Fatal" not in errors


def test_every_type_says_each_of_its_fields():
    import attrs

    types = [v for v in (getattr(events, name) for name in dir(events)) if attrs.has(v)]
    assert len(types) > 15
    for cls in types:
        own = [f.name for f in attrs.fields(cls) if not f.inherited]
        missing = [name for name in own if f"`{name}`" not in cls.__doc__]
        assert not missing, (cls.__name__, missing)


def test_events_are_plain_values_that_json_takes():
    import attrs

    load = events.DeviceLoad(device_id="a:0", utilization=0.5, queued=1, done=2)
    state = events.SessionState(
        session="1", devices=[load], time_s=1.0,
        queued={"realtime": 1}, done={}, missed={}, refused={},
    )  # fmt: skip
    assert json.loads(json.dumps(attrs.asdict(state))) == {
        "time_s": 1.0,
        "session": "1",
        "devices": [{"device_id": "a:0", "utilization": 0.5, "queued": 1, "done": 2}],
        "queued": {"realtime": 1},
        "done": {},
        "missed": {},
        "refused": {},
    }


def test_a_text_is_one_short_line():
    event = events.CheckpointFailed(url="mem://a", step=1, reason="no\nroom\x1b[31m" + "x" * 10**6)
    assert event.reason.startswith("no room\\x1b[31mxxx") and len(event.reason) == 500


def test_a_pace_is_due_once_in_its_time_whatever_the_clock_of_the_day_says():
    now = [100.0]
    pace = events.Pace(1.0, clock=lambda: now[0])
    due = []
    for now[0] in (100.0, 100.5, 100.99, 101.0, 101.5, 150.0, 150.5, 151.0):
        due.append(pace.due())
    assert due == [True, False, False, True, False, True, False, True]
