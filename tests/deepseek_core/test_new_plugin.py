"""New plugins: each kind is made, installed and conforms, offline and without an edit."""

import ast
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import deepseek_core
from deepseek_core.cli import main
from deepseek_core.cli.scaffold.kinds import KINDS
from deepseek_core.discovery.owners import OWNERS

CORE = Path(deepseek_core.__file__).parents[2]
MOST_LINES = 61  # of code in the module that does the work
OFFLINE = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
TREE = """
acme-device/
  .github/
    workflows/
      ci.yml
  .gitignore
  README.md
  pyproject.toml
  src/
    acme_device/
      __init__.py
      conformance.py
      device.py
      hooks.py
      py.typed
  tests/
    test_conformance.py

next:
  pip install -e './acme-device[test]'
  ds-sdk check-plugin acme_device
  pytest acme-device
"""


def name_of(kind, first="acme"):
    return f"{first}_{kind.replace('-', '_')}"


def make(folder, first="acme"):
    """One plugin of each kind; kind -> its folder."""
    made = {kind: folder / f"{first}-{kind}" for kind in KINDS}
    for kind, place in made.items():
        assert main(["new-plugin", kind, name_of(kind, first), "--folder", str(place)]) == 0
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Kind -> folder of its plugin."""
    return make(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def python(made, tmp_path_factory):
    """An interpreter of its own, with the packages of this one and the plugins made."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    ours = sysconfig.get_paths()["purelib"]
    Path(paths["purelib"], "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", *OFFLINE,
         *map(str, made.values())],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return python


def ds_sdk(python, *words, cwd, **environment):
    """Run a command of the SDK in the new environment."""
    return subprocess.run(
        [str(python), "-P", "-m", "deepseek_core", *map(str, words)],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"DEEPSEEK_CACHE_DIR": str(cwd / "cache"), **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def checks(python, tmp_path_factory):
    """Kind -> what `check-plugin` will answer; two run at a time."""
    folder = tmp_path_factory.mktemp("checks")
    with ThreadPoolExecutor(2) as pool:
        yield {
            kind: pool.submit(ds_sdk, python, "check-plugin", name_of(kind), "--json", cwd=folder)
            for kind in KINDS
        }


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_conforms_without_an_edit(kind, checks):
    process = checks[kind].result()
    assert process.returncode == 0, process.stdout + process.stderr
    report = json.loads(process.stdout)
    assert report["passed"]
    assert report["counts"]["passed"] > 15
    assert {rule["outcome"] for rule in report["rules"]} <= {"passed", "skipped"}


def test_all_are_listed_as_available(python, tmp_path):
    process = ds_sdk(python, "list-plugins", "--json", "--strict", "--probe", cwd=tmp_path)
    rows = {row["name"]: row for row in json.loads(process.stdout)["plugins"]}
    mine = [rows[name_of(kind)] for kind in KINDS]
    assert process.returncode == 0
    assert {row["status"] for row in mine} == {"available"}
    assert not any(row["heavy_modules"] for row in mine)


def affine_model(weight, bias):
    """An ONNX model: Relu(x W + b)."""
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in zip("xy", weight.shape, strict=True)
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["s"]),
        helper.make_node("Relu", ["s"], ["y"]),
    ]
    weights = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")]
    graph = helper.make_graph(nodes, "affine", [x], [y], weights)
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)


def test_ds_sdk_run_places_a_stage_on_the_new_device(python, tmp_path):
    weight = np.array([[1, -1], [2, 3]], np.float32)
    bias = np.array([0.5, -10], np.float32)
    onnx.save(affine_model(weight, bias), tmp_path / "model.onnx")
    x = np.arange(8, dtype=np.float32).reshape(4, 2)
    np.savez(tmp_path / "x.npz", x=x)
    process = ds_sdk(
        python, "run", "model.onnx", "--input", "x.npz", "--output", "y.npz",
        "--device", "acme_device:0", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    (devices,) = json.loads(process.stdout)["ran_on"].values()
    assert devices == ["acme_device:0"]
    with np.load(tmp_path / "y.npz") as y:
        np.testing.assert_array_equal(y["y"], np.maximum(x @ weight + bias, 0))


def test_ds_sdk_run_reads_a_model_through_the_new_frontend(python, tmp_path):
    weight, bias = np.array([[1, 2], [3, 4]], np.float32), np.array([1, -1], np.float32)
    np.savez(tmp_path / "model.npz", weight=weight, bias=bias)
    x = np.array([[1, 1], [2, 0]], np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    process = ds_sdk(
        python, "run", "model.npz", "--input", "x.npz", "--output", "y.npz", "--json", cwd=tmp_path
    )
    assert process.returncode == 0, process.stderr
    with np.load(tmp_path / "y.npz") as y:
        np.testing.assert_allclose(y["y"], x @ weight + bias)


def test_the_new_command_prints_lines_or_json(python, tmp_path):
    lines = ds_sdk(python, "acme-command", cwd=tmp_path)
    found = json.loads(ds_sdk(python, "acme-command", "--json", tmp_path, cwd=tmp_path).stdout)
    assert list(found) == ["cores", "memory_bytes", "disk_free_bytes"]
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert [line.split()[0] for line in lines.stdout.splitlines()] == list(found)
    refused = ds_sdk(python, "acme-command", "nowhere", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == "error: no such folder: nowhere\nfix: check the path\n"


def test_its_own_tests_pass(python, made):
    process = subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(made["strategy"])],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert process.returncode == 0, process.stdout
    assert " passed" in process.stdout


def run_tool(*command, cwd):
    process = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"MYPYPATH": str(CORE / "src")},
    )  # fmt: skip
    assert process.returncode == 0, process.stdout + process.stderr


def test_the_generated_code_passes_mypy_strict(made):
    sources = [folder / "src" for folder in made.values()]
    cache = CORE.parent / ".mypy_cache" / "samples"
    run_tool("mypy", "--strict", "--config-file=", f"--cache-dir={cache}", *sources, cwd=CORE)


@pytest.mark.parametrize("first", ["a", "acme", "acme_vision_and_language"])
def test_the_generated_code_is_formatted_and_clean_whatever_its_name(first, tmp_path):
    for folder in make(tmp_path, first).values():
        assert "ruff" in tomllib.loads((folder / "pyproject.toml").read_text())["tool"]
    run_tool("ruff", "format", "--check", "--no-cache", tmp_path, cwd=tmp_path)
    run_tool("ruff", "check", "--no-cache", tmp_path, cwd=tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_the_generated_code_is_short_and_documented(kind, made):
    package = made[kind] / "src" / name_of(kind)
    assert code_lines(package / f"{KINDS[kind].module}.py") <= MOST_LINES
    assert code_lines(package / "hooks.py") <= 17
    for file in package.glob("*.py"):
        tree = ast.parse(file.read_text())
        assert ast.get_docstring(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) or is_public_function(node):
                assert ast.get_docstring(node), f"{file.name}: {node.name}"


def is_public_function(node):
    return isinstance(node, ast.FunctionDef) and not node.name.startswith("_")


def code_lines(file):
    """Lines that are neither blank nor comment nor docstring."""
    text = file.read_text()
    told = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            told.update(range(node.lineno, node.end_lineno + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(bool(line.split("#")[0].strip()) and number not in told for number, line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_its_metadata_bounds_the_core_and_names_the_entry_point(kind, made):
    project = tomllib.loads((made[kind] / "pyproject.toml").read_text())["project"]
    assert project["name"] == f"acme-{kind}"
    assert project["dependencies"][0] == "deepseek-core>=0.1,<0.2"
    assert project["entry-points"] == {
        "deepseek_sdk.plugins.v1": {name_of(kind): f"{name_of(kind)}.hooks"}
    }
    assert project["authors"] == [{"name": f"The authors of acme-{kind}"}]


def test_nothing_of_a_template_is_left_unfilled(made):
    for folder in made.values():
        files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc")
        for file in files:
            text = file.read_text().replace("${{ matrix.python }}", "")
            assert "$" not in text, file


def test_it_prints_the_tree_and_the_next_three_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new-plugin", "device", "acme_device"]) == 0
    assert capsys.readouterr().out == TREE.lstrip()


def test_folder_dist_and_author_are_the_users(tmp_path, capsys):
    words = ["--folder", str(tmp_path / "here"), "--dist", "Acme.Tools", "--json"]
    assert main(["new-plugin", "command", "flash", *words, "--author", 'Ada "A" Lovelace']) == 0
    answer = json.loads(capsys.readouterr().out)
    project = tomllib.loads((tmp_path / "here" / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["authors"]) == ("Acme.Tools", [{"name": 'Ada "A" Lovelace'}])
    assert sorted(answer["files"]) == sorted(
        str(file.relative_to(tmp_path / "here"))
        for file in (tmp_path / "here").rglob("*")
        if file.is_file()
    )
    assert len(answer["next"]) == 3


def test_a_folder_with_files_is_refused_unless_forced(tmp_path, capsys):
    note = tmp_path / "notes.txt"
    note.write_text("mine")
    words = ["new-plugin", "strategy", "acme_zero", "--folder", str(tmp_path)]
    assert main(words) == 2
    assert "is not empty\nfix: choose another --folder, or pass --force" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [note]
    assert main([*words, "--force"]) == 0
    assert note.read_text() == "mine"
    assert (tmp_path / "src" / "acme_zero" / "strategy.py").is_file()


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("device", "Acme-NPU", "underscores: acme_npu"),
        ("device", "3d", "underscores: d"),
        ("device", "_", "underscores: acme_npu"),
        ("device", "json", "would hide a name of Python"),
        ("device", "class", "would hide a name of Python"),
        ("device", "numpy", "is installed already"),
        ("device", "deepseek_npu", "is taken"),
        ("command", "doctor", "ds-sdk has a command 'doctor' of its own"),
        ("command", "list_plugins", "ds-sdk has a command 'list-plugins' of its own"),
        *(("device", name, "is taken") for name, _dist in OWNERS),
    ],
)
def test_a_bad_name_is_refused_in_words(kind, name, said, tmp_path, capsys):
    assert main(["new-plugin", kind, name, "--folder", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "\nfix: " in error
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("dist", ["deepseek-npu", "DeepSeek_X", "deepseek", "a b", "-a", "a/b"])
def test_a_bad_distribution_is_refused(dist, tmp_path, capsys):
    words = ["--folder", str(tmp_path / "new"), f"--dist={dist}"]
    assert main(["new-plugin", "device", "acme_npu", *words]) == 2
    assert not (tmp_path / "new").exists()
    assert "fix: " in capsys.readouterr().err


def test_a_place_that_can_not_be_written_is_told(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main(["new-plugin", "device", "acme_npu", "--folder", str(folder)]) == 2
        assert "choose another --folder" in capsys.readouterr().err


def test_the_templates_travel_in_the_wheel(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=CORE, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    templates = CORE / "src" / "deepseek_core" / "cli" / "scaffold" / "templates"
    mine = {str(f.relative_to(CORE / "src")) for f in templates.rglob("*.tmpl")}
    assert len(mine) == 6 + 3 * len(KINDS) + 3  # an application has modules of its own
    assert mine <= names
