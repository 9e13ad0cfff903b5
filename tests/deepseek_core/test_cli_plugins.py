"""`list-plugins` and `devices`, each in a fresh interpreter with real plugins."""

import json
import os
import re

import plugin_zoo as zoo
import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The whole zoo, installed."""
    return zoo.fill(tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def env(tmp_path):
    """A cache and a configuration of the test's own."""
    return {
        "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
        "DEEPSEEK_CONFIG": str(tmp_path / "config.toml"),
    }


def rows_of(process):
    return {
        (row["name"], row["dist"]): row
        for row in json.loads(process.stdout)["plugins"]
        if row["dist"].startswith("zoo-")
    }


def test_the_whole_zoo_at_once_leaves_valid_json_and_exit_0(folder, env):
    process = zoo.ds_sdk("list-plugins", "--json", path=[folder], env=env)
    assert process.returncode == 0, process.stderr
    rows = rows_of(process)
    statuses = {row["status"] for row in rows.values()}
    assert statuses == {"available", "broken", "incompatible", "conflict"}
    assert all(
        row["reason"] and row["remedy"] for row in rows.values() if row["status"] != "available"
    )
    heavy = rows["heavy", "zoo-heavy"]
    assert heavy["heavy_modules"] == ["numpy"]
    assert heavy["reason"] == "its import pulls in numpy, at every start"
    assert heavy["remedy"] == "import it in the function that needs it"
    assert rows["well", "zoo-well"]["heavy_modules"] == []


def test_probing_tells_what_the_devices_say_and_the_cache_remembers(tmp_path, env):
    for name in ("no_hardware", "aborts", "hangs"):
        zoo.install(tmp_path, name, probe=zoo.BAD_PROBES[name])
    env |= {"DEEPSEEK_PROBE_TIMEOUT": "3", "DEEPSEEK_PLUGINS": "no_hardware,aborts,hangs"}
    process = zoo.ds_sdk("list-plugins", "--probe", "--json", path=[tmp_path], env=env)
    assert process.returncode == 0, process.stderr
    rows = rows_of(process)
    assert rows["no_hardware", "zoo-no-hardware"]["status"] == "unavailable"
    assert rows["aborts", "zoo-aborts"]["status"] == "broken"
    assert rows["hangs", "zoo-hangs"]["reason"] == "the probe did not answer in 3 s and was killed"
    again = rows_of(zoo.ds_sdk("list-plugins", "--json", path=[tmp_path], env=env))
    assert again["hangs", "zoo-hangs"]["status"] == "broken"


def test_the_schema_is_frozen(tmp_path, env):
    process = zoo.ds_sdk("list-plugins", "--json", path=[zoo.install(tmp_path, "well")], env=env)
    answer = json.loads(process.stdout)
    assert list(answer) == ["schema", "core", "api", "plugins"]
    assert (answer["schema"], answer["api"]) == (1, [1])


def test_the_table_has_its_columns_and_is_never_cut_in_a_pipe(folder, env):
    process = zoo.ds_sdk("list-plugins", path=[folder], env=env)
    head, *lines = process.stdout.splitlines()
    assert head.split("  ")[0] == "NAME"
    assert re.split(r"\s{2,}", head) == [
        "NAME", "KIND", "DIST", "VERSION", "API", "STATUS", "LOAD", "PROVIDES", "WHY / FIX",
    ]  # fmt: skip
    (line,) = [line for line in lines if line.startswith("broken_import ")]
    assert re.split(r"\s{2,}", line)[4:] == [
        "v1",
        "broken",
        re.split(r"\s{2,}", line)[6],
        "-",
        "import failed: ModuleNotFoundError: No module named 'module_that_nobody_has'"
        " (hooks.py, line 1) -> "
        "see the documentation of zoo-broken-import for what brings module_that_nobody_has"
        " (or pip uninstall zoo-broken-import)",
    ]
    (line,) = [line for line in lines if line.startswith("rival_a ")]
    assert "(contested)" in line


@pytest.mark.parametrize(("flag", "code"), [((), 0), (("--strict",), 1)])
def test_strict_exits_1_with_the_list_still_printed(flag, code, folder, env):
    process = zoo.ds_sdk("list-plugins", *flag, path=[folder], env=env)
    assert process.returncode == code
    assert "broken_import" in process.stdout


def test_strict_by_variable_counts_and_the_unavailable_is_no_fault(tmp_path, env):
    hooks = zoo.HOOKS.replace('kind="sim"', 'kind="sim", requires=["nothing_x"]')
    zoo.install(tmp_path, "needy", hooks=hooks)
    only = env | {"DEEPSEEK_PLUGINS": "needy", "DEEPSEEK_STRICT_PLUGINS": "1"}
    process = zoo.ds_sdk("list-plugins", path=[tmp_path], env=only)
    assert process.returncode == 0, process.stdout
    told = "needs nothing_x, not installed -> see the documentation of zoo-needy"
    assert told in process.stdout


def test_filters_choose_rows(folder, env):
    process = zoo.ds_sdk(
        "list-plugins", "--json", "--status", "incompatible", path=[folder], env=env
    )
    assert {row["name"] for row in rows_of(process).values()} == {
        "too_new",
        "too_old",
        "future_minor",
    }
    process = zoo.ds_sdk("list-plugins", "--json", "--kind", "tier", path=[folder], env=env)
    assert rows_of(process) == {}


def test_the_hook_chooses_rows_and_must_exist(folder, env):
    ask = lambda *words: zoo.ds_sdk("list-plugins", *words, path=[folder], env=env)  # noqa: E731
    process = ask("--json", "--hook", "ds_register_devices")
    assert "well" in {name for name, _dist in rows_of(process)}
    assert "misspelt" not in {name for name, _dist in rows_of(process)}
    process = ask("--hook", "ds_register_device")
    assert process.returncode == 2
    assert "did you mean ds_register_devices" in process.stderr
    assert "leave out --no-load" in ask("--no-load", "--hook", "ds_on_event").stderr


def test_verbose_tells_everything(folder, env):
    process = zoo.ds_sdk("list-plugins", "--verbose", path=[folder], env=env)
    paragraph = next(p for p in process.stdout.split("\n\n") if p.startswith("heavy: available"))
    assert "heavy_modules numpy" in paragraph
    assert "hooks         ds_register_devices" in paragraph


def test_no_load_imports_no_plugin(tmp_path, env):
    zoo.install(tmp_path, "deadly", hooks="import os\nos.abort()\n")
    process = zoo.ds_sdk("list-plugins", "--no-load", "--json", path=[tmp_path], env=env)
    assert process.returncode == 0
    assert rows_of(process)["deadly", "zoo-deadly"]["status"] is None
    assert zoo.ds_sdk("list-plugins", path=[tmp_path], env=env).returncode < 0


def test_no_plugins_at_all_is_said(tmp_path, env):
    env = env | {"DEEPSEEK_PLUGINS": "storage_local"}
    process = zoo.ds_sdk("list-plugins", "--kind", "strategy", path=[tmp_path], env=env)
    assert (process.returncode, process.stdout) == (0, "no such plugins are installed\n")


def test_devices_are_probed_once_and_then_known(tmp_path, env):
    zoo.install(tmp_path, "well")
    zoo.install(tmp_path, "no_hardware", probe=zoo.BAD_PROBES["no_hardware"])
    zoo.install(tmp_path, "raises", probe=zoo.BAD_PROBES["raises"])
    env |= {"DEEPSEEK_PLUGINS": "well,no_hardware,raises"}
    process = zoo.ds_sdk("devices", "--json", path=[tmp_path], env=env)
    assert process.returncode == 0, process.stderr
    devices = {device["spec"]: device for device in json.loads(process.stdout)["devices"]}
    assert devices["well"]["id"] == "zoo_well:0"
    assert devices["well"]["evidence"] == "model"
    assert devices["no_hardware"]["reason"] == "no board on PCIe"
    assert (devices["raises"]["id"], devices["raises"]["status"]) == (None, "broken")
    table = zoo.ds_sdk("devices", path=[tmp_path], env=env).stdout
    assert "zoo_well:0" in table and "(raises)" in table
    assert "no board on PCIe -> plug the board in" in table
    cached = json.loads(zoo.ds_sdk("devices", "--json", path=[tmp_path], env=env).stdout)
    asked_again = [not device["cached"] for device in cached["devices"]]
    assert asked_again == [True, True, False], "whatever complains"
    fresh = zoo.ds_sdk("devices", "--json", "--refresh", path=[tmp_path], env=env)
    assert not any(device["cached"] for device in json.loads(fresh.stdout)["devices"])


def test_a_cache_folder_that_cant_be_written_is_a_warning(tmp_path, env):
    (tmp_path / "file").write_text("")
    env |= {"DEEPSEEK_CACHE_DIR": str(tmp_path / "file/x"), "PYTHONWARNINGS": "default"}
    env |= {"DEEPSEEK_PLUGINS": "well", "TMPDIR": str(tmp_path)}
    process = zoo.ds_sdk("devices", path=[zoo.install(tmp_path, "well")], env=env)
    assert process.returncode == 0
    assert process.stderr.startswith("warning: no caches in")
    assert process.stderr.count("\n") == 1


def test_reading_a_part_of_the_output_is_no_error(folder, env):
    import subprocess
    import sys

    environment = os.environ | env
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(zoo.SOURCES)])
    command = f"{sys.executable} -m deepseek_core list-plugins --json | head -c 1"
    process = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, env=environment, timeout=60, check=False,
    )  # fmt: skip
    assert process.stdout == "{"
    assert "Traceback" not in process.stderr and "BrokenPipe" not in process.stderr
    assert process.returncode in (0, 141)
