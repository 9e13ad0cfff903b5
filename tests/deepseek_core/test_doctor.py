"""`ds-sdk doctor`: what is wrong, with a remedy that can be pasted; plugins add to it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import attr
import attrs
import pluggy
import plugin_zoo as zoo
import pytest

from deepseek_core.cli.doctor_hardware import hardware_checks
from deepseek_core.discovery.installing import install_command, update_command


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
    process = zoo.ds_sdk("doctor", "--json", "--strict", path=[folder], env=env)
    assert process.returncode == 1
    checks = checks_of(process)
    assert checks["plugin broken_import"]["status"] == "fail"
    assert "pip uninstall zoo-broken-import" in checks["plugin broken_import"]["remedy"]
    assert checks["plugin twin"]["status"] == "fail"
    assert checks["plugin too_new"]["remedy"] == update_command("deepseek-core")


def test_doctor_names_the_plugin_that_ends_the_interpreter(tmp_path, env):
    zoo.install(tmp_path, "well")
    zoo.install(tmp_path, "deadly", hooks="import os\nos.abort()\n")
    env |= {"DEEPSEEK_PLUGINS": "well,deadly"}
    process = zoo.ds_sdk("doctor", "--json", path=[tmp_path], env=env)
    assert process.returncode == 0, "it harms no other"
    checks = checks_of(process)
    assert checks["plugin deadly"]["message"] == "importing it crashed with SIGABRT"
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
    (tmp_path / "sys/bus/pci/devices").mkdir(parents=True)
    return tmp_path


def plug_in(root, address, vendor, kind):
    """A card on the PCI bus."""
    folder = root / "sys/bus/pci/devices" / address
    folder.mkdir()
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "class").write_text(f"{kind}\n")


def summary(root, *installed):
    return [
        (check.name, check.status, check.remedy) for check in hardware_checks(root, set(installed))
    ]


def test_hardware_without_its_plugin_is_a_hint(root):
    (root / "dev/nvidia0").touch()
    (root / "dev/nvidiactl").touch()
    (root / "dev/xdma0_user").touch()
    command = install_command("deepseek-fpga")
    assert summary(root, "deepseek-cuda")[1:] == [("hardware", "warn", command)]
    assert len(summary(root, "deepseek-cuda", "deepseek-fpga")) == 1


def test_a_gpu_without_its_plugin_is_told_with_the_command(root):
    (root / "dev/nvidia0").touch()
    (hint,) = list(hardware_checks(root, {"deepseek-fpga", "pocl-binary-distribution"}))[1:]
    assert (hint.status, hint.remedy) == ("warn", install_command("deepseek-cuda"))
    assert (
        hint.message == "an NVIDIA GPU is present (/dev/nvidia0) but deepseek-cuda is not installed"
    )


def test_a_card_on_the_bus_counts_without_a_driver(root):
    plug_in(root, "0000:01:00.0", "0x10de", "0x030200")
    plug_in(root, "0000:01:00.1", "0x10de", "0x040300")  # the sound of a graphics card
    plug_in(root, "0000:02:00.0", "0x8086", "0x020000")
    (hint,) = list(hardware_checks(root, {"deepseek-fpga", "pocl-binary-distribution"}))[1:]
    assert hint.message == (
        "an NVIDIA GPU is present (PCI 0000:01:00.0) but deepseek-cuda is not installed"
    )
    (lost,) = list(hardware_checks(root, {"deepseek-cuda"}))[1:]
    assert lost.message == "an NVIDIA GPU is present (PCI 0000:01:00.0) but has no driver"
    (root / "dev/nvidia0").touch()
    assert len(list(hardware_checks(root, {"deepseek-cuda"}))) == 1
    assert len(list(hardware_checks(root, set()))) == 2, "one hint, not one for each trace of it"


def test_a_board_on_the_bus_is_named(root):
    plug_in(root, "0000:03:00.0", "0x10ee", "0x120000")
    assert summary(root)[1] == ("hardware", "warn", install_command("deepseek-fpga"))


def test_a_vendor_file_without_its_library_is_told(root):
    file = root / "etc/OpenCL/vendors/Gone.icd"
    file.write_text(f"{root}/libGone.so\n")
    assert summary(root, "deepseek-fpga")[1] == ("opencl", "warn", f"rm {file}")
    (root / "libGone.so").touch()
    assert len(summary(root, "deepseek-fpga")) == 1


def test_opencl_and_its_plugin_belong_together(root):
    assert summary(root) == [("opencl", "ok", None)]
    pocl = f"{install_command('deepseek-fpga', 'pocl')} (or apt-get install pocl-opencl-icd)"
    assert summary(root, "deepseek-fpga") == [("opencl", "warn", pocl)]
    (root / "etc/OpenCL/vendors/pocl.icd").touch()
    assert summary(root, "deepseek-fpga") == [("opencl", "ok", None)]
    assert summary(root) == [("opencl", "warn", install_command("deepseek-fpga"))]


CHECK_HOOKS = """
from deepseek_core import CheckSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_checks)
def checks(ctx):
    names = ("firmware", "raises", "hangs", "dies", "lies", "silent")
    made = [CheckSpec(name=name, run=f"{module}.device:{name}") for name in names]
    return [*made, CheckSpec(name="needy", run="a.b:c", requires=["nothing_x"])]
"""
CHECKS = """
import os, time
from deepseek_core import Finding

def firmware():
    print("noise")
    yield Finding(status="warn", text="firmware 3 is old", remedy="flash-board")
    yield Finding(status="ok", text="the board answers")

def raises():
    raise OSError("no permission")

def hangs():
    time.sleep(600)

def dies():
    os.abort()

def lies():
    return ["fine"]

def silent():
    return []
"""


def test_doctor_runs_what_plugins_check_and_survives_it(tmp_path, env):
    zoo.install(tmp_path, "board", hooks=CHECK_HOOKS, probe=CHECKS)
    env |= {"DEEPSEEK_PLUGINS": "board", "DEEPSEEK_PROBE_TIMEOUT": "3"}
    process = zoo.ds_sdk("doctor", "--json", "--strict", path=[tmp_path], env=env)
    assert process.returncode == 1, process.stdout + process.stderr
    found = {}
    for check in json.loads(process.stdout)["checks"]:
        found.setdefault(check["name"], []).append(
            (check["status"], check["message"], check["remedy"])
        )
    remedy = "pip install -U zoo-board (or DEEPSEEK_DISABLE_PLUGINS=board)"
    assert found["board firmware"] == [
        ("warn", "firmware 3 is old", "flash-board"),
        ("ok", "the board answers", None),
    ]
    assert found["board raises"] == [("fail", "the check raised OSError: no permission", remedy)]
    assert found["board hangs"] == [
        ("fail", "the check did not answer in 3 s and was killed", remedy)
    ]
    assert found["board dies"] == [("fail", "the check crashed with SIGABRT", remedy)]
    lie = "the check raised TypeError: the check must return Finding rows, not str"
    assert found["board lies"] == [("fail", lie, remedy)]
    assert found["board silent"] == [("ok", "nothing found", None)]
    assert found["board needy"] == [
        (
            "warn",
            "needs nothing_x, not installed",
            "see the documentation of zoo-board for what brings nothing_x",
        )
    ]


def test_an_editable_install_whose_sources_are_gone_is_told(tmp_path, env):
    folder = zoo.install(tmp_path / "site", "well")
    origin = {"url": (tmp_path / "gone").as_uri(), "dir_info": {"editable": True}}
    (folder / "zoo_well-1.0.0.dist-info/direct_url.json").write_text(json.dumps(origin))
    process = zoo.ds_sdk("doctor", "--json", "--no-load", path=[folder], env=env)
    assert checks_of(process)["editable"]["remedy"] == "pip uninstall -y zoo-well"


SYSTEM = Path("/usr/bin/python3")


@pytest.mark.skipif(
    not SYSTEM.exists() or SYSTEM.resolve() == Path(sys.executable).resolve(),
    reason="there is no other Python of the system",
)
def test_the_systems_own_python_raises_no_alarm(tmp_path, env):
    """Debian's packages leave metadata of their own kinds: folders without a version, files."""
    asked = "import sys; print(*sys.version_info[:2])"
    told = subprocess.run([SYSTEM, "-c", asked], capture_output=True, text=True, check=True)
    if tuple(map(int, told.stdout.split())) < (3, 11):
        pytest.skip("it is too old")
    for module in (attr, attrs, pluggy):
        package = Path(module.__file__).parent
        shutil.copytree(package, tmp_path / "site" / package.name)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    process = subprocess.run(
        [SYSTEM, "-P", "-m", "deepseek_core", "doctor", "--json"],
        env=variables | env | {"PYTHONPATH": f"{zoo.SOURCES}{os.pathsep}{tmp_path / 'site'}"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    checks = json.loads(process.stdout)["checks"]
    told = [c for c in checks if c["name"] in ("python", "versions", "leftover", "editable")]
    assert {check["status"] for check in told} == {"ok"}, told
