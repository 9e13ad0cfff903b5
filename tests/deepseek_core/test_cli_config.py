"""`ds-sdk config`: each value and where it came from; what is misspelt is an error."""

import json
import re

import plugin_zoo as zoo
import pytest


@pytest.fixture
def config(tmp_path):
    """Runs `config` with a configuration file of the test's own, amid one well plugin."""

    def run(*words, text="", **environ):
        (tmp_path / "config.toml").write_text(text)
        zoo.install(tmp_path, "well")
        env = {"DEEPSEEK_CONFIG": str(tmp_path / "config.toml")} | environ
        return zoo.ds_sdk(*words, path=[tmp_path], env=env)

    return run


def test_each_switch_is_shown_with_its_value_and_origin(config, tmp_path):
    process = config(
        "--disable-plugins", "well", "config", "show", "--json",
        text="[plugins]\nstrict = true\nprobe_timeout_s = 3\nprefer = { well = 'zoo-well' }\n",
        DEEPSEEK_PROBE_TIMEOUT="4", DEEPSEEK_LOAD_TIMEOUT="0",
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    assert (answer["schema"], answer["file"]) == (1, str(tmp_path / "config.toml"))
    found = {entry["key"]: (entry["value"], entry["origin"]) for entry in answer["switches"]}
    assert found == {
        "no_plugins": (False, "default"),
        "allow": (None, "default"),
        "disable": (["well"], "--disable-plugins"),
        "strict": (True, f"{tmp_path}/config.toml [plugins] strict"),
        "prefer": ({"well": "zoo-well"}, f"{tmp_path}/config.toml [plugins] prefer"),
        "trace_hooks": (False, "default"),
        "probe_timeout_s": (4.0, "DEEPSEEK_PROBE_TIMEOUT"),
        "probe_memory_gib": (3.0, "default"),
        "load_timeout_s": (0.0, "DEEPSEEK_LOAD_TIMEOUT"),
    }


def test_the_table_says_the_same_and_shows_no_settings(config):
    text = f"[plugin.well]\ntoken = '{zoo.CANARY}'\n"
    process = config("config", "show", text=text)
    assert process.returncode == 0, process.stderr
    line = next(line for line in process.stdout.splitlines() if line.startswith("probe_timeout_s"))
    assert re.split(r"\s{2,}", line) == [
        "probe_timeout_s", "10", "default", "--probe-timeout", "DEEPSEEK_PROBE_TIMEOUT",
    ]  # fmt: skip
    assert "[plugin.well] sets token" in process.stdout
    assert zoo.CANARY not in process.stdout


def test_the_path_is_told_even_if_the_file_is_ill(config, tmp_path):
    process = config("config", "path", text="[plugins\n")
    assert (process.returncode, process.stdout) == (0, f"{tmp_path}/config.toml\n")


@pytest.mark.parametrize(
    ("text", "environ", "remedy"),
    [
        ("[plugins]\nstrikt = true\n", {}, "did you mean strict?"),
        ("[plugns]\n", {}, "did you mean plugins or plugin?"),
        ("", {"DEEPSEEK_NO_PLUGIN": "1"}, "did you mean DEEPSEEK_NO_PLUGINS?"),
    ],
)
def test_what_is_misspelt_is_an_error_with_the_close_name(text, environ, remedy, config):
    process = config("config", "show", text=text, **environ)
    assert process.returncode == 2
    assert f"fix: {remedy}\n" in process.stderr
    assert process.stdout == ""


@pytest.mark.parametrize(
    ("text", "environ", "told"),
    [
        ("[plugins]\ndisable = ['wel']\n", {}, "names 'wel', and no such plugin is installed"),
        ("[plugin.wel]\nx = 1\n", {}, "[plugin.wel] is for no plugin that is installed"),
        ("", {"DEEPSEEK_PLUGINS": "wel"}, "DEEPSEEK_PLUGINS names 'wel', and no such plugin"),
        ("", {"DEEPSEEK_PREFER": "well=zoo-wel"}, "DEEPSEEK_PREFER names 'zoo-wel', and no such"),
    ],
)
def test_what_is_not_installed_is_a_notice_with_the_close_name(text, environ, told, config):
    process = config("config", "show", text=text, **environ)
    assert (process.returncode, process.stderr) == (0, "")
    *_table, last = process.stdout.splitlines()
    assert last.startswith("note: ") and told in last
    assert "-> did you mean" in last
    (notice,) = json.loads(config("config", "show", "--json", text=text, **environ).stdout)[
        "notices"
    ]
    assert told in notice["text"] and notice["remedy"].startswith("did you mean")
