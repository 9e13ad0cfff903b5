"""Writes the maps of tests/README.md: which tests hold a package, and what each file shows.

python tests/docs/tests_map.py
"""

import ast
import re
from collections import defaultdict

from architecture_map import ROOT, first_sentence

TESTS = ROOT / "tests"
PAGE = TESTS / "README.md"
SOURCES = [ROOT / "core/src/deepseek_core", *sorted(ROOT.glob("plugins/*/src/deepseek_*"))]
_MAP = re.compile(r"(<!-- map of (\w+) -->\n).*?(<!-- end of map -->)", re.S)


def test_files():
    """All files of tests, in the order of their folders."""
    return sorted(TESTS.rglob("test_*.py"), key=lambda path: (path.parent, path.name))


def imported(path):
    """Modules that a file imports, wherever in it; a name out of a module may be one, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages():
    """Rows of the packages of the sources, each with the tests that import a module of it."""
    homes = {}  # module -> the package it stands in
    for source in SOURCES:
        for path in source.rglob("*.py"):
            package = ".".join([source.name, *path.parent.relative_to(source).parts])
            if not path.name.startswith("__"):
                homes[f"{package}.{path.stem}"] = package
    users = defaultdict(lambda: defaultdict(set))
    for path in test_files():
        folder = path.parent.relative_to(TESTS).parts[0]
        for module in imported(path):
            if module in homes:
                users[homes[module]][folder].add(path.stem.removeprefix("test_"))
    yield "| package | folder: tests |\n|---|---|"
    for package in sorted(users):
        tests = ", ".join(
            f"{folder}: {' '.join(sorted(names))}"
            for folder, names in sorted(users[package].items())
        )
        yield f"| `{package}` | {tests} |"


def files():
    """A list for each folder of tests, with the first sentence of each file."""
    folder = None
    for path in test_files():
        if path.parent != folder:
            folder = path.parent
            yield f"\n**`{folder.relative_to(TESTS).as_posix()}/`**\n"
        yield f"- `{path.name}`: {first_sentence(path)}"


def made(text):
    """The page with its maps made anew."""
    maps = {"packages": packages, "files": files}
    return _MAP.sub(
        lambda match: f"{match[1]}\n{chr(10).join(maps[match[2]]())}\n\n{match[3]}", text
    )


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text()))
