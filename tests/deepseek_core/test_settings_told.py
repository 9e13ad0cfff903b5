"""A probe and a check learn the settings of their plugin in a process of their own."""

import json

import plugin_zoo as zoo
import pytest

from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.probe import probe_devices
from deepseek_core.discovery.scan import scan
from deepseek_core.discovery.switches import Switches
from deepseek_core.testing.device_base import DeviceRules

HOOKS = """
from deepseek_core import CheckSpec, DeviceSpec, hookimpl, hooks

settings = "{module}.settings:Settings"

@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    return [DeviceSpec(name="{device}", kind="sim", factory="{module}.device:Device",
                       probe="{module}.device:probe")]

@hookimpl(hooks.ds_register_checks)
def checks(ctx):
    return [CheckSpec(name="told", run="{module}.device:check")]
"""
PROBE = """
from deepseek_core import DeviceInfo, Finding

def probe(settings):
    return [DeviceInfo(id="told:0", kind="sim", name=repr(sorted(settings.items())),
                       evidence="model")]

def check(settings):
    return [Finding(status="ok", text=repr(sorted(settings.items())))]
"""


@pytest.fixture
def folder(tmp_path):
    files = {"settings.py": zoo.SECRET_SETTINGS}
    return zoo.install(tmp_path / "site", "told", hooks=HOOKS, probe=PROBE, files=files)


def told(folder, cache, monkeypatch, **given):
    """What the probe was told, and whether that came from the cache."""
    monkeypatch.syspath_prepend(str(folder))
    switches = Switches(given={"told": given}) if given else Switches()
    registry = discover(switches, entry_points=scan([str(folder)]))
    (result,) = probe_devices(registry, timeout_s=20.0, cache_dir=cache)
    return result.rows[0].name, result.cached


def test_a_probe_is_told_the_settings_and_asked_again_when_they_change(
    folder, tmp_path, monkeypatch
):
    cache = tmp_path / "cache"
    assert told(folder, cache, monkeypatch) == ("[('retries', 3)]", False)
    assert told(folder, cache, monkeypatch) == ("[('retries', 3)]", True)
    assert told(folder, cache, monkeypatch, retries=4) == ("[('retries', 4)]", False)


def test_no_secret_is_told(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_TOLD_TOKEN", zoo.CANARY)
    assert told(folder, tmp_path / "cache", monkeypatch) == ("[('retries', 3)]", False)
    assert all(zoo.CANARY not in f.read_text() for f in (tmp_path / "cache").rglob("*.json"))


def test_a_check_is_told_the_settings(folder, tmp_path):
    env = {"DEEPSEEK_TOLD_RETRIES": "7", "DEEPSEEK_CACHE_DIR": str(tmp_path)}
    process = zoo.ds_sdk("doctor", "--json", path=[folder], env=env)
    checks = {check["name"]: check for check in json.loads(process.stdout)["checks"]}
    assert checks["told told"]["message"] == "[('retries', 7)]"


def test_the_conformance_kit_tells_them_too(folder, tmp_path, monkeypatch):
    """A probe that takes its settings had every rule fail."""
    monkeypatch.syspath_prepend(str(folder))
    registry = discover(Switches(), entry_points=scan([str(folder)]))
    (spec,) = registry.devices
    found = DeviceRules.rows.__wrapped__(DeviceRules(), spec)
    assert found[0].name == "[('retries', 3)]"
