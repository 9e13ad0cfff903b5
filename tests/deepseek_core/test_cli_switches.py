"""Switches as flags of `ds-sdk`, before the command."""

import json
import os

import plugin_zoo as zoo
import pytest

from deepseek_core.cli import main


def test_switches_before_the_command_reach_every_session(tmp_path):
    """A plugin's own command, which opens a session, has the switches of its user."""
    main_code = """
        def mine(argv):
            from deepseek_core import Session
            with Session() as session:
                print(sorted(row.name for row in session.registry.plugins
                             if row.status == "available"),
                      session.registry.switches.probe_timeout_s)
        """
    hooks = """
        from deepseek_core import CommandSpec, hookimpl, hooks

        @hookimpl(hooks.ds_register_commands)
        def commands(ctx):
            return [CommandSpec(name="mine", main="{module}.device:mine")]
        """
    zoo.install(tmp_path, "own", hooks=hooks, probe=main_code)
    zoo.install(tmp_path, "other")
    env = {"DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"), "DEEPSEEK_PLUGINS": "other"}
    words = ["--plugins=own", "--probe-timeout", "7", "mine"]
    process = zoo.ds_sdk(*words, path=[tmp_path], env=env)
    assert (process.returncode, process.stdout) == (0, "['own'] 7.0\n"), process.stderr


@pytest.mark.parametrize(
    ("words", "status", "where"),
    [
        (["--no-plugins"], "disabled", "--no-plugins"),
        (["--plugins", "zoo-b"], "blocked", "--plugins"),
        (["--disable-plugins", "a", "--disable-plugins", "zoo-b"], "disabled", "--disable-plugins"),
    ],
)
def test_a_switch_is_named_by_its_flag(words, status, where, tmp_path):
    zoo.install(tmp_path, "a")
    zoo.install(tmp_path, "b")
    process = zoo.ds_sdk(*words, "list-plugins", "--json", "--no-load", path=[tmp_path])
    row = next(r for r in json.loads(process.stdout)["plugins"] if r["name"] == "a")
    assert row["status"] == status
    assert row["reason"].endswith(where) and where in row["remedy"]


def test_preferring_and_tracing_by_flag(tmp_path):
    zoo.install(tmp_path, "twin", dist="zoo-twin-a", module="zoo_twin_a", device="twin_a")
    zoo.install(tmp_path, "twin", dist="zoo-twin-b", module="zoo_twin_b", device="twin_b")
    words = ["--prefer", "twin=zoo-twin-b", "--trace-hooks", "list-plugins", "--json"]
    process = zoo.ds_sdk(*words, path=[tmp_path])
    rows = {r["dist"]: r["status"] for r in json.loads(process.stdout)["plugins"]}
    assert (rows["zoo-twin-a"], rows["zoo-twin-b"]) == ("disabled", "available")
    assert "hook: twin: devices answered in" in process.stderr


def test_strict_by_flag_reaches_a_session(tmp_path):
    zoo.install(tmp_path, "ill", hooks="import module_that_nobody_has\n")
    words = ["--strict-plugins", "--plugins", "ill", "devices"]
    process = zoo.ds_sdk(*words, path=[tmp_path])
    assert process.returncode == 1
    assert "plugin 'ill' is broken" in process.stderr
    assert "(or leave out --strict-plugins)" in process.stderr


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--plugins", " ", "list-plugins"], "--plugins A,B"),
        (["--plugins", "", "list-plugins"], "give it a value, or leave it out"),
        (["--plugins"], "--plugins VALUE, or --plugins=VALUE if"),
        (["--plugin", "a", "list-plugins"], "did you mean --plugins or "),
        (["list-plugins", "--no-plugins"], "switches stand before the command: ds-sdk"),
    ],
)
def test_a_wrong_switch_says_how_it_is_written(words, remedy, capsys):
    assert main(words) == 2
    assert f"fix: {remedy}" in capsys.readouterr().err


def test_flags_leave_no_trace_behind(capsys):
    before = dict(os.environ)
    assert main(["--no-plugins", "--probe-timeout", "3", "config", "show"]) == 0
    assert dict(os.environ) == before
    assert "--no-plugins" in capsys.readouterr().out
