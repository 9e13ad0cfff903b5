"""A worker loads its parent's plugins, or refuses."""

import json
import sys

import attrs
import plugin_zoo as zoo
import pytest

from deepseek_core.contracts.errors import PluginError
from deepseek_core.discovery.fingerprint import (
    EXPECTED,
    check_expected,
    fingerprint,
    identities,
    refuse_other_plugins,
    worker_environment,
)
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.probe import probe_devices
from deepseek_core.discovery.scan import EntryPoint, scan
from deepseek_core.discovery.switches import Switches

A = EntryPoint(name="a", value="acme.hooks", group=zoo.V1, dist="Acme_NPU", version="1.0")
B = EntryPoint(name="b", value="zzz.hooks", group=zoo.V1, dist="zzz", version="2.0")


def test_it_stands_for_what_would_be_loaded_not_for_where_it_is():
    assert fingerprint([A, B]) == fingerprint([B, A])
    assert fingerprint([A]) == fingerprint([attrs.evolve(A, location="/elsewhere")])
    for change in ({"version": "1.1"}, {"value": "x.y"}, {"name": "c"}, {"dist": "other"}):
        assert fingerprint([attrs.evolve(A, **change)]) != fingerprint([A])


@pytest.mark.parametrize(
    ("here", "message"),
    [
        ([], "plugins that are not here: acme-npu:a, zzz:b"),
        ([A], "not here: zzz:b"),
        ([A, attrs.evolve(B, version="2.1")], "other versions of its plugins"),
        ([A, attrs.evolve(B, value="evil.hooks")], "other versions of its plugins"),
    ],
)
def test_other_plugins_are_refused(here, message):
    with pytest.raises(PluginError, match=message) as caught:
        refuse_other_plugins(identities([A, B]), fingerprint([A, B]), here)
    assert "pip install -U" in caught.value.remedy


def test_what_the_parent_does_not_load_may_be_there():
    refuse_other_plugins(identities([A]), fingerprint([A]), [A, B])


def test_a_worker_compares_what_it_would_load():
    check_expected([A], {})
    check_expected([A], {EXPECTED: fingerprint([A])})
    with pytest.raises(PluginError, match="not those of the parent"):
        check_expected([A, B], {EXPECTED: fingerprint([A])})


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """One plugin, loaded."""
    zoo.install(tmp_path, "well")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield discover(Switches(), entry_points=scan([str(tmp_path)]))
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


def test_a_registry_knows_what_it_resolved(registry):
    assert identities(registry.resolved) == ("zoo-well:well",)


def exported(path):
    process = zoo.ds_sdk("plugins", "export", "--env", path=path)
    return dict(line.split("=", 1) for line in process.stdout.splitlines())


def test_a_worker_with_the_same_plugins_works_and_one_with_others_does_not(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    zoo.install(here, "well")
    zoo.install(there, "well", version="1.5")
    env = exported([here])
    assert len(env) == 2
    process = zoo.ds_sdk("list-plugins", path=[here], env=env)
    assert process.returncode == 0, process.stderr
    process = zoo.ds_sdk("list-plugins", path=[there], env=env)
    assert process.returncode == 1
    assert "not those of the parent process; here: " in process.stderr
    assert "well of zoo-well 1.5" in process.stderr


def test_a_worker_gets_no_plugin_that_is_off_here(tmp_path):
    zoo.install(tmp_path, "well")
    zoo.install(tmp_path, "other")
    every = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path], env=exported([tmp_path])).stdout
    process = zoo.ds_sdk(
        "plugins", "export", "--env", path=[tmp_path], env={"DEEPSEEK_PLUGINS": "zoo-well:well"}
    )
    env = dict(line.split("=", 1) for line in process.stdout.splitlines())
    fewer = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path], env=env).stdout
    for text, status in ((every, "available"), (fewer, "blocked")):
        rows = {row["name"]: row["status"] for row in json.loads(text)["plugins"]}
        assert (rows["well"], rows["other"]) == ("available", status)


def test_without_plugins_workers_get_none():
    assert worker_environment([])["DEEPSEEK_NO_PLUGINS"] == "1"


def test_a_probe_refuses_a_plugin_that_was_replaced_meanwhile(registry, tmp_path):
    (tmp_path / "zoo_well-1.0.0.dist-info/METADATA").write_text("Name: zoo-well\nVersion: 6.6.6\n")
    (result,) = probe_devices(registry, timeout_s=20, cache_dir=tmp_path / "cache")
    assert result.status == "unavailable"
    assert result.reason == (
        "the parent process has other versions of its plugins; here are zoo-well 6.6.6"
    )
