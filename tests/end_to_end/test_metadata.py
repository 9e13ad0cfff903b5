"""Every distribution says the same of itself, and the root's tooling knows all of them."""

import ast
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSION = (ROOT / "VERSION").read_text().strip()
GROUP = "deepseek_sdk.plugins.v1"
PROJECTS = sorted(
    file.parent
    for pattern in ("core", "plugins/*", "examples/plugins/*")
    for file in ROOT.glob(f"{pattern}/pyproject.toml")
)
PLUGINS = [folder for folder in PROJECTS if folder.name != "core"]
CLASSIFIERS = {
    "Operating System :: POSIX :: Linux",
    "Programming Language :: Python :: 3.11",
    "Typing :: Typed",
}
URLS = {"Homepage", "Documentation", "Source", "Issues", "Changelog"}


def folder_name(folder):
    return str(folder.relative_to(ROOT))


def project_of(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def package_of(folder):
    """The one package under `src`."""
    (package,) = [path for path in (folder / "src").iterdir() if (path / "__init__.py").is_file()]
    return package


def packages():
    return {package_of(folder).name for folder in PROJECTS}


ROOT_TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
each_project = pytest.mark.parametrize("folder", PROJECTS, ids=folder_name)
each_plugin = pytest.mark.parametrize("folder", PLUGINS, ids=folder_name)


def test_the_folders_are_found():
    assert {"core", "cpu_onnx", "fpga_opencl", "null"} <= {folder.name for folder in PROJECTS}


@each_project
def test_the_version_is_that_of_the_version_file(folder):
    assert project_of(folder)["version"] == VERSION


@each_project
def test_distribution_and_module_have_one_name(folder):
    name = project_of(folder)["name"]
    assert re.fullmatch(r"deepseek(-[a-z0-9]+)+", name)
    assert package_of(folder).name == name.replace("-", "_")


@each_plugin
def test_the_entry_points_are_modules_of_the_package(folder):
    points = project_of(folder)["entry-points"]
    assert set(points) - {"fsspec.specs"} == {GROUP}
    assert folder.name in points[GROUP]
    for module in points[GROUP].values():
        package, _, rest = module.partition(".")
        assert package == package_of(folder).name
        assert (package_of(folder) / f"{rest}.py").is_file()


@each_project
def test_license_readme_python_and_build_back_end_are_said(folder):
    project = project_of(folder)
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert project["readme"] == "README.md"
    assert (folder / "README.md").read_text().startswith(f"# {project['name']}\n")
    assert project["requires-python"] == ">=3.11"
    assert 20 <= len(project["description"]) <= 90
    build = tomllib.loads((folder / "pyproject.toml").read_text())["build-system"]
    assert build == {"requires": ["hatchling>=1.26"], "build-backend": "hatchling.build"}


@each_project
def test_urls_are_all_there_or_none_and_lead_somewhere(folder):
    urls = project_of(folder).get("urls", {})
    assert urls == project_of(ROOT / "core").get("urls", {})
    assert set(urls) in (set(), URLS)
    assert all(url.startswith("https://") and ".example" not in url for url in urls.values())


def test_one_command_gives_every_package_its_urls(tmp_path):
    files = [folder / "pyproject.toml" for folder in PROJECTS]
    for file in files:
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True)
        shutil.copy(file, copy)
    shutil.copy(ROOT / "Makefile", tmp_path)
    for where in ("https://host.test/a/sdk", "https://host.test/b/sdk"):
        subprocess.run(["make", "urls", f"U={where}"], cwd=tmp_path, check=True)
        for file in files:
            urls = tomllib.loads((tmp_path / file.relative_to(ROOT)).read_text())["project"]["urls"]
            assert set(urls) == URLS
            assert all(url.startswith(where) for url in urls.values())
    refused = subprocess.run(["make", "urls", "U=sdk"], cwd=tmp_path, check=False)
    assert refused.returncode != 0


@each_project
def test_classifiers_are_complete(folder):
    project = project_of(folder)
    assert set(project["classifiers"]) >= CLASSIFIERS
    assert any(line.startswith("Topic :: ") for line in project["classifiers"])
    assert not any(line.startswith("License ::") for line in project["classifiers"])


@each_plugin
def test_plugins_need_this_core_and_no_later_minor(folder):
    major, minor, _ = map(int, VERSION.split("."))
    needed = f"deepseek-core>={major}.{minor},<{major}.{minor + 1}"
    assert needed in project_of(folder)["dependencies"]


@each_project
def test_every_requirement_has_a_lower_bound(folder):
    project = project_of(folder)
    extras = project.get("optional-dependencies", {}).values()
    for requirement in [*project.get("dependencies", ()), *(r for more in extras for r in more)]:
        assert ">=" in requirement, requirement


@each_project
def test_the_types_are_published(folder):
    assert (package_of(folder) / "py.typed").read_bytes() == b""


@each_plugin
def test_what_runs_at_listing_imports_nothing_heavy(folder):
    """The package's own file and the entry point's: the standard library and the face."""
    modules = project_of(folder)["entry-points"][GROUP].values()
    files = [folder / "src" / f"{module.replace('.', '/')}.py" for module in modules]
    for file in [package_of(folder) / "__init__.py", *files]:
        assert imported_at_once(file) <= {"__future__", "collections", "deepseek_core", "typing"}


def imported_at_once(file):
    """Top names of the imports that stand at module level."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_mypy_checks_exactly_these_packages():
    mypy = ROOT_TOOLS["mypy"]
    assert set(mypy["mypy_path"]) == {f"{folder_name(folder)}/src" for folder in PROJECTS}
    assert set(mypy["packages"]) == packages()


def test_the_import_contracts_know_exactly_these_packages():
    assert set(ROOT_TOOLS["importlinter"]["root_packages"]) == packages()
    plugins = {package_of(folder).name for folder in PLUGINS}
    contracts = {c["type"]: c for c in ROOT_TOOLS["importlinter"]["contracts"]}
    assert set(contracts["independence"]["modules"]) == plugins
    forbidden = [c for c in ROOT_TOOLS["importlinter"]["contracts"] if c["type"] == "forbidden"]
    assert any(plugins <= set(c["forbidden_modules"]) for c in forbidden)


def test_the_requirement_files_install_exactly_these_folders():
    names = ("requirements.txt", "requirements-dev.txt", "requirements-providers.txt")
    lines = "".join((ROOT / name).read_text() for name in names)
    found = re.findall(r"^-e \./([^\[\s]+)", lines, re.MULTILINE)
    assert sorted(found) == sorted(map(folder_name, PROJECTS))


def test_the_makefile_builds_exactly_these_folders():
    (loop,) = re.findall(r"for folder in (.*); do", (ROOT / "Makefile").read_text())
    found = {path for pattern in loop.split() for path in ROOT.glob(pattern.rstrip("/"))}
    assert {path for path in found if path.is_dir()} == set(PROJECTS)


def test_the_changelog_tells_of_this_version_first():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == VERSION


# What no file may hold: a path of somebody's machine, the address of a package registry.
# The documentation's example of a reader, `/home/you`, is nobody's.
PRIVATE = re.compile(
    rb"/(?:home|Users)/(?!you/)[a-z]\w*/|(?<![\w.])/root/|(?<![\w.~])"
    + re.escape(str(ROOT).encode())
    + rb"|[A-Z]:\\\\?Users\\|file:///"
    rb"|https?://[^\s\"'>)]*(?:/simple\b|pypi\.|pythonhosted|artifactory|nexus|devpi)"
)


def tracked_files():
    """Files that git knows or would add, as bytes; the test data may be large."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("this is no git checkout, which alone says what belongs to the tree")
    return [path for name in listed.stdout.decode().split("\0") if (path := ROOT / name).is_file()]


def test_no_file_names_a_developers_machine_or_a_registry():
    found = {}
    for path in tracked_files():
        match = PRIVATE.search(path.read_bytes()) if path != Path(__file__) else None
        if match:
            found[str(path.relative_to(ROOT))] = match[0]
    assert not found


@pytest.mark.parametrize(
    "text",
    [b'x = "/home/ann/sdk/x.py"', b"cache: /root/.cache", b"see file:///tmp/a", b"C:\\Users\\ann",
     b"--index-url https://pypi.example.org/simple/", str(ROOT / "core").encode()],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(text):
    assert PRIVATE.search(text)


@pytest.mark.parametrize("text", [b"tests/work/x", b"PyPI package", b"~/.cache/deepseek", b"root/"])
def test_the_search_leaves_the_rest_alone(text):
    assert not PRIVATE.search(text)


UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


@each_project
def test_no_source_imports_pickle(folder):
    """Plan files, history and caches are data: whoever reads one runs nothing of it."""
    for file in (folder / "src").rglob("*.py"):
        source = ast.parse(file.read_text())
        names = {
            name
            for node in ast.walk(source)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
            if name
        }
        assert not {name.partition(".")[0] for name in names} & UNPICKLERS, file
        for node in ast.walk(source):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, file
