"""Two type checkers find what a plugin's author got wrong, and nothing else."""

import json
import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import deepseek_core

SAMPLES = Path(__file__).parent / "typing_samples"
MISTAKES = (
    "wrong argument type",
    "wrong return type",
    "missing argument",
    "extra argument",
    "record of another hook",
    "no such hook",
    "a name where the hook itself is wanted",
)
CORE = Path(deepseek_core.__file__).parents[2]
ROOT = CORE.parent
PROJECTS = sorted(
    file.parent
    for pattern in ("core/", "plugins/*/", "examples/plugins/*/")
    for file in ROOT.glob(pattern + "pyproject.toml")
)
BESIDE = ("deepseek-openvino",)  # in an environment of its own: make providers


def checked(*command, sources):
    """What a type checker prints about sources that see the installed packages."""
    process = subprocess.run(
        [*command, *map(str, sources)],
        cwd=SAMPLES, capture_output=True, text=True, check=False, timeout=300,
        env=os.environ | {"MYPYPATH": str(CORE / "src")},
    )  # fmt: skip
    assert process.returncode in (0, 1), process.stderr
    return process.stdout


def mypy_errors(*sources):
    """`(file name, line)` of each error of `mypy --strict`."""
    # A cache of its own: with other options, that of `make lint` would be made anew each time.
    output = checked(
        sys.executable, "-m", "mypy", "--strict", "--config-file=", "--output=json",
        f"--cache-dir={ROOT / '.mypy_cache' / 'samples'}", sources=sources,
    )  # fmt: skip
    found = [json.loads(line) for line in output.splitlines() if line]
    return {(Path(e["file"]).name, e["line"]) for e in found if e["severity"] == "error"}


def basedpyright_errors(*sources, tmp_path):
    """`(file name, line)` of each error of basedpyright in strict mode."""
    config = tmp_path / "pyrightconfig.json"
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(CORE / "src")]}
    config.write_text(json.dumps(settings | {"include": list(map(str, sources))}))
    output = checked(
        sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable,
        "--project", str(config), sources=[],
    )  # fmt: skip
    answer = json.loads(output)
    assert answer["summary"]["filesAnalyzed"] == len(sources)
    return {
        (Path(d["file"]).name, d["range"]["start"]["line"] + 1)
        for d in answer["generalDiagnostics"]
        if d["severity"] == "error"
    }


def marked_lines():
    """Line number -> mistake, as the bad sample says itself."""
    lines = (SAMPLES / "bad.py").read_text().splitlines()
    return {
        number: line.partition("# mistake: ")[2]
        for number, line in enumerate(lines, 1)
        if "# mistake: " in line
    }


@pytest.fixture(params=["mypy", "basedpyright"])
def errors_of(request, tmp_path):
    """One of the two type checkers."""
    if request.param == "mypy":
        return mypy_errors
    return lambda *sources: basedpyright_errors(*sources, tmp_path=tmp_path)


def test_seven_of_seven_seeded_mistakes_are_found_each_on_its_line(errors_of):
    assert tuple(marked_lines().values()) == MISTAKES
    assert errors_of(SAMPLES / "bad.py") == {("bad.py", line) for line in marked_lines()}


def test_a_plugin_without_a_mistake_is_clean(errors_of):
    assert errors_of(SAMPLES / "good.py") == set()


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.name)
def test_every_distribution_ships_its_types(project):
    """`py.typed` stands in the package, and the wheel is told to take the whole package."""
    table = tomllib.loads((project / "pyproject.toml").read_text())
    packages = table["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages
    for package in packages:
        assert (project / package / "py.typed").is_file()
        if table["project"]["name"] in BESIDE:
            assert (project / package / "hooks.py").is_file()
        else:
            assert find_spec(Path(package).name) is not None
