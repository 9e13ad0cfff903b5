"""Plugins are loaded once for many look-ups, and anew as soon as anything of them has changed."""

import shutil
import sys

import plugin_zoo as zoo
import pytest

from deepseek_core import open_tier
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.discovery.current import current_plugins

TIERS = """
from deepseek_core import TierSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    with open("{log}", "a") as log:
        log.write("asked\\n")
    return [TierSpec(name="zoo_ram", temperature="hot", schemes=("zooram",),
                     factory="plain_tiers:DictTier")]
"""


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def zoo_ram(tmp_path, log, monkeypatch):
    """The folder of a plugin whose tier notes each time that it is asked for its records."""
    monkeypatch.setenv("DEEPSEEK_CONFIG", str(tmp_path / "config.toml"))
    module = f"zoo_ram_{tmp_path.name}"
    folder = zoo.install(tmp_path / "site", "zoo_ram", hooks=TIERS, module=module, log=str(log))
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    yield folder
    for name in [name for name in sys.modules if name.startswith(module)]:
        del sys.modules[name]


def asked(log):
    return log.read_text().count("asked") if log.exists() else 0


def test_many_tiers_are_opened_by_one_look_at_the_plugins(zoo_ram, log):
    for number in range(5):
        with open_tier(f"zooram://{number}") as tier:
            assert tier.url == f"zooram://{number}"
    assert asked(log) == 1


def test_a_variable_that_changes_has_them_asked_again(zoo_ram, log, monkeypatch):
    open_tier("zooram://a").close()
    monkeypatch.setenv("ZOO", "other")
    open_tier("zooram://a").close()
    assert asked(log) == 2


def test_a_plugin_that_is_removed_or_switched_off_is_gone_at_once(zoo_ram, tmp_path):
    open_tier("zooram://a").close()
    (tmp_path / "config.toml").write_text('[plugins]\ndisable = ["zoo_ram"]\n')
    with pytest.raises(ConfigError, match="no plugin opens zooram"):
        open_tier("zooram://a")
    (tmp_path / "config.toml").unlink()
    open_tier("zooram://a").close()
    shutil.rmtree(next(zoo_ram.glob("*.dist-info")))
    with pytest.raises(ConfigError, match="no plugin opens zooram"):
        open_tier("zooram://a")


def test_a_plugin_that_comes_is_there_at_once(zoo_ram):
    before = current_plugins()
    zoo.install(zoo_ram, "zoo_late", module="zoo_late_here")
    try:
        assert current_plugins().plugin("zoo_late").dist == "zoo-zoo-late"
        assert "zoo_late" not in [row.name for row in before.plugins]
    finally:
        for name in [name for name in sys.modules if name.startswith("zoo_late_here")]:
            del sys.modules[name]
