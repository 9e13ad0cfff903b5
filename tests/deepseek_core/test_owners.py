"""Nobody takes a name of ours, and nobody puts a record of ours out of service."""

import sys

import plugin_zoo as zoo
import pytest

from deepseek_core.contracts.device import DeviceInfo, DeviceSpec
from deepseek_core.discovery.installed import core_version
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.owners import OWNERS, is_ours, why_not_ours
from deepseek_core.discovery.probe_result import ended, unique_ids
from deepseek_core.discovery.registry import Registered
from deepseek_core.discovery.scan import EntryPoint, scan
from deepseek_core.discovery.status import Status
from deepseek_core.discovery.switches import Switches

NAMES = [name for pair in OWNERS for name in pair]


@pytest.fixture
def find(monkeypatch, tmp_path):
    """Discovers what is installed in a folder, whose modules are forgotten at the end."""

    def find(**switches):
        monkeypatch.syspath_prepend(str(tmp_path))
        return discover(Switches(**switches), entry_points=scan([str(tmp_path)]))

    for name in _loaded("deepseek_observe"):  # the real one, which comes back
        monkeypatch.delitem(sys.modules, name)
    yield find
    for name in _loaded("zoo_", "deepseek_observe"):
        del sys.modules[name]


def _loaded(*begins):
    return [name for name in sys.modules if name.startswith(begins)]


def install_ours(folder, **more):
    """One of ours that does not exist yet, as we would build it."""
    made = {"dist": "deepseek-observe", "module": "deepseek_observe", "version": core_version()}
    return zoo.install(folder, "observe", **(made | more))


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
    zoo.install(tmp_path, "observe", dist="zoo-stranger", module="zoo_stranger")
    install_ours(tmp_path, dist="Deepseek_Observe")
    statuses = {row.dist: row.status for row in find().plugins}
    assert statuses == {"zoo-stranger": "conflict", "Deepseek_Observe": "available"}


def test_a_record_of_ours_stays_when_a_stranger_takes_its_name(find, tmp_path):
    zoo.install(tmp_path, "a_stranger", device="cold")
    install_ours(tmp_path, device="cold")
    registry = find()
    assert [device.dist for device in registry.devices] == ["deepseek-observe"]
    assert {row.name: row.status for row in registry.plugins} == {
        "a_stranger": "conflict",
        "observe": "available",
    }
    remedy = registry.plugin("a_stranger").remedy
    assert remedy.endswith("(its authors have to rename 'cold')")
    assert "prefer" not in remedy  # which no name of ours follows


@pytest.mark.parametrize(
    ("name", "more", "why"),
    [
        ("zz", {"module": "deepseek_observe"}, "not 'zz' in deepseek_observe"),
        ("zz", {"module": "zoo_zz", "version": "99.0"}, "not 'zz' in zoo_zz"),
    ],
)
def test_a_stranger_that_is_only_called_like_ours_has_no_rights_and_is_told_so(
    name, more, why, find, tmp_path
):
    zoo.install(tmp_path, "a_plugin", device="cold")
    zoo.install(
        tmp_path, name, **({"version": "0.1.0"} | more), dist="deepseek-observe", device="cold"
    )
    registry = find()
    assert registry.devices == (), "as between any two strangers"
    row = registry.plugin(name)
    assert row.status is Status.CONFLICT
    assert (
        "treated as a third party's: the SDK's deepseek-observe has plugin 'observe'" in row.reason
    )
    assert why in row.reason


def test_its_row_says_so_while_nobody_contests_it(find, tmp_path):
    zoo.install(tmp_path, "zz", dist="deepseek-fpga", module="zoo_zz")
    (row,) = find().plugins
    assert row.status is Status.AVAILABLE
    assert row.reason == (
        "treated as a third party's: the SDK's deepseek-fpga has plugin 'fpga_opencl' in module "
        "deepseek_fpga, not 'zz' in zoo_zz"
    )
    assert row.remedy.startswith("pip uninstall deepseek-fpga, then ")


def test_a_name_of_ours_in_a_distribution_of_that_name_needs_its_module_too(find, tmp_path):
    zoo.install(tmp_path, "observe", dist="deepseek-observe", module="zoo_stranger")
    (row,) = find().plugins
    assert row.status is Status.CONFLICT
    assert row.reason == (
        "the name 'observe' belongs to deepseek-observe with its module deepseek_observe, "
        "and this one is in zoo_stranger"
    )
    assert "zoo_stranger" not in sys.modules


def test_a_version_that_does_not_move_with_core_has_no_rights(find, tmp_path):
    zoo.install(tmp_path, "a_plugin", device="cold")
    install_ours(tmp_path, version="77.0.0", device="cold")
    registry = find()
    assert registry.devices == ()
    told = f"its version 77.0.0 does not move with deepseek-core {core_version()}"
    assert told in registry.plugin("observe").reason


POINT = EntryPoint(name="store", value="deepseek_store.hooks", group=zoo.V1, dist="deepseek-store")


@pytest.mark.parametrize(
    ("version", "core", "ours"),
    [("0.1.0", "0.1.7", True), ("0.1.0", "0.2.0", False), ("9", "0+source", True)],
)
def test_versions_in_lock_step_share_major_and_minor(version, core, ours):
    import attrs

    assert is_ours(attrs.evolve(POINT, version=version), core) is ours


def test_whoever_is_not_called_like_ours_is_asked_nothing():
    point = EntryPoint(name="zz", value="zz.hooks", group=zoo.V1, dist="acme")
    assert (is_ours(point, "0.1.0"), why_not_ours(point, "0.1.0")) == (False, None)


def test_a_device_of_ours_stays_when_a_stranger_reports_it():
    def result(dist, *, ours):
        spec = DeviceSpec(name="x", kind="sim", factory="a.b:C", probe="a.b:d")
        row = DeviceInfo(id="onnx:cpu", kind="cpu", name="x", evidence="model")
        owner = Registered(record=spec, plugin=dist, dist=dist, version="1", ours=ours)
        return ended(owner, Status.AVAILABLE, rows=(row,))

    ours, stranger = unique_ids([result("a", ours=True), result("deepseek-onnx", ours=False)])
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
    ours = [p for p in scan() if p.dist.startswith("deepseek-") and p.name != "null"]
    assert {(p.name, p.dist) for p in ours} <= set(OWNERS)
    assert all(is_ours(point, core_version()) for point in ours)
