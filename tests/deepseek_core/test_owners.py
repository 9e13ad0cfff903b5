"""Nobody takes a name of ours, and nobody puts a record of ours out of service."""

import sys

import plugin_zoo as zoo
import pytest

from deepseek_core.contracts.device import DeviceInfo, DeviceSpec
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.owners import OWNERS
from deepseek_core.discovery.probe_result import ended, unique_ids
from deepseek_core.discovery.registry import Registered
from deepseek_core.discovery.scan import scan
from deepseek_core.discovery.status import Status
from deepseek_core.discovery.switches import Switches

NAMES = [name for pair in OWNERS for name in pair]


@pytest.fixture
def find(monkeypatch, tmp_path):
    """Discovers what is installed in a folder, whose modules are forgotten at the end."""

    def find(**switches):
        monkeypatch.syspath_prepend(str(tmp_path))
        return discover(Switches(**switches), entry_points=scan([str(tmp_path)]))

    yield find
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", [*NAMES, "CPU_ONNX", "cpu-onnx", "deepseek_core"])
def test_a_stranger_with_a_name_of_ours_is_refused_and_not_imported(name, find, tmp_path):
    zoo.install(tmp_path, name, dist="zoo-stranger", module="zoo_stranger")
    (row,) = find().plugins
    assert row.status is Status.CONFLICT
    assert row.reason.startswith(f"the name {name!r} belongs to deepseek-")
    assert row.remedy.startswith("pip uninstall zoo-stranger")
    assert "zoo_stranger" not in sys.modules


def test_neither_a_preference_nor_an_allow_list_lets_it_in(find, tmp_path):
    zoo.install(tmp_path, "store", dist="zoo-stranger", module="zoo_stranger")
    for switches in ({"prefer": {"store": "zoo-stranger"}}, {"allow": ("zoo-stranger",)}):
        assert find(**switches).plugins[0].status is Status.CONFLICT


def test_ours_loads_beside_the_stranger(find, tmp_path):
    zoo.install(tmp_path, "store", dist="zoo-stranger", module="zoo_stranger")
    zoo.install(tmp_path, "store", dist="Deepseek_Store", module="zoo_ours")
    statuses = {row.dist: row.status for row in find().plugins}
    assert statuses == {"zoo-stranger": "conflict", "Deepseek_Store": "available"}


def test_a_record_of_ours_stays_when_a_stranger_takes_its_name(find, tmp_path):
    zoo.install(tmp_path, "a_stranger", device="cold")
    zoo.install(tmp_path, "store", dist="deepseek-store", device="cold")
    registry = find()
    assert [device.dist for device in registry.devices] == ["deepseek-store"]
    assert {row.name: row.status for row in registry.plugins} == {
        "a_stranger": "conflict",
        "store": "available",
    }


def test_a_device_of_ours_stays_when_a_stranger_reports_it():
    def result(dist):
        spec = DeviceSpec(name="x", kind="sim", factory="a.b:C", probe="a.b:d")
        row = DeviceInfo(id="onnx:cpu", kind="cpu", name="x", evidence="model")
        owner = Registered(record=spec, plugin=dist, dist=dist, version="1")
        return ended(owner, Status.AVAILABLE, rows=(row,))

    ours, stranger = unique_ids([result("deepseek-onnx"), result("zoo-stranger")])
    assert (ours.status, ours.rows[0].status) == ("available", "available")
    assert (stranger.status, stranger.rows[0].status) == ("conflict", "unavailable")


def test_an_allow_list_imports_nothing_else_in_a_whole_process(tmp_path):
    import os
    import subprocess

    zoo.fill(tmp_path)
    code = (
        "import sys; from deepseek_core.cli import main; code = main(sys.argv[1:]); "
        "print(code, *sorted(m for m in sys.modules if m.startswith('zoo_')), file=sys.stderr)"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(zoo.SOURCES)]),
        "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
    }
    words = ["--plugins", "well", "list-plugins", "--json"]
    process = subprocess.run(
        [sys.executable, "-P", "-c", code, *words],
        env=environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert process.stderr.split() == ["0", "zoo_well", "zoo_well.hooks"]


def test_our_own_plugins_are_in_the_table():
    ours = {(p.name, p.dist) for p in scan() if p.dist.startswith("deepseek-")}
    assert ours - {("null", "deepseek-null")} <= set(OWNERS)
