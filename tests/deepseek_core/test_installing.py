"""Remedies name commands that are true here, and only names of packages that exist."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import plugin_zoo as zoo
import pytest

from deepseek_core.contracts.errors import ArtifactError, ConfigError
from deepseek_core.discovery.installed import core_version
from deepseek_core.discovery.installing import (
    FOLDERS,
    disable_setting,
    install_command,
    reinstall_command,
    remedy_for_missing,
    remove_command,
    update_command,
)
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.offers import COMMANDS, FORMATS, SCHEMES
from deepseek_core.discovery.registry import Registry, find_frontend
from deepseek_core.discovery.scan import scan
from deepseek_core.discovery.switches import Switches
from deepseek_core.runtime.tiers import open_tier

ROOT = Path(__file__).parents[2]
ONNX = f"deepseek_onnx-{core_version()}-py3-none-any.whl"


def place_core(folder, origin=None):
    """A copy of core in a folder on the path, with what an installer noted of where it is from."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(zoo.SOURCES / "deepseek_core", folder / "deepseek_core", ignore=ignored)
    info = zoo.describe(folder, "deepseek-core", core_version(), "")
    if origin is not None:
        (info / "direct_url.json").write_text(json.dumps(origin))
    return folder


def place_checkout(root):
    """What is looked at in a checkout."""
    for folder in FOLDERS.values():
        (root / folder).mkdir(parents=True)
        (root / folder / "pyproject.toml").write_text("")
    return root


def asked(site, *words):
    """What the core in that folder says of this command."""
    code = "import sys; from deepseek_core.discovery.installing import *; "
    code += "print(globals()[sys.argv[1]](*sys.argv[2:]))"
    process = subprocess.run(
        [sys.executable, "-P", "-c", code, *words],
        env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return process.stdout.strip()


@pytest.mark.parametrize(
    ("origin", "update", "repair"),
    [
        (None, "pip install -U zoo-well", "pip install --force-reinstall zoo-well"),
        (
            {"url": Path("/src/well").as_uri(), "dir_info": {"editable": True}},
            "update /src/well, then pip install -e /src/well",
            "pip install --force-reinstall -e /src/well",
        ),
        (
            {"url": "https://acme.example/zoo_well.whl", "archive_info": {}},
            "pip install -U 'zoo-well @ https://acme.example/zoo_well.whl'",
            "pip install --force-reinstall 'zoo-well @ https://acme.example/zoo_well.whl'",
        ),
    ],
)
def test_what_came_from_an_address_comes_from_there_again(origin, update, repair, tmp_path):
    """On an index, its name may be a stranger's."""
    place_core(tmp_path)
    zoo.install(tmp_path, "well")
    if origin is not None:
        file = tmp_path / "zoo_well-1.0.0.dist-info" / "direct_url.json"
        file.write_text(json.dumps(origin))
    assert asked(tmp_path, "update_command", "zoo-well") == update
    assert asked(tmp_path, "reinstall_command", "zoo-well") == repair


def test_the_table_has_every_distribution_of_the_checkout():
    projects = {
        tomllib.loads(file.read_text())["project"]["name"]: str(file.parent.relative_to(ROOT))
        for pattern in ("core", "plugins/*", "examples/plugins/*")
        for file in ROOT.glob(f"{pattern}/pyproject.toml")
    }
    assert projects == FOLDERS
    assert {*FORMATS.values(), *SCHEMES.values(), *COMMANDS.values()} <= set(FOLDERS)


@pytest.mark.parametrize(
    ("table", "pattern"),
    [(COMMANDS, r'CommandSpec\(\s*name=("\w+")'), (FORMATS, r"formats=[\[(]([^\])]*)[\])]")],
)
def test_the_tables_name_all_that_the_sdks_plugins_bring(table, pattern):
    """Else what a plugin with a wrong setting brings is unknown, and nobody says why."""
    brings = {}
    for hooks in (ROOT / "plugins").glob("*/src/*/hooks.py"):
        project = tomllib.loads((hooks.parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
        for found in re.findall(pattern, hooks.read_text(encoding="utf-8")):
            for name in re.findall(r'"(\w+)"', found):
                brings.setdefault(name, set()).add(project["project"]["name"])
    assert set(brings) == set(table)
    assert all(table[name] in dists for name, dists in brings.items())


def test_from_a_checkout_the_folder_there_is_named(tmp_path):
    assert install_command("deepseek-onnx") == f"pip install {ROOT}/plugins/cpu_onnx"
    root = place_checkout(tmp_path / "my sdk")
    site = place_core(root / "core/src")
    assert asked(site, "install_command", "deepseek-fpga", "pocl") == (
        f"pip install '{root}/plugins/fpga_opencl[pocl]'"
    )
    assert asked(site, "update_command", "deepseek-core") == (
        f"update '{root}', then pip install '{root}/core'"
    )


def test_a_core_that_was_installed_from_a_checkout_names_it_too(tmp_path):
    root = place_checkout(tmp_path / "sdk")
    site = place_core(tmp_path / "site", {"url": (root / "core").as_uri(), "dir_info": {}})
    assert asked(site, "install_command", "deepseek-store") == f"pip install {root}/plugins/store"


def test_from_a_folder_of_wheels_the_wheel_there_is_named(tmp_path):
    dist = tmp_path / "wheels & more"
    dist.mkdir()
    (dist / ONNX).touch()
    wheel = (dist / ONNX.replace("onnx", "core")).as_uri()
    site = place_core(tmp_path / "site", {"url": wheel, "archive_info": {}})
    assert asked(site, "install_command", "deepseek-onnx") == (
        f"pip install --find-links '{dist}' '{dist}/{ONNX}'"
    )
    assert asked(site, "install_command", "deepseek-fpga") == (
        "in a checkout of the SDK: pip install ./plugins/fpga_opencl"
    ), "there is no wheel of it"


@pytest.mark.parametrize(
    "origin",
    [None, {}, {"url": "https://example.org/deepseek_core.whl"}, {"url": 7}, {"url": ""}, [],
     {"url": "core", "dir_info": 3}, {"url": Path("/nowhere/core").as_uri(), "dir_info": {}}],
)  # fmt: skip
def test_from_anywhere_else_a_checkout_is_needed(origin, tmp_path):
    site = place_core(tmp_path / "site", origin)
    assert asked(site, "install_command", "deepseek-onnx") == (
        "in a checkout of the SDK: pip install ./plugins/cpu_onnx"
    )
    assert asked(site, "install_command", "deepseek-store", "postgres") == (
        "in a checkout of the SDK: pip install './plugins/store[postgres]'"
    )
    assert asked(site, "update_command", "deepseek-core") == (
        "in a newer checkout of the SDK: pip install ./core"
    )


def test_names_of_others_stay_plain_and_what_is_none_reaches_no_command():
    assert update_command("Acme.NPU") == "pip install -U Acme.NPU"
    assert remove_command("deepseek-fpga") == "pip uninstall deepseek-fpga"
    for name in ("", "a b", "x;id", "-r x", "\x1b[31m", "x\n", "@"):
        for command in (update_command, reinstall_command, remove_command):
            assert command(name) == "remove it by hand: its distribution has no valid name"
    assert reinstall_command("deepseek-onnx") == (
        f"pip install --force-reinstall --no-deps {ROOT}/plugins/cpu_onnx"
    )
    assert disable_setting("my npu;id") == "DEEPSEEK_DISABLE_PLUGINS='my npu;id'"


REQUIRES = """Requires-Dist: zz-driver>=1,<2; python_version > "3"
Requires-Dist: Zoo.Tool [extra] (>1)
Requires-Dist: zz_linked @ https://example.org/zz.whl
Requires-Dist: deepseek-ray
Requires-Dist: deepseek-store
"""


@pytest.mark.parametrize(
    ("modules", "remedy"),
    [
        (["sklearn.svm"], "pip install scikit-learn"),
        (["numpy", "PIL"], "pip install numpy pillow"),
        (["zz_driver"], "pip install zz-driver"),
        (["zoo_tool.inner", "torch"], "pip install Zoo.Tool torch"),
        (["deepseek_store", "numpy"], f"pip install {ROOT}/plugins/store and pip install numpy"),
        (["zz_linked"], "see the documentation of zoo-needy for what brings zz_linked"),
        (["deepseek_slurm"], "see the documentation of zoo-needy for what brings deepseek_slurm"),
        (["evil", "numpy"], "see the documentation of zoo-needy for what brings evil"),
        (["x; rm -rf ~"], "see the documentation of zoo-needy for what brings x; rm -rf ~"),
    ],
)
def test_a_package_is_named_for_a_module_only_if_it_is_known(
    modules, remedy, monkeypatch, tmp_path
):
    info = zoo.describe(tmp_path, "zoo-needy", "1", "")
    (info / "METADATA").write_text((info / "METADATA").read_text() + REQUIRES)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert remedy_for_missing(modules, "zoo-needy") == remedy


@pytest.mark.parametrize("missing", ["evil_pkg", "x-y; id", ""])
def test_a_plugin_cant_have_us_recommend_a_package_by_the_module_it_lacks(
    missing, monkeypatch, tmp_path
):
    hooks = f"raise ModuleNotFoundError('no', name={missing!r})\n"
    monkeypatch.syspath_prepend(str(zoo.install(tmp_path, "bad", hooks=hooks)))
    (row,) = discover(Switches(), entry_points=scan([str(tmp_path)])).plugins
    assert "pip install evil" not in row.remedy and "pip install x" not in row.remedy
    assert "pip uninstall zoo-bad" in row.remedy


@pytest.mark.parametrize("format", ["xyz", "onnx2", "sdk", "core", "x; id", "fpga"])
def test_what_a_user_types_is_no_package(format):
    with pytest.raises(ArtifactError) as caught:
        find_frontend(Registry(plugins=(), switches=Switches()), format)
    assert "pip install" not in str(caught.value)
    with pytest.raises(ConfigError) as refused:
        open_tier(f"{format}://x", registry=Registry(plugins=(), switches=Switches()))
    assert "pip install" not in str(refused.value)
    assert "pip install" not in zoo.ds_sdk("storr" + format).stderr


def test_what_ours_reads_and_opens_is_told_with_the_command():
    empty = Registry(plugins=(), switches=Switches())
    with pytest.raises(ArtifactError) as caught:
        find_frontend(empty, "onnx")
    assert caught.value.remedy == f"pip install {ROOT}/plugins/cpu_onnx"
    with pytest.raises(ConfigError) as refused:
        open_tier("s3://bucket", registry=empty)
    assert refused.value.remedy == f"pip install {ROOT}/plugins/storage_s3"


def test_what_ours_would_read_if_it_were_not_switched_off_says_that():
    registry = discover(Switches(disable=("cpu_onnx",)))
    with pytest.raises(ArtifactError, match="plugin 'cpu_onnx' of deepseek-onnx is disabled") as e:
        find_frontend(registry, "onnx")
    assert e.value.remedy == "take 'cpu_onnx' out of argument disable"


def test_a_command_of_ours_that_is_not_installed_is_told_with_the_command():
    process = zoo.ds_sdk("--disable-plugins", "store", "store", "ls")
    assert process.returncode == 2
    assert "plugin 'store' of deepseek-store is disabled" in process.stderr


# Editable ones, and those out of a folder of wheels, come from no index.
NAMED = re.compile(r"pip install (?!-e |--no-index )[^\n|]*\bdeepseek-[a-z]")


@pytest.mark.parametrize("folder", ["core", "plugins", "examples", "benchmarks", "sdk_docs"])
def test_no_source_and_no_page_tells_to_install_ours_from_an_index(folder):
    files = [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.md")]
    found = {str(f.relative_to(ROOT)): m[0] for f in files if (m := NAMED.search(f.read_text()))}
    assert not found


def test_restoring_asks_no_index_for_ours(tmp_path):
    (tmp_path / "export.txt").write_text("deepseek-cuda==9.9\n")
    words = ["plugins", "restore", str(tmp_path / "export.txt")]
    process = zoo.ds_sdk(*words, env={"PYTHONWARNINGS": "default"})
    assert process.returncode == 2
    assert "deepseek-cuda==9.9: deepseek-cuda is on no public index yet" in process.stderr
