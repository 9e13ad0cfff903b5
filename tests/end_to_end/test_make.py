"""`make` as CONTRIBUTING has it: its targets are listed, and each package's tests have one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*words):
    """What `make` would do, with the environment taken as installed."""
    return subprocess.run(
        ["make", "--no-print-directory", "-o", "install-dev", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_every_package_has_its_tests_by_module_by_folder_and_by_distribution():
    for source in sorted(ROOT.glob("plugins/*/src/deepseek_*")):
        folder, module = source.parents[1].name, source.name
        for name in (folder, module, module.replace("_", "-"), module.removeprefix("deepseek_")):
            done = make("--dry-run", f"test-{name}")
            assert done.stdout.endswith(f"pytest -q tests/{module}\n"), (name, done.stderr)
    assert make("-n", "test-core").stdout.endswith("pytest -q tests/deepseek_core\n")
    assert make("-n", "test-docs").stdout.endswith("pytest -q tests/docs\n")


def test_a_name_that_is_none_is_told_which_there_are():
    done = make("test-shop")
    assert done.returncode
    assert "deepseek_store" in done.stdout
    assert "pytest" not in done.stdout


def test_help_lists_every_target_that_contributing_names():
    listed = {line.split()[0] for line in make("help").stdout.splitlines()}
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = {a or b for a, b in re.findall(r"^ +make ([\w-]+)|`make ([\w-]+)", text, re.M)}
    assert len(named & listed) > 6
    named -= {name for name in named if name.startswith("test-")}
    assert named <= listed


def test_the_files_that_begin_first_are_there():
    (listed,) = re.findall(
        r"^LONG = \((.*?)^\)", (ROOT / "tests/conftest.py").read_text(), re.S | re.M
    )
    names = re.findall(r'"(.+)"', listed)
    assert len(names) > 10
    assert [name for name in names if not (ROOT / "tests" / name).is_file()] == []
    assert "--no-loadscope-reorder" in make("--dry-run", "test").stdout
