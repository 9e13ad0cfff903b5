"""Switches that name what is not installed: told where people look, and no command ends by them."""

import json
import shutil

import plugin_zoo as zoo
import pytest

from deepseek_core.discovery.notices import unknown_names, unknown_settings
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.switches import Switches

POINTS = (
    EntryPoint(name="npu", value="acme.hooks", group=zoo.V1, dist="Acme_NPU", version="2.0"),
    EntryPoint(name="gpu", value="vendor.hooks", group=zoo.V1, dist="vendor-gpu", version="1.0"),
)
COMMAND = """
from deepseek_core import CommandSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_commands)
def commands(ctx):
    return [CommandSpec(name="hello", main="{module}.device:main")]
"""
MAIN = "def main(argv):\n    print('hello')\n    return 0\n"


@pytest.mark.parametrize("switch", ["allow", "disable"])
def test_an_unknown_plugin_is_a_notice_with_the_close_name(switch):
    (notice,) = unknown_names(Switches(**{switch: ("nqu", "npu")}), POINTS)
    assert notice.text == f"argument {switch} names 'nqu', and no such plugin is installed"
    assert (notice.remedy, notice.of_file) == ("did you mean npu?", False)


def test_a_preferred_distribution_that_is_not_installed_is_a_notice():
    assert unknown_names(Switches(prefer={"npu": "acme-npu"}), POINTS) == ()
    (notice,) = unknown_names(Switches(prefer={"npu": "zzz"}), POINTS)
    assert "argument prefer names 'zzz'" in notice.text
    assert notice.remedy == "correct argument prefer"


@pytest.mark.parametrize("word", [":", "a:b:c", "Ünïcode", "\x1b[31m", "no such", "*", "-"])
def test_whatever_a_name_looks_like_it_is_told_in_one_plain_line(word):
    (notice,) = unknown_names(Switches(disable=(word,)), POINTS)
    assert str(notice).isprintable() and "\n" not in str(notice)


def test_a_name_in_a_file_says_so(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("[plugins]\ndisable = ['gone', 'gone']\n[plugin.nqu]\nx = 1\n")
    switches = Switches.resolve(environ={}, config=path)
    (notice,) = unknown_names(switches, POINTS)
    assert notice.of_file
    assert notice.remedy == f"take it out of {path} [plugins] disable if no environment has it"
    (table,) = unknown_settings(switches, POINTS)
    assert table.text == f"{path}: [plugin.nqu] is for no plugin that is installed"
    assert (table.remedy, table.of_file) == ("did you mean npu?", True)


@pytest.fixture
def sdk(tmp_path):
    """Runs `ds-sdk` amid one plugin with a command, with a configuration file of the test's own."""
    zoo.install(tmp_path / "site", "well", hooks=COMMAND, probe=MAIN)
    file = tmp_path / "config.toml"

    def run(*words, **environ):
        env = {"DEEPSEEK_CONFIG": str(file), "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache")}
        return zoo.ds_sdk(*words, path=[tmp_path / "site"], env=env | environ)

    run.file, run.site = file, tmp_path / "site"
    return run


def test_every_command_works_after_a_plugin_that_was_switched_off_is_uninstalled(sdk):
    zoo.install(sdk.site, "gone")
    assert sdk("plugins", "disable", "gone").returncode == 0
    shutil.rmtree(sdk.site / "zoo_gone-1.0.0.dist-info")
    for words in (["hello"], ["devices"], ["plugins", "export"], ["plugin-info", "well"]):
        process = sdk(*words)
        assert (process.returncode, process.stderr) == (0, ""), words


def test_a_file_shared_by_two_environments_is_told_where_people_look(sdk):
    sdk.file.write_text("[plugins]\nallow = ['well', 'of_another']\nprefer = { x = 'none' }\n")
    listed = sdk("list-plugins", "--no-load")
    assert listed.returncode == 0
    assert listed.stderr.count("note: ") == 2 and "'of_another'" in listed.stderr
    doctor = sdk("doctor", "--json")
    assert doctor.returncode == 0
    checks = json.loads(doctor.stdout)["checks"]
    warned = [c for c in checks if c["name"] == "config" and c["status"] == "warn"]
    assert ["of_another" in warned[0]["message"], "none" in warned[1]["message"]] == [True, True]
    assert len(warned) == 2, "each once"
    shown = sdk("config", "show")
    assert shown.returncode == 0 and shown.stdout.count("note: ") == 2


@pytest.mark.parametrize(
    ("words", "environ", "told"),
    [
        (["--disable-plugins", "wel", "hello"], {}, "--disable-plugins names 'wel'"),
        (["hello"], {"DEEPSEEK_PREFER": "a=b"}, "DEEPSEEK_PREFER names 'b'"),
        (["hello"], {"DEEPSEEK_DISABLE_PLUGINS": "wel"}, "DEEPSEEK_DISABLE_PLUGINS names 'wel'"),
    ],
)
def test_a_flag_or_variable_is_told_once_by_every_command(words, environ, told, sdk):
    process = sdk(*words, **environ)
    assert (process.returncode, process.stdout) == (0, "hello\n")
    assert process.stderr.startswith(f"note: {told}") and process.stderr.count("\n") == 1


def test_a_misspelt_allow_list_loads_nothing_and_says_why(sdk):
    process = sdk("--plugins", "wel", "hello")
    assert process.returncode == 2
    assert "did you mean well?" in process.stderr
    assert "there is no command 'hello'" in process.stderr


def test_strict_mode_still_refuses(sdk):
    process = sdk("--strict-plugins", "--disable-plugins", "wel", "hello")
    assert process.returncode == 2
    assert "error: --disable-plugins names 'wel', and no such plugin is installed" in process.stderr
    assert sdk("--disable-plugins", "wel", "list-plugins", "--strict").returncode == 1


def test_a_worker_passes_over_the_names_of_its_user(sdk):
    sdk.file.write_text("[plugins]\ndisable = ['uninstalled']\n")
    zoo.install(sdk.site, "board")
    process = sdk("devices", "--json")
    assert process.returncode == 0, process.stderr
    assert "zoo_board:0" in process.stdout


def test_a_preference_that_is_not_offered_is_told_by_doctor(sdk):
    sdk.file.write_text("[plugins]\nprefer = { wel = 'zoo-well' }\n")
    checks = json.loads(sdk("doctor", "--json").stdout)["checks"]
    (told,) = [check for check in checks if "offers nothing named 'wel'" in check["message"]]
    assert (told["status"], told["remedy"]) == ("warn", "did you mean well?")
