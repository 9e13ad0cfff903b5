"""The release as users get it: what is in the files, and the files alone in a fresh environment."""

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
VERSION = (ROOT / "VERSION").read_text().strip()
PROJECTS = [
    file.parent
    for pattern in ("core", "plugins/*", "examples/plugins/*")
    for file in sorted(ROOT.glob(f"{pattern}/pyproject.toml"))
]
MOST_MODULES = 220
NULL = ROOT / "examples" / "plugins" / "null"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def name_of(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"]


def clean_environment(**more):
    """Without what an outer make, pip's settings or the SDK's switches would change."""
    ours = ("MAKE", "MFLAGS", "PIP_", "DEEPSEEK_", "PYTHON", "SOURCE_DATE_EPOCH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"PIP_CONFIG_FILE": os.devnull} | more


def run(*words, cwd=None, **more):
    return subprocess.run(
        list(map(str, words)), cwd=cwd, env=clean_environment(**more),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def make(target, *settings, cwd=ROOT):
    process = run("make", target, f"VENV={sys.prefix}", *settings, cwd=cwd)
    assert process.returncode == 0, process.stdout + process.stderr
    return process


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """All wheels and source distributions, as `make dist` builds them."""
    folder = tmp_path_factory.mktemp("dist")
    make("dist", f"DIST={folder}")
    return folder


def wheel(dist, folder):
    return dist / f"{name_of(folder).replace('-', '_')}-{VERSION}-py3-none-any.whl"


def sdist(dist, folder):
    return dist / f"{name_of(folder).replace('-', '_')}-{VERSION}.tar.gz"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_make_dist_builds_a_wheel_and_a_source_distribution_of_each_package(dist):
    expected = {make_name(dist, f) for f in PROJECTS for make_name in (wheel, sdist)}
    assert set(dist.iterdir()) == expected


def source_files(folder):
    """What belongs to a package's sources: tracked by git, or about to be."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "src", cwd=folder)
    if listed.returncode:
        pytest.skip("this is no git checkout, which alone says what belongs to the tree")
    return {name for name in listed.stdout.splitlines() if (folder / name).is_file()}


@pytest.mark.parametrize("folder", PROJECTS, ids=name_of)
def test_a_source_distribution_has_the_sources_and_nothing_stray(folder, dist):
    prefix = sdist(dist, folder).name.removesuffix(".tar.gz") + "/"
    with tarfile.open(sdist(dist, folder)) as archive:
        names = {member.name.removeprefix(prefix) for member in archive if member.isfile()}
    # hatchling takes .gitignore along, so that a build from there leaves out the same files.
    about = {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert names == source_files(folder) | about


@pytest.mark.parametrize("folder", PROJECTS, ids=name_of)
def test_a_wheel_has_the_package_and_its_license_and_nothing_stray(folder, dist):
    info = f"{name_of(folder).replace('-', '_')}-{VERSION}.dist-info"
    about = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    with zipfile.ZipFile(wheel(dist, folder)) as archive:
        names = set(archive.namelist()) - {f"{info}/entry_points.txt"}
        metadata = archive.read(f"{info}/METADATA").decode()
    assert names == {name.removeprefix("src/") for name in source_files(folder)} | about
    for line in (
        "License-Expression: Apache-2.0",
        "Requires-Python: >=3.11",
        f"Version: {VERSION}",
    ):
        assert f"\n{line}\n" in metadata
    assert str(ROOT) not in metadata


def test_a_build_gives_the_same_bytes_elsewhere_and_later(dist, tmp_path):
    """From a copy in another folder, with other times, modes and order of creation."""
    copy = tmp_path / "a long way from home"
    for path in sorted(NULL.rglob("*"), reverse=True):
        if path.is_file() and "__pycache__" not in path.parts:
            target = copy / path.relative_to(NULL)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            target.chmod(0o600)
            os.utime(target, (1_000_000_000, 1_000_000_000))
    shutil.copyfile(ROOT / ".gitignore", copy / ".gitignore")
    again = tmp_path / "again"
    build = run(sys.executable, "-m", "hatchling", "build", "-d", again, cwd=copy, **epoch())
    assert build.returncode == 0, build.stderr
    for path in (wheel(dist, NULL), sdist(dist, NULL)):
        assert sha256(again / path.name) == sha256(path)


def epoch():
    """The time that `make dist` gives a build."""
    shown = run("make", "--eval", "show: ; @echo $(EPOCH)", "show", cwd=ROOT)
    return {"SOURCE_DATE_EPOCH": shown.stdout.strip()}


def test_a_wheel_from_the_source_distribution_has_the_same_bytes(dist, tmp_path):
    with tarfile.open(sdist(dist, NULL)) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    again = tmp_path / "again"
    words = ("-m", "hatchling", "build", "-t", "wheel", "-d", again)
    build = run(sys.executable, *words, cwd=unpacked, **epoch())
    assert build.returncode == 0, build.stderr
    assert sha256(again / wheel(dist, NULL).name) == sha256(wheel(dist, NULL))


def test_make_version_moves_every_package_and_what_it_needs_of_core(tmp_path):
    for path in [ROOT / "Makefile", ROOT / "VERSION", *(f / "pyproject.toml" for f in PROJECTS)]:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    make("version", "V=3.9.1", cwd=tmp_path)
    assert (tmp_path / "VERSION").read_text() == "3.9.1\n"
    for folder in PROJECTS:
        before = (folder / "pyproject.toml").read_text()
        after = (tmp_path / folder.relative_to(ROOT) / "pyproject.toml").read_text()
        wanted = before.replace(f'version = "{VERSION}"', 'version = "3.9.1"')
        assert after == re.sub('deepseek-core>=[^"]*', "deepseek-core>=3.9,<3.10", wanted)
        assert after != before
    refused = run("make", "version", "V=next", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "pass V=MAJOR.MINOR.PATCH\n")
    assert (tmp_path / "VERSION").read_text() == "3.9.1\n"


def third_party(*folders):
    """The distributions that these packages need, as they are installed here, ours left out."""
    found = {}
    todo = [
        Requirement(text)
        for folder in folders
        for text in tomllib.loads((folder / "pyproject.toml").read_text())["project"][
            "dependencies"
        ]
    ]
    while todo:
        need = todo.pop()
        name = re.sub("[-_.]+", "-", need.name).lower()
        if name in found or name.startswith("deepseek-"):
            continue
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        try:
            found[name] = importlib.metadata.distribution(need.name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{need.name} is not installed here, and no index is asked")
        todo += map(Requirement, found[name].requires or ())
    return found.values()


def link_all(distributions, folder):
    """A folder with these distributions and no other, linked to where they are installed."""
    folder.mkdir()
    for distribution in distributions:
        tops = {file.parts[0] for file in distribution.files or ()}
        for top in tops - {"..", "__pycache__"}:
            (folder / top).symlink_to(distribution.locate_file(top))


@pytest.fixture(scope="module")
def fresh(dist, tmp_path_factory):
    """The bin folder of an environment with the wheels of core and FPGA, and what they need.

    pip takes ours from the folder of wheels alone and checks what is needed of the others, which
    a `.pth` file shows it: those of this interpreter, without torch, onnxruntime and the rest.
    """
    pytest.importorskip("pip", reason="pip, which installs the wheels, is not here")
    home = tmp_path_factory.mktemp("fresh")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(home / "venv")
    link_all(third_party(ROOT / "core", ROOT / "plugins" / "fpga_opencl"), home / "third_party")
    (site,) = (home / "venv").glob("lib/python*/site-packages")
    (site / "third_party.pth").write_text(f"{home / 'third_party'}\n")
    python = home / "venv" / "bin" / "python"
    pip = run(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--find-links",
        dist, "--disable-pip-version-check", "deepseek-core", "deepseek-fpga",
    )  # fmt: skip
    assert pip.returncode == 0, pip.stdout + pip.stderr
    assert f"Successfully installed deepseek-core-{VERSION} deepseek-fpga-{VERSION}" in pip.stdout
    return python.parent


@pytest.fixture
def ds_sdk(fresh, tmp_path):
    """Runs the installed command as a user would, in an empty folder with an empty cache."""

    def call(*words):
        return run(
            fresh / "ds-sdk", *words, cwd=tmp_path, DEEPSEEK_CACHE_DIR=str(tmp_path / "cache"),
            XDG_CONFIG_HOME=str(tmp_path / "config"),
        )  # fmt: skip

    return call


@pytest.mark.parametrize("module", ["torch", "onnx", "onnxruntime", "deepseek_onnx", "rich"])
def test_the_fresh_environment_has_nothing_heavy(module, fresh):
    process = run(fresh / "python", "-c", f"import {module}")
    assert f"No module named '{module}'" in process.stderr


def test_version_from_the_wheels(ds_sdk):
    python = ".".join(map(str, sys.version_info[:3]))
    process = ds_sdk("--version")
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout == f"ds-sdk {VERSION} (Python {python})\n"


def test_list_plugins_strict_from_the_wheels(ds_sdk):
    process = ds_sdk("list-plugins", "--strict", "--json")
    assert (process.returncode, process.stderr) == (0, "")
    (row,) = json.loads(process.stdout)["plugins"]
    assert (row["name"], row["dist"], row["version"]) == ("fpga_opencl", "deepseek-fpga", VERSION)
    assert row["status"] == "available"
    assert ds_sdk("list-plugins", "--strict").stdout.startswith("NAME")


def test_doctor_from_the_wheels_ends_well_and_names_a_remedy_for_what_is_missing(ds_sdk):
    process = ds_sdk("doctor", "--json")
    checks = json.loads(process.stdout)["checks"]
    assert (process.returncode, process.stderr) == (0, "")
    assert [check for check in checks if check["status"] == "fail"] == []
    assert all(check["remedy"] for check in checks if check["status"] != "ok")


def test_the_start_up_budget_holds_for_the_wheels(fresh, tmp_path):
    code = (
        "import sys; from deepseek_core.cli import main; code = main(['list-plugins'])\n"
        "print(code, *sys.modules, file=sys.stderr)"
    )
    process = run(fresh / "python", "-c", code, DEEPSEEK_CACHE_DIR=str(tmp_path))
    code, *modules = process.stderr.split()
    assert code == "0"
    assert len(modules) <= MOST_MODULES
    assert not {"numpy", "pyopencl", "rich"} & set(modules)


def test_the_packages_from_the_wheels_are_typed_and_complete(fresh):
    code = (
        "import importlib.resources as r\n"
        "for p in ('deepseek_core', 'deepseek_fpga'): assert (r.files(p) / 'py.typed').is_file()\n"
        "assert (r.files('deepseek_fpga') / 'matcher.cl').is_file()"
    )
    process = run(fresh / "python", "-c", code)
    assert (process.returncode, process.stderr) == (0, "")
