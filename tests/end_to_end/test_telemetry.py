"""Nothing reports home: a private cache folder stays without the queue of ONNX Runtime."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

ROOT = Path(__file__).parents[2]
VARIABLE = "ORT_DISABLE_TELEMETRY"
SESSION = """
from deepseek_core import Session
with Session() as session:
    plan = session.plan(session.load("tiny.onnx"), batch=2)
    print(plan.devices)
"""
STRANGER = """
import onnxruntime
from deepseek_core import CheckSpec, Finding, hookimpl, hooks

@hookimpl(hooks.ds_register_checks)
def checks(ctx):
    return [CheckSpec(name="fine", run="zoo_ort:check")]

def check():
    return [Finding(status="ok", text=onnxruntime.__version__)]
"""


@pytest.fixture
def home(tmp_path):
    """A folder with a model, an input and a plugin that imports ONNX Runtime itself."""
    node = helper.make_node("Relu", ["x"], ["y"])
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3]) for n in "xy")
    opset = [helper.make_opsetid("", 17)]
    graph = helper.make_graph([node], "tiny", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "tiny.onnx")
    np.savez(tmp_path / "x.npz", x=np.ones((2, 3), np.float32))
    info = tmp_path / "site/zoo_ort-1.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site/zoo_ort.py").write_text(STRANGER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-ort\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[deepseek_sdk.plugins.v1]\nzoo_ort = zoo_ort\n")
    return tmp_path


def run(home, *words, **more):
    """Run Python there, with every folder that a library may write to inside of it."""
    ours = ("DEEPSEEK_", "ORT_", "XDG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    env = kept | dict.fromkeys(names, str(home / "private")) | {"TMPDIR": str(home)} | more
    process = subprocess.run(
        [sys.executable, *words], cwd=home, env=env, capture_output=True, text=True, check=False
    )
    assert process.returncode in (0, 1), process.stdout + process.stderr
    return process


def queued(home):
    """What the library left there."""
    files = [path for path in home.rglob("*") if "onnxruntime" in str(path.relative_to(home))]
    return sorted(path.name for path in files if path.suffix == ".db" or path.name == "deviceid")


# Nor does a test send anything: where the library may report, it reaches nobody.
ALLOWED = {VARIABLE: "0", "HTTPS_PROXY": "http://127.0.0.1:9", "SSL_CERT_FILE": os.devnull}


@pytest.fixture
def reporting(home):
    """Skips what can't fail: a build that would not report at all."""
    run(home, "-c", "import onnxruntime", **ALLOWED)
    if not queued(home):
        pytest.skip("this build of onnxruntime has no telemetry")
    for path in sorted((home / "private").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    "words",
    [
        ["devices"],
        ["plan", "tiny.onnx"],
        ["run", "tiny.onnx", "--input", "x.npz"],
        ["list-plugins", "--probe"],
        ["doctor"],
        ["plugin-info", "cpu_onnx"],
        ["check-plugin", "cpu_onnx", "--group", "plugin"],
    ],
    ids=lambda words: words[0],
)
def test_no_command_leaves_a_queue(words, home, reporting):
    run(home, "-m", "deepseek_core", *words, PYTHONPATH=str(home / "site"))
    assert queued(home) == []


def test_a_session_in_a_process_of_the_users_leaves_none(home, reporting):
    process = run(home, "-c", SESSION)
    assert "onnx:cpu" in process.stdout, process.stderr
    assert queued(home) == []


def test_whoever_sets_the_variable_keeps_its_value(home, reporting):
    code = f"import os, deepseek_onnx.device; print(os.environ[{VARIABLE!r}])"
    assert run(home, "-c", code, **ALLOWED).stdout == "0\n"
    assert queued(home) != []
    assert run(home, "-c", code).stdout == "1\n"


@pytest.mark.parametrize("folder", ["core", "plugins", "examples", "benchmarks"])
def test_one_module_alone_imports_the_library(folder):
    sources = {file: ast.parse(file.read_text()) for file in (ROOT / folder).rglob("*.py")}
    importing = {
        file.name
        for file, source in sources.items()
        for node in ast.walk(source)
        if any(name.split(".")[0] == "onnxruntime" for name in imported_by(node))
    }
    assert importing <= {"ort.py"}


def imported_by(node):
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
