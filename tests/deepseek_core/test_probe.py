"""Probes: whatever a driver does ends in its own process and becomes a row."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import attrs
import plugin_zoo as zoo
import pytest

from deepseek_core import DeviceInfo, DeviceSpec
from deepseek_core.discovery import isolated, probe_cache
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.probe import probe_devices
from deepseek_core.discovery.probe_cache import cached_probes
from deepseek_core.discovery.probe_result import ended, to_rows, unique_ids, with_probes
from deepseek_core.discovery.registry import Registered
from deepseek_core.discovery.scan import scan
from deepseek_core.discovery.status import Status
from deepseek_core.discovery.switches import Switches

TIMEOUT_S = 5.0


def disabled(name):
    return f"pip install -U zoo-{name.replace('_', '-')} (or DEEPSEEK_DISABLE_PLUGINS={name})"


EXPECTED = {
    "well": ("available", None, None),
    "noisy": ("available", None, None),
    "bad_teardown": ("available", None, None),
    "answers_twice": ("available", None, None),
    "forks": (
        "available",
        "its probe left a process behind, which was ended",
        "pip install -U zoo-forks",
    ),
    "grabs_memory": (
        "broken",
        "the probe wanted more than the 3 GiB of memory that it may have",
        "DEEPSEEK_PROBE_MEMORY=6",
    ),
    "no_hardware": ("unavailable", "no board on PCIe", "plug the board in"),
    "no_rows": ("unavailable", "no_rows: the probe found no device", "ds-sdk doctor"),
    "no_driver": (
        "unavailable",
        "the probe raised ImportError: libnpu.so.1: cannot open it",
        disabled("no_driver"),
    ),
    "told": (
        "unavailable",
        "the board is asleep",
        "wake it up",
    ),
    "no_module": (
        "unavailable",
        "the probe raised ModuleNotFoundError: No module named 'sklearn_y'",
        "see the documentation of zoo-no-module for what brings sklearn_y"
        " (or pip uninstall zoo-no-module)",
    ),
    "aborts": (
        "broken",
        "the probe crashed with SIGABRT; its last words: "
        "terminate called after throwing an instance of 'cl::Error'",
        disabled("aborts"),
    ),
    "segfaults": ("broken", "the probe crashed with SIGSEGV", disabled("segfaults")),
    "raises": (
        "broken",
        "the probe raised RuntimeError: firmware 3 is too old",
        disabled("raises"),
    ),
    "exits": ("broken", "the probe raised SystemExit: 3", disabled("exits")),
    "leaves": (
        "broken",
        "the probe's process ended with code 7 and no answer",
        disabled("leaves"),
    ),
    "wrong_rows": (
        "broken",
        "the probe raised TypeError: the probe must return DeviceInfo rows, not dict",
        disabled("wrong_rows"),
    ),
    "bad_evidence": (
        "broken",
        "the probe's answer does not fit: row 'x' has evidence 'marketing'",
        disabled("bad_evidence"),
    ),
    "hangs": (
        "broken",
        "the probe did not answer in 5 s and was killed",
        "DEEPSEEK_PROBE_TIMEOUT=15 (or DEEPSEEK_DISABLE_PLUGINS=hangs)",
    ),
}


@pytest.fixture
def find(monkeypatch):
    """Discovers what is installed in a folder, whose modules are forgotten at the end."""

    def find(folder):
        monkeypatch.syspath_prepend(str(folder))
        return discover(Switches(), entry_points=scan([str(folder)]))

    yield find
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    """Every kind of probe, run once, in parallel; results by spec name, and the folder."""
    folder = tmp_path_factory.mktemp("probes")
    zoo.install(folder, "well")
    for name, probe in zoo.BAD_PROBES.items():
        zoo.install(folder, name, probe=probe)
    sys.path.insert(0, str(folder))
    registry = discover(Switches(), entry_points=scan([str(folder)]))
    results = probe_devices(registry, timeout_s=TIMEOUT_S, cache_dir=folder / "cache")
    sys.path.remove(str(folder))
    return {result.spec.name: result for result in results}, folder, registry


@pytest.mark.parametrize("name", EXPECTED)
def test_each_probe_gets_its_status_reason_and_remedy(name, probed):
    result = probed[0][name]
    assert (result.status, result.reason, result.remedy) == EXPECTED[name]


def test_a_huge_answer_is_refused(probed):
    result = probed[0]["too_large"]
    assert result.status == "broken"
    assert "1048576 are allowed" in result.reason


def test_the_rows_arrive_as_the_probe_made_them(probed):
    result = probed[0]["well"]
    row = DeviceInfo(id="zoo_well:0", kind="sim", name="one", evidence="model")
    assert result.rows == (row,)
    assert (result.plugin, result.dist, result.cached) == ("well", "zoo-well", False)
    assert 0 < result.seconds < TIMEOUT_S
    assert abs(time.time() - result.checked_at) < 60


def test_results_come_in_the_order_of_the_registry(probed):
    results, _folder, registry = probed
    assert list(results) == [device.record.name for device in registry.devices]


@pytest.mark.parametrize("name", ["hangs", "forks"])
def test_a_probe_takes_its_children_along(name, probed):
    assert ends_soon(int((probed[1] / f"zoo_{name}/grandchild").read_text()))


def ends_soon(pid):
    """Whether a process is gone in five seconds; the kernel takes its time."""
    for _ in range(50):
        if not is_running(pid):
            return True
        time.sleep(0.1)
    return False


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_plugin_without_a_usable_device_is_unavailable(probed):
    results, _folder, registry = probed
    rows = {row.name: row for row in with_probes(registry.plugins, tuple(results.values()))}
    assert (rows["no_hardware"].status, rows["no_hardware"].why) == (
        "unavailable",
        "no board on PCIe -> plug the board in",
    )
    assert (rows["aborts"].status, rows["well"].status) == ("broken", "available")


def test_a_plugin_that_offers_more_than_devices_stays_available(find, tmp_path):
    hooks = (
        zoo.HOOKS
        + """
from deepseek_core import FrontendSpec

@hookimpl(hooks.ds_register_frontends)
def frontends(ctx):
    return [FrontendSpec(name="reader", formats=["x"], factory="a.b:C")]
"""
    )
    folder = zoo.install(tmp_path, "both", hooks=hooks, probe=zoo.BAD_PROBES["no_hardware"])
    registry = find(folder)
    results = probe_devices(registry, timeout_s=9, cache_dir=tmp_path / "cache")
    (row,) = with_probes(registry.plugins, results)
    assert (row.status, row.reason) == ("available", "no board on PCIe")


def test_what_is_not_installed_is_not_probed(find, tmp_path):
    hooks = zoo.HOOKS.replace('kind="sim"', 'kind="sim", requires=["nothing_x"]')
    registry = find(zoo.install(tmp_path, "needy", hooks=hooks, probe="raise RuntimeError\n"))
    (result,) = probe_devices(registry, timeout_s=9, cache_dir=tmp_path / "cache")
    assert (result.status, result.reason) == ("unavailable", "needs nothing_x, not installed")


COUNTING = """
    import pathlib
    from deepseek_core import DeviceInfo

    def probe():
        counter = pathlib.Path(__file__).with_name("count")
        count = len(counter.read_text()) if counter.exists() else 0
        counter.write_text((count + 1) * "x")
        status = {status}
        return [DeviceInfo(id="c:0", kind="sim", name=str(count), evidence="model", status=status,
                           absent={absent})]
    """


@pytest.fixture
def counted(find, tmp_path):
    """A registry whose probe counts its runs, and a function that asks it."""
    registry = find(
        zoo.install(tmp_path, "counts", probe=COUNTING, status="'available'", absent="False")
    )

    def ask(**options):
        (result,) = probe_devices(registry, timeout_s=9, cache_dir=tmp_path / "cache", **options)
        return result

    return ask, registry, tmp_path


def test_a_second_question_is_answered_from_the_cache(counted):
    ask, registry, folder = counted
    assert cached_probes(registry, folder / "cache") == ()
    first, second = ask(), ask()
    assert (first.cached, second.cached) == (False, True)
    assert second == attrs.evolve(first, cached=True)
    assert cached_probes(registry, folder / "cache") == (second,)


def test_refreshing_asks_again(counted):
    ask, _registry, _folder = counted
    assert [ask().rows[0].name, ask(refresh=True).rows[0].name, ask().rows[0].name] == list("011")


@pytest.mark.parametrize("variable", ["OCL_ICD_VENDORS", "LD_LIBRARY_PATH", "POCL_DEVICES"])
def test_a_variable_that_drivers_read_counts(variable, counted, monkeypatch):
    ask, _registry, folder = counted
    ask()
    monkeypatch.setenv(variable, str(folder))
    assert ask().rows[0].name == "1"


def test_a_changed_plugin_is_asked_again(counted):
    ask, _registry, folder = counted
    ask()
    os.utime(folder / "zoo_counts/hooks.py", (0, time.time() + 10))
    assert ask().rows[0].name == "1"


def test_a_changed_vendor_file_counts(counted, monkeypatch):
    ask, _registry, folder = counted
    vendors = folder / "vendors"
    vendors.mkdir()
    monkeypatch.setenv("OCL_ICD_VENDORS", str(vendors))
    ask()
    (vendors / "new.icd").write_text("libnew.so")
    assert ask().rows[0].name == "1"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"key": 1}', "\x00", '{"rows": [{}], "status": "well"}']
)
def test_a_corrupt_cache_is_rebuilt(content, counted):
    ask, registry, folder = counted
    ask()
    (file,) = (folder / "cache/probes").iterdir()
    file.write_text(content)
    assert cached_probes(registry, folder / "cache") == ()
    assert ask().rows[0].name == "1"
    assert ask().cached


def aged(file, seconds):
    entry = json.loads(file.read_text())
    entry["checked_at"] -= seconds
    file.write_text(json.dumps(entry))


@pytest.mark.parametrize(
    ("status", "seconds", "valid"),
    [
        ("available", 3600, True),
        ("available", 25 * 3600, False),
        ("available", -3600, False),
        ("unavailable", 300, True),
        ("unavailable", 900, False),
    ],
)
def test_results_age_and_bad_ones_sooner(status, seconds, valid, find, tmp_path):
    registry = find(
        zoo.install(tmp_path, "counts", probe=COUNTING, status=repr(status), absent="False")
    )
    probe_devices(registry, timeout_s=9, cache_dir=tmp_path / "cache")
    (file,) = (tmp_path / "cache/probes").iterdir()
    aged(file, seconds)
    assert bool(cached_probes(registry, tmp_path / "cache")) is valid


@pytest.fixture
def lacking(find, tmp_path, monkeypatch):
    """What asks for hardware that is absent, and counts the children; the folder of the cache."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "drivers"))
    (tmp_path / "drivers").mkdir()
    monkeypatch.setattr(probe_cache, "_PCI", str(tmp_path / "bus"))
    (tmp_path / "bus").mkdir()
    row = {"probe": COUNTING, "status": "'unavailable'", "absent": "True"}
    registry = find(zoo.install(tmp_path, "counts", **row))
    started, start = [], isolated._start
    monkeypatch.setattr(isolated, "_start", lambda *given: (started.append(1), start(*given))[1])

    def ask(**options):
        probe_devices(registry, timeout_s=9, cache_dir=tmp_path / "cache", **options)
        return len(started)

    return ask, tmp_path


def test_hardware_that_is_absent_costs_one_child_not_one_each_time(lacking):
    ask, _folder = lacking
    assert [ask() for _ in range(5)] == [1] * 5
    assert ask(refresh=True) == 2


@pytest.mark.parametrize("what", ["drivers/libboard.so.1", "bus/0000:65:00.0"])
def test_a_driver_or_a_card_that_comes_is_seen_at_once(what, lacking):
    ask, folder = lacking
    ask()
    os.utime(folder / "drivers", (0, 0))
    before = ask()
    (folder / what).touch()
    assert ask() == before + 1


@pytest.mark.parametrize(("seconds", "children"), [(3000, 1), (4000, 2), (-60, 2)])
def test_an_absence_is_believed_for_an_hour(seconds, children, lacking):
    ask, folder = lacking
    ask()
    (file,) = (folder / "cache/probes").iterdir()
    aged(file, seconds)
    assert ask() == children


def test_what_failed_at_once_is_asked_again_but_stays_known(find, tmp_path):
    registry = find(zoo.install(tmp_path, "raises", probe=zoo.BAD_PROBES["raises"]))
    for _ in range(2):
        (result,) = probe_devices(registry, timeout_s=9, cache_dir=tmp_path / "cache")
        assert not result.cached
    (known,) = cached_probes(registry, tmp_path / "cache")
    assert known.status is Status.BROKEN


@pytest.mark.parametrize("delay_s", [0.0, 0.6])
def test_what_hung_is_asked_again_only_with_more_time(delay_s, find, tmp_path, monkeypatch):
    """What a busy machine takes to end it is no time that it had."""
    end = isolated.os.killpg
    monkeypatch.setattr(isolated.os, "killpg", lambda *given: (time.sleep(delay_s), end(*given)))
    registry = find(zoo.install(tmp_path, "hangs", probe=zoo.BAD_PROBES["hangs"]))
    asked = [
        probe_devices(registry, timeout_s=s, cache_dir=tmp_path / "cache")[0].cached
        for s in (0.5, 0.4, 0.9)
    ]
    assert asked == [False, True, False]


def test_a_cache_that_cant_be_written_costs_nothing_else(counted):
    ask, registry, folder = counted
    (folder / "cache").write_text("a file where the folder should be")
    assert [ask().cached, ask().cached] == [False, False]
    assert cached_probes(registry, folder / "cache") == ()


def test_many_writers_at_once_leave_a_whole_file(counted):
    ask, registry, folder = counted
    threads = [threading.Thread(target=ask, kwargs={"refresh": True}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cached_probes(registry, folder / "cache")) == 1
    assert len(list((folder / "cache/probes").iterdir())) == 1


def test_ctrl_c_ends_every_probe(find, tmp_path):
    registry = find(zoo.install(tmp_path, "hangs", probe=zoo.BAD_PROBES["hangs"]))
    pid_file = tmp_path / "zoo_hangs/grandchild"

    def interrupt():
        while not (pid_file.exists() and pid_file.read_text()):
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    start_s = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        probe_devices(registry, timeout_s=30, cache_dir=tmp_path / "cache")
    assert time.perf_counter() - start_s < 10
    assert ends_soon(int(pid_file.read_text()))


MEETING_PROBE = """
import time
from pathlib import Path
from deepseek_core import DeviceInfo

def probe():
    folder = Path(__file__).parents[1]
    (folder / "{module}.here").touch()
    while len(list(folder.glob("*.here"))) < 4:
        time.sleep(0.01)
    return [DeviceInfo(id="{module}:0", kind="sim", name="one", evidence="model")]
"""


def test_probes_run_side_by_side(find, tmp_path):
    """Each ends only when all four have begun."""
    for name in ("one", "two", "three", "four"):
        zoo.install(tmp_path, name, probe=MEETING_PROBE)
    results = probe_devices(find(tmp_path), timeout_s=20, cache_dir=tmp_path / "cache")
    assert [result.status for result in results] == [Status.AVAILABLE] * 4


def test_the_folder_of_the_user_is_not_searched_for_modules(find, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/json.py").write_text("raise SystemExit('a stranger')")
    monkeypatch.chdir(tmp_path / "here")
    registry = find(zoo.install(tmp_path, "well"))
    (result,) = probe_devices(registry, timeout_s=9, cache_dir=tmp_path / "cache")
    assert result.status is Status.AVAILABLE


ROW = attrs.asdict(DeviceInfo(id="x", kind="sim", name="x", evidence="model"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "expected a list"),
        ([3], "fields of DeviceInfo"),
        ([ROW | {"more": 1}], "fields of DeviceInfo"),
        ([ROW | {"id": 7}], "id is 7"),
        ([ROW | {"id": ""}], "row ''"),
        ([ROW | {"mem_bytes": "much"}], "mem_bytes is 'much'"),
        ([ROW | {"status": "fine"}], "status 'fine'"),
        ([ROW | {"absent": "no"}], "absent is 'no'"),
        ([ROW | {"absent": True}], "available and absent"),
        ([ROW, ROW], "two rows have one id"),
    ],
)
def test_an_answer_is_checked_field_by_field(rows, message):
    with pytest.raises(ValueError, match=message):
        to_rows(rows)


def device_of(name):
    spec = DeviceSpec(name=name, kind="sim", factory="a.b:C", probe="a.b:d")
    return Registered(record=spec, plugin=name, dist=f"acme-{name}", version="1.0")


def test_an_id_that_two_specs_report_is_available_in_neither():
    rows = to_rows([ROW])
    results = [
        ended(device_of("a"), Status.AVAILABLE, rows=rows),
        ended(device_of("b"), Status.AVAILABLE, rows=rows),
        ended(device_of("c"), Status.AVAILABLE, rows=to_rows([ROW | {"id": "y"}])),
    ]
    a, b, c = unique_ids(results)
    reason = "the device id 'x' is reported by a of acme-a and by b of acme-b"
    assert (a.status, a.reason, a.rows[0].status) == ("conflict", reason, "unavailable")
    assert (b.status, b.reason) == ("conflict", reason)
    assert c.status == "available"
