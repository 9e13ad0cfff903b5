"""Versions of the plugin API: the public face, plugins of yesterday, what is going."""

import sys
import warnings

import plugin_zoo as zoo
import public_api
import pytest

import deepseek_core
from deepseek_core import hooks
from deepseek_core.discovery.deprecation import DeprecatedUse, deprecated
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.scan import API, scan
from deepseek_core.discovery.switches import Switches

V0 = "deepseek_sdk.plugins.v0"

OLD_HOOKS = """
def ds_register_devices():
    return [{"name": "old_npu", "kind": "npu", "factory": "zoo_old.device.Device",
             "probe": "zoo_old.device.probe", "summary": "from the days of v0"}]

def ds_register_commands():
    yield {"name": "old-flash", "main": "zoo_old.device.flash"}
"""
OLD_DEVICE = """
from deepseek_core import DeviceInfo

def probe():
    return [DeviceInfo(id="old:0", kind="npu", name="old", evidence="model", fingerprint="1")]

def flash(argv):
    print("flashed", *argv)
    return 0
"""


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Discovers plugins that were put into a folder; forgets their modules afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield lambda: discover(Switches(), entry_points=scan([str(tmp_path)]))
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


def test_the_public_face_is_the_committed_one():
    committed = public_api.SNAPSHOT.read_text(encoding="utf-8")
    assert public_api.described() == committed, (
        "the public face changed; if that is meant, raise the API's minor for an addition or its "
        f"major for anything else, and run: {public_api.COMMAND}"
    )


def test_any_change_of_the_face_is_drift(monkeypatch):
    before = public_api.described()
    monkeypatch.setattr(deepseek_core.Tier, "rename", lambda self: None, raising=False)
    after = public_api.described()
    assert [line for line in after.splitlines() if line not in before.splitlines()] == [
        "    rename(self) -> <class 'inspect._empty'>"
    ]


def test_the_snapshot_has_every_name_field_and_signature():
    text = public_api.SNAPSHOT.read_text(encoding="utf-8")
    assert f"API {API[0]}.{API[1]}" in text
    assert "\nclass DeviceSpec\n" in text
    assert "    probe: str\n" in text
    assert "    priority: int = 0\n" in text
    assert "    supports(self, operation: Operation) -> Support  [abstract]\n" in text
    assert "    ds_register_devices(ctx: HostContext) -> Iterable[DeviceSpec]\n" in text


def test_a_plugin_of_v0_works_through_its_adapter_and_its_row_says_so(tmp_path, found):
    zoo.install(tmp_path, "old", hooks=OLD_HOOKS, probe=OLD_DEVICE, group=V0)
    registry = found()
    row = registry.plugin("old")
    assert (row.status, row.api) == ("available", "v0")
    assert row.reason == "written for API v0, adapted to v1; core with v2 will refuse it"
    assert row.remedy == "pip install -U zoo-old"
    (device,) = registry.devices
    assert device.record.factory == "zoo_old.device:Device"
    assert device.record.summary == "from the days of v0"
    assert row.provides == ("old_npu", "old-flash")


def test_a_command_of_a_v0_plugin_runs(tmp_path):
    zoo.install(tmp_path, "old", hooks=OLD_HOOKS, probe=OLD_DEVICE, group=V0)
    process = zoo.ds_sdk("old-flash", "board", path=[tmp_path])
    assert (process.returncode, process.stdout) == (0, "flashed board\n")


@pytest.mark.parametrize(
    ("hooks_source", "status", "reason"),
    [
        ("x = 1\n", "incompatible", "needs API v0; core has v1"),
        (
            "def ds_register_devices():\n    return [{'name': 'old_npu', 'speed': 3}]\n",
            "broken",
            "ds_register_devices raised: PluginError: its dict is no DeviceSpec: "
            "got an unexpected keyword argument 'speed'",
        ),
        (
            "def ds_register_devices():\n    return ['npu']\n",
            "broken",
            "ds_register_devices raised: PluginError: API v0 wants dicts, and one of them is 'npu'",
        ),
    ],
)
def test_what_an_adapter_can_not_adapt_is_a_row(tmp_path, found, hooks_source, status, reason):
    zoo.install(tmp_path, "old", hooks=hooks_source, group=V0)
    row = found().plugin("old")
    assert (row.status, row.reason.partition(" (")[0]) == (status, reason)


def test_a_plugin_that_publishes_for_both_majors_is_taken_at_its_newer_word(tmp_path, found):
    zoo.install(tmp_path, "both", hooks=OLD_HOOKS.replace("zoo_old", "zoo_both"), group=V0)
    (tmp_path / "zoo_both" / "new.py").write_text(
        "from deepseek_core import hookimpl, hooks\n\n"
        "@hookimpl(hooks.ds_register_devices)\ndef devices(ctx):\n    return []\n"
    )
    groups = f"[{V0}]\nboth = zoo_both.hooks\n[{zoo.V1}]\nboth = zoo_both.new\n"
    zoo.describe(tmp_path, "zoo-both", "1.0.0", groups)
    row = found().plugin("both")
    assert (row.api, row.status, row.provides) == ("v1", "available", ())


GOING = deprecated(replacement="ds_register_devices", since="1.1", removed_in="1.3")
GOING_ARGUMENT = deprecated(replacement="nothing", since="1.1", removed_in="1.3", argument="ctx")
WITHOUT_CTX = """
from deepseek_core import hookimpl, hooks

@hookimpl(hooks.ds_register_devices)
def devices():
    return []
"""


@pytest.fixture
def mark(monkeypatch):
    """Marks the hook for devices as going until the test ends."""

    def apply(decorator):
        monkeypatch.setattr(hooks.ds_register_devices, "deprecations", (), raising=False)
        decorator(hooks.ds_register_devices)

    return apply


def test_a_deprecated_hook_names_plugin_hook_and_replacement(tmp_path, found, mark):
    zoo.install(tmp_path, "well")
    mark(GOING)
    with pytest.warns(DeprecatedUse) as caught:
        row = found().plugin("well")
    (warning,) = caught
    assert str(warning.message) == (
        "plugin 'well' uses ds_register_devices, deprecated since API 1.1 and gone in 1.3: "
        "use ds_register_devices"
    )
    assert warning.filename == str(tmp_path / "zoo_well" / "hooks.py")
    assert issubclass(DeprecatedUse, DeprecationWarning)
    assert row.status == "available"


def test_a_deprecated_argument_concerns_only_those_who_take_it(tmp_path, found, mark):
    zoo.install(tmp_path, "well")
    zoo.install(tmp_path, "spare", hooks=WITHOUT_CTX)
    mark(GOING_ARGUMENT)
    with pytest.warns(DeprecatedUse) as caught:
        found()
    (warning,) = caught
    assert str(warning.message).startswith(
        "plugin 'well' uses argument 'ctx' of ds_register_devices, deprecated since API 1.1"
    )


def test_a_plugin_is_told_once(tmp_path, found, mark):
    zoo.install(tmp_path, "well")
    zoo.install(tmp_path, "other")
    mark(GOING)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        found()
        found()
    assert sorted(w.message.plugin for w in caught) == ["other", "well"]


def test_no_hook_of_today_is_going(tmp_path, found):
    zoo.install(tmp_path, "well")
    assert found().plugin("well").status == "available"  # a warning would be an error here


def test_ds_sdk_shows_what_is_going_on_stderr(tmp_path):
    source = (
        "from deepseek_core import hooks\n"
        "from deepseek_core.discovery.deprecation import deprecated\n"
        "deprecated(replacement='b', since='1.1', removed_in='1.3')(hooks.ds_register_devices)\n"
    )
    zoo.install(tmp_path, "well", hooks=source + zoo.HOOKS)
    process = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path])
    assert process.returncode == 0
    assert process.stderr == (
        "warning: plugin 'well' uses ds_register_devices, deprecated since API 1.1 "
        "and gone in 1.3: use b\n"
    )
