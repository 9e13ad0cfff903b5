"""The start-up budget, in fresh interpreters: few modules and none that is heavy."""

import json
import os
import subprocess
import sys

import plugin_zoo as zoo
import pytest

from deepseek_core.discovery.modules import HEAVY

MOST_MODULES = 220
FORBIDDEN = HEAVY | {"rich", "importlib.metadata", "logging", "asyncio", "subprocess", "tempfile"}
RECOVERY = [["--help"], ["--version"], ["list-plugins", "--no-load"]]

CODE = """
import json, os, sys
from deepseek_core.cli import main
code = main({words})
names = sorted(sys.modules)
with open(os.environ["REPORT"], "w") as file:
    json.dump([code, names], file)
"""


def modules_after(words, tmp_path, path=()):
    report = tmp_path / "report.json"
    code = CODE.replace("{words}", repr(words)).replace("import json, os, sys", "import os, sys")
    code = code.replace("with open", "import json\nwith open")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, [*path, zoo.SOURCES])),
        "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
        "REPORT": str(report),
    }
    subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=environment, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    exit_code, names = json.loads(report.read_text())
    assert exit_code == 0
    return set(names)


@pytest.mark.parametrize(
    "words", [*RECOVERY, ["list-plugins"], ["list-plugins", "--json"], ["--help", "--debug"]]
)
def test_few_modules_and_none_heavy(words, tmp_path):
    zoo.install(tmp_path, "well")
    names = modules_after(words, tmp_path, [tmp_path])
    assert len(names) <= MOST_MODULES
    assert not names & FORBIDDEN


def test_the_budget_holds_with_twenty_plugins(tmp_path):
    for number in range(20):
        zoo.install(tmp_path, f"light_{number}")
    names = modules_after(["list-plugins"], tmp_path, [tmp_path])
    mine = {name for name in names if name.startswith("zoo_")}
    assert len(mine) == 40
    assert len(names - mine) <= MOST_MODULES - 4


@pytest.mark.parametrize("words", RECOVERY)
def test_recovery_commands_import_no_plugin(words, tmp_path):
    zoo.install(tmp_path, "well")
    names = modules_after(words, tmp_path, [tmp_path])
    assert not any(name.startswith(("zoo_", "pluggy")) for name in names)


def test_the_face_loads_nothing_until_it_is_used():
    code = "import sys, deepseek_core; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(zoo.SOURCES)}
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    ours = {name for name in process.stdout.split() if name.startswith("deepseek_core")}
    assert ours == {"deepseek_core"}
