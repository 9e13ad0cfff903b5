"""`ds-sdk plugin-info`: everything about one plugin, ill or well, without any secret."""

import json

import plugin_zoo as zoo
import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A few plugins, one of which ends the process."""
    folder = zoo.install(tmp_path_factory.mktemp("zoo"), "well")
    zoo.install_secret(folder)
    zoo.install(folder, "heavy", hooks="import numpy\n" + zoo.HOOKS)
    zoo.install(folder, "broken_import", hooks=zoo.BAD_HOOKS["broken_import"])
    zoo.install(folder, "too_new", group="deepseek_sdk.plugins.v2")
    zoo.install(folder, "cpu_onnx", dist="zoo-impostor", module="zoo_impostor")
    zoo.install(folder, "deadly", hooks="import os\nos.abort()\n")
    zoo.install(folder, "twin", dist="zoo-twin-a", module="zoo_twin_a", device="twin_a")
    zoo.install(folder, "twin", dist="zoo-twin-b", module="zoo_twin_b", device="twin_b")
    return folder


@pytest.fixture
def info(folder, tmp_path):
    """Asks about one plugin; gives the process and what it told."""

    def ask(name, text="", **environ):
        (tmp_path / "config.toml").write_text(text)
        env = {"DEEPSEEK_CONFIG": str(tmp_path / "config.toml")} | environ
        process = zoo.ds_sdk("plugin-info", name, "--json", path=[folder], env=env)
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout)["plugins"]

    return ask


def test_a_well_plugin_tells_everything(info, folder):
    (told,) = info("zoo-well")
    assert (told["name"], told["status"], told["load_ms"] > 0) == ("well", "available", True)
    assert told["hooks"] == ["ds_register_devices"]
    (record,) = told["records"]
    assert (record["family"], record["name"], record["probe"]) == (
        "device",
        "well",
        "zoo_well.device:probe",
    )
    files = [file["path"] for file in told["files"]]
    assert files == [f"{folder}/zoo_well/{name}.py" for name in ("__init__", "device", "hooks")]


def test_the_heavy_modules_are_its_own(info):
    (told,) = info("heavy")
    assert told["heavy_modules"] == ["numpy"]
    assert told["remedy"] == "import it in the function that needs it"


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("broken_import", "broken", "import failed: ModuleNotFoundError"),
        ("deadly", "broken", "importing it crashed with SIGABRT"),
        ("too_new", "incompatible", "needs API v2"),
        ("zoo-impostor", "conflict", "belongs to deepseek-onnx"),
    ],
)
def test_an_ill_plugin_tells_why(name, status, reason, info):
    (told,) = info(name)
    assert told["status"] == status
    assert reason in told["reason"] and told["remedy"]


def test_a_contested_record_is_told_although_the_plugin_is_loaded_alone(folder, tmp_path):
    zoo.install(tmp_path, "rival_a", device="contested")
    zoo.install(tmp_path, "rival_b", device="contested")
    process = zoo.ds_sdk("plugin-info", "rival_a", "--json", path=[tmp_path])
    (told,) = json.loads(process.stdout)["plugins"]
    assert told["status"] == "conflict"
    assert "also offered by rival_b" in told["reason"]


def test_two_plugins_of_one_name_are_both_told(info):
    assert [told["dist"] for told in info("twin")] == ["zoo-twin-a", "zoo-twin-b"]


def test_settings_are_shown_with_origin_and_secrets_are_not(info, tmp_path):
    text = "[plugin.secret_in_repr]\ntoken = { env = 'THE_TOKEN' }\n"
    (told,) = info(
        "secret_in_repr", text, THE_TOKEN=zoo.CANARY, DEEPSEEK_SECRET_IN_REPR_RETRIES="5"
    )
    token, retries = told["settings"]
    assert (token["value"], token["secret"], token["help"]) == ("****", True, "lets you in")
    assert token["origin"] == f"{tmp_path}/config.toml [plugin.secret_in_repr] token"
    assert (retries["value"], retries["origin"]) == (5, "DEEPSEEK_SECRET_IN_REPR_RETRIES")


def test_what_is_not_declared_is_not_shown(info):
    (told,) = info("well", f"[plugin.well]\npassword = '{zoo.CANARY}'\n")
    assert told["undeclared_settings"] == ["password"]
    assert zoo.CANARY not in json.dumps(told)


def test_an_unknown_name_is_an_error_with_the_close_one(folder):
    process = zoo.ds_sdk("plugin-info", "wel", path=[folder])
    assert process.returncode == 2
    assert "did you mean well" in process.stderr


def test_people_get_lines(folder):
    process = zoo.ds_sdk("plugin-info", "well", path=[folder])
    lines = process.stdout.splitlines()
    assert lines[0] == "well: available"
    assert any(line.startswith("  record        device well: kind=sim") for line in lines)
