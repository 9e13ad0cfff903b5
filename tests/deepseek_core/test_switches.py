"""Switches: arguments beat the environment, which beats the configuration file."""

import os

import attrs
import pytest

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.discovery.folders import cache_dir, config_file
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.switch_table import SWITCHES, flags_given
from deepseek_core.discovery.switches import Switches, check_variables, matches

V1 = "deepseek_sdk.plugins.v1"
POINTS = (
    EntryPoint(name="npu", value="acme.hooks", group=V1, dist="Acme_NPU", version="2.0"),
    EntryPoint(name="gpu", value="vendor.hooks", group=V1, dist="vendor-gpu", version="1.0"),
)


@pytest.fixture
def config(tmp_path):
    """Writes a configuration file."""

    def write(text):
        path = tmp_path / "config.toml"
        path.write_text(text)
        return path

    return write


def test_an_argument_beats_the_environment_which_beats_the_file(config):
    path = config("[plugins]\nstrict = true\ndisable = ['file']\nprobe_timeout_s = 3\n")
    environ = {"DEEPSEEK_DISABLE_PLUGINS": "environment", "DEEPSEEK_PROBE_TIMEOUT": "4"}
    switches = Switches.resolve(environ=environ, config=path, probe_timeout_s=5.0)
    assert (switches.strict, switches.disable, switches.probe_timeout_s) == (
        True,
        ("environment",),
        5.0,
    )
    assert switches.origin("probe_timeout_s") == "argument probe_timeout_s"
    assert switches.origin("disable") == "DEEPSEEK_DISABLE_PLUGINS"
    assert switches.origin("strict") == f"{path} [plugins] strict"
    assert switches.origin("allow") == "default"


def test_every_variable_is_read(tmp_path):
    environ = {
        "DEEPSEEK_NO_PLUGINS": "1",
        "DEEPSEEK_PLUGINS": " a, b ,",
        "DEEPSEEK_DISABLE_PLUGINS": "c",
        "DEEPSEEK_STRICT_PLUGINS": "yes",
        "DEEPSEEK_TRACE_HOOKS": "ON",
        "DEEPSEEK_PROBE_TIMEOUT": "2.5",
        "DEEPSEEK_PROBE_MEMORY": "0",
        "DEEPSEEK_LOAD_TIMEOUT": "7",
        "DEEPSEEK_PREFER": "npu=acme-npu, gpu = vendor-gpu",
    }
    assert set(environ) == {switch.variable for switch in SWITCHES}
    switches = Switches.resolve(environ=environ, config=tmp_path / "none.toml")
    assert switches.no_plugins and switches.strict and switches.trace_hooks
    assert (switches.allow, switches.disable) == (("a", "b"), ("c",))
    assert switches.probe_timeout_s == 2.5
    assert (switches.probe_memory_gib, switches.load_timeout_s) == (0, 7)
    assert switches.prefer == {"npu": "acme-npu", "gpu": "vendor-gpu"}


def test_an_empty_variable_sets_nothing(tmp_path):
    switches = Switches.resolve(environ={"DEEPSEEK_PLUGINS": " "}, config=tmp_path / "none.toml")
    assert switches.allow is None


def test_an_argument_of_false_beats_the_environment(tmp_path):
    environ = {"DEEPSEEK_STRICT_PLUGINS": "1"}
    assert not Switches.resolve(environ=environ, config=tmp_path / "x", strict=False).strict


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("DEEPSEEK_NO_PLUGINS", "perhaps", "true or false"),
        ("DEEPSEEK_PROBE_TIMEOUT", "soon", "a number of seconds above 0"),
        ("DEEPSEEK_PROBE_TIMEOUT", "-1", "a number of seconds above 0"),
        ("DEEPSEEK_PROBE_TIMEOUT", "nan", "a number of seconds above 0"),
        ("DEEPSEEK_PROBE_TIMEOUT", "inf", "a number of seconds above 0"),
        ("DEEPSEEK_PROBE_TIMEOUT", "0", "a number of seconds above 0"),
        ("DEEPSEEK_PROBE_MEMORY", "-1", "0 for no limit"),
        ("DEEPSEEK_LOAD_TIMEOUT", "nan", "0 for no limit"),
        ("DEEPSEEK_PREFER", "npu", "NAME=DIST"),
    ],
)
def test_a_malformed_variable_is_named(variable, value, wanted, tmp_path):
    with pytest.raises(
        ConfigError, match=f"{variable} must be .*{wanted}.*, got '{value}'"
    ) as caught:
        Switches.resolve(environ={variable: value}, config=tmp_path / "none.toml")
    assert caught.value.remedy == "correct it, or leave it out"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[plugins]\nallow = 3\n", r"\[plugins\] allow must be .*, got 3"),
        ("[plugins]\nallow = [1]\n", r"\[plugins\] allow must be .*, got \[1\]"),
        (
            "[plugins]\nstrict = 'sure'\n",
            r"\[plugins\] strict must be true or false .*, got 'sure'",
        ),
        ("[plugins]\nprobe_timeout_s = true\n", "probe_timeout_s must be .* above 0, got True"),
        ("[plugins]\nprefer = { npu = 1 }\n", r"prefer must be a table .*, got \{'npu': 1\}"),
        ("plugins = 'all'\n", "plugins must be a table, got 'all'"),
        ("[plugns]\n", r"there is no table \[plugns\]"),
        ("[plugin]\nnpu = 'fast'\n", "plugin.npu must be a table, got 'fast'"),
        ("[plugins\n", "line 1"),
    ],
)
def test_a_malformed_file_is_named_with_the_key(text, message, config):
    path = config(text)
    with pytest.raises(ConfigError, match=message) as caught:
        Switches.resolve(environ={}, config=path)
    assert str(path) in caught.value.message
    assert caught.value.remedy


def test_a_misspelt_key_is_an_error_with_the_close_one(config):
    with pytest.raises(ConfigError) as caught:
        Switches.resolve(environ={}, config=config("[plugins]\ndisabel = ['npu']\n"))
    assert caught.value.remedy == "did you mean disable?"


def test_a_misspelt_argument_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="argument stict: there is no such switch"):
        Switches.resolve(environ={}, config=tmp_path / "none.toml", stict=True)


def test_a_file_that_is_no_text_is_an_error(config):
    path = config("")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"config\.toml"):
        Switches.resolve(environ={}, config=path)


def test_the_settings_of_plugins_come_along(config):
    path = config("[plugin.npu]\nclock_mhz = 200\n")
    assert Switches.resolve(environ={}, config=path).settings == {"npu": {"clock_mhz": 200}}


@pytest.mark.parametrize("word", ["npu", "acme-npu", "Acme.NPU", "acme_npu:npu"])
def test_a_plugin_is_named_by_entry_point_distribution_or_both(word):
    assert [matches(word, point) for point in POINTS] == [True, False]


def test_the_cache_folder_follows_the_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DEEPSEEK_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == tmp_path / "home/.cache/deepseek"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg/deepseek"
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    assert (tmp_path / "own").is_dir()


def test_a_cache_folder_that_cant_be_made_is_replaced_with_a_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(tmp_path / "file/cache"))
    with pytest.warns(RuntimeWarning, match="DEEPSEEK_CACHE_DIR"):
        folder = cache_dir()
    assert folder.is_dir()
    assert folder.stat().st_mode & 0o077 == 0


def test_the_configuration_file_follows_the_variables(tmp_path, monkeypatch):
    monkeypatch.delenv("DEEPSEEK_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_file() == tmp_path / "deepseek/config.toml"
    monkeypatch.setenv("DEEPSEEK_CONFIG", str(tmp_path / "mine.toml"))
    assert config_file() == tmp_path / "mine.toml"


def test_a_flag_beats_the_environment_and_is_named_as_the_origin(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_PROBE_TIMEOUT", "4")
    monkeypatch.delenv("DEEPSEEK_PLUGINS", raising=False)
    with flags_given({"probe_timeout_s": "5", "allow": "npu"}):
        switches = Switches.resolve(config=tmp_path / "none.toml")
        assert (switches.probe_timeout_s, switches.allow) == (5, ("npu",))
        assert switches.origin("allow") == "--plugins"
        assert switches.undo("allow") == "leave out --plugins"
        assert os.environ["DEEPSEEK_PLUGINS"] == "npu", "workers see it too"
    assert (os.environ["DEEPSEEK_PROBE_TIMEOUT"], "DEEPSEEK_PLUGINS" in os.environ) == ("4", False)
    switches = Switches.resolve(config=tmp_path / "none.toml")
    assert switches.origin("probe_timeout_s") == "DEEPSEEK_PROBE_TIMEOUT"


def test_every_switch_has_its_four_names():
    fields = {field.name for field in attrs.fields(Switches)} - {
        "origins",
        "settings",
        "given",
        "config",
    }
    assert {switch.name for switch in SWITCHES} == fields
    assert len({s.flag for s in SWITCHES} | {s.variable for s in SWITCHES}) == 2 * len(SWITCHES)


def test_a_misspelt_variable_is_found_and_those_of_plugins_are_left_alone():
    check_variables({"DEEPSEEK_NPU_CLOCK": "1", "DEEPSEEK_PLUGINS": "a", "PLUGIN": "x"})
    with pytest.raises(ConfigError, match="no variable DEEPSEEK_DISABLE_PLUGIN") as caught:
        check_variables({"DEEPSEEK_DISABLE_PLUGIN": "a"})
    assert caught.value.remedy == "did you mean DEEPSEEK_DISABLE_PLUGINS?"
