"""`list-plugins`, `devices` and `doctor`, each in a fresh interpreter with real plugins."""

import json
import os
import re

import plugin_zoo as zoo
import pytest

from deepseek_core.cli.doctor_checks import hardware_checks


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
    assert rows["heavy", "zoo-heavy"]["heavy_modules"] == ["numpy"]
    assert rows["well", "zoo-well"]["heavy_modules"] == []


def test_the_whole_zoo_probed_leaves_valid_json_and_exit_0(folder, env):
    env["DEEPSEEK_PROBE_TIMEOUT"] = "5"
    process = zoo.ds_sdk("list-plugins", "--probe", "--json", path=[folder], env=env)
    assert process.returncode == 0, process.stderr
    rows = rows_of(process)
    assert rows["no_hardware", "zoo-no-hardware"]["status"] == "unavailable"
    assert rows["aborts", "zoo-aborts"]["status"] == "broken"
    assert rows["hangs", "zoo-hangs"]["reason"] == "the probe did not answer in 5 s and was killed"
    again = rows_of(zoo.ds_sdk("list-plugins", "--json", path=[folder], env=env))
    assert again["hangs", "zoo-hangs"]["status"] == "broken", "the cache remembers"


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
        "pip install module-that-nobody-has (or pip uninstall zoo-broken-import)",
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
    assert "needs nothing_x, not installed -> pip install nothing-x" in process.stdout


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
    assert [device["cached"] for device in cached["devices"]] == [True, False, True]
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


def checks_of(process):
    return {check["name"]: check for check in json.loads(process.stdout)["checks"]}


def test_doctor_is_content_with_a_sound_installation(tmp_path, env):
    env |= {"DEEPSEEK_PLUGINS": "well"}
    process = zoo.ds_sdk("doctor", "--json", path=[zoo.install(tmp_path, "well")], env=env)
    assert process.returncode == 0, process.stdout
    checks = checks_of(process)
    assert {"python", "cache", "config", "versions", "editable", "opencl", "plugins"} <= set(checks)
    assert "available: well" in checks["plugins"]["message"]
    assert list(checks["python"]) == ["name", "status", "message", "remedy"]


def test_doctor_names_every_ill_plugin_with_a_remedy(folder, env):
    process = zoo.ds_sdk("doctor", "--json", path=[folder], env=env)
    assert process.returncode == 1
    checks = checks_of(process)
    assert checks["plugin broken_import"]["status"] == "fail"
    assert "pip install module-that-nobody-has" in checks["plugin broken_import"]["remedy"]
    assert checks["plugin twin"]["status"] == "fail"
    assert checks["plugin too_new"]["remedy"] == "pip install -U deepseek-core"


def test_doctor_names_the_plugin_that_ends_the_interpreter(tmp_path, env):
    zoo.install(tmp_path, "well")
    zoo.install(tmp_path, "deadly", hooks="import os\nos.abort()\n")
    env |= {"DEEPSEEK_PLUGINS": "well,deadly"}
    process = zoo.ds_sdk("doctor", "--json", path=[tmp_path], env=env)
    assert process.returncode == 1
    checks = checks_of(process)
    assert checks["plugin deadly"]["message"] == "importing it crashes the process with SIGABRT"
    assert checks["plugin deadly"]["remedy"].startswith("pip uninstall zoo-deadly")
    assert "well" in checks["plugins"]["message"]
    unloaded = zoo.ds_sdk("doctor", "--no-load", path=[tmp_path], env=env)
    assert unloaded.returncode == 0, unloaded.stdout


def test_doctor_reports_a_malformed_configuration_instead_of_ending(tmp_path, env):
    (tmp_path / "config.toml").write_text("[plugins\n")
    process = zoo.ds_sdk("doctor", "--json", env=env)
    assert process.returncode == 1
    config = checks_of(process)["config"]
    assert config["status"] == "fail" and "config.toml" in config["message"]


def test_doctor_warns_of_a_hidden_command_and_of_two_versions(tmp_path, env):
    hooks = """
        from deepseek_core import CommandSpec, hookimpl, hooks

        @hookimpl(hooks.ds_register_commands)
        def commands(ctx):
            return [CommandSpec(name="doctor", main="a.b:main")]
        """
    zoo.install(tmp_path, "impostor", hooks=hooks)
    zoo.describe(tmp_path, "zoo-impostor", "2.0.0", "")
    env |= {"DEEPSEEK_PLUGINS": "impostor"}
    process = zoo.ds_sdk("doctor", path=[tmp_path], env=env)
    assert process.returncode == 0, process.stdout
    assert "its command 'doctor' can't be reached" in process.stdout
    assert "two versions of zoo-impostor: 1.0.0 in" in process.stdout


def test_doctor_finds_stale_entry_points_of_editable_installs(tmp_path, env):
    source = tmp_path / "source code"
    source.mkdir()
    points = f'[project.entry-points."{zoo.V1}"]\nwell = "zoo_well.hooks"\nnew = "zoo_well.new"\n'
    (source / "pyproject.toml").write_text(f'[project]\nname = "zoo-well"\n{points}')
    folder = zoo.install(tmp_path / "site", "well")
    origin = {"url": source.as_uri(), "dir_info": {"editable": True}}
    (folder / "zoo_well-1.0.0.dist-info/direct_url.json").write_text(json.dumps(origin))
    process = zoo.ds_sdk("doctor", "--json", "--no-load", path=[folder], env=env)
    assert process.returncode == 1
    check = checks_of(process)["editable"]
    assert check["message"] == ("zoo-well: pyproject.toml and the installed metadata differ on new")
    assert check["remedy"] == f"pip install -e '{source}'"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The root of a machine with nothing in it."""
    monkeypatch.delenv("OCL_ICD_VENDORS", raising=False)
    (tmp_path / "dev").mkdir()
    (tmp_path / "etc/OpenCL/vendors").mkdir(parents=True)
    return tmp_path


def summary(root, *installed):
    return [
        (check.name, check.status, check.remedy) for check in hardware_checks(root, set(installed))
    ]


def test_hardware_without_its_plugin_is_a_hint(root):
    (root / "dev/nvidia0").touch()
    (root / "dev/nvidiactl").touch()
    (root / "dev/xdma0_user").touch()
    hints = summary(root, "deepseek-fpga", "pocl-binary-distribution")
    assert hints[1:] == [("hardware", "warn", "pip install deepseek-cuda")]
    assert len(summary(root, "deepseek-cuda", "deepseek-fpga")) == 1


def test_opencl_and_its_plugin_belong_together(root):
    assert summary(root) == [("opencl", "ok", None)]
    pocl = "pip install 'deepseek-fpga[pocl]' (or apt-get install pocl-opencl-icd)"
    assert summary(root, "deepseek-fpga") == [("opencl", "warn", pocl)]
    (root / "etc/OpenCL/vendors/pocl.icd").touch()
    assert summary(root, "deepseek-fpga") == [("opencl", "ok", None)]
    assert summary(root) == [("opencl", "warn", "pip install deepseek-fpga")]


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
