"""Code that only tests and benchmarks call is wired into the product or leaves it."""

import ast
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from unused_allowed import ALLOWED
from unused_definitions import LOCATOR, Tree

ROOT = Path(__file__).parents[2]
FOLDERS = sorted([ROOT / "core" / "src", *ROOT.glob("plugins/*/src")])
# The conformance kit is a product of its own; what it calls is not called by the core for that.
KIT = "deepseek_core.testing"
BLOCK = re.compile(r"^```.*?^```|`[^`\n]+`", re.M | re.S)
IMPORT = re.compile(r"^from (deepseek_\w+[\w.]*) import ([\w, ]+)", re.M)


def entry_points():
    """What pip and the host find by the names in each `pyproject.toml`."""
    for file in (folder.parent / "pyproject.toml" for folder in FOLDERS):
        project = tomllib.loads(file.read_text())["project"]
        for group in (project.get("scripts", {}), *project.get("entry-points", {}).values()):
            yield from group.values()


def shown():
    """The code that users are shown: blocks and spans of pages, and the examples."""
    pages = [*ROOT.glob("sdk_docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("*/*/README.md")]
    yield from (text for page in pages for text in BLOCK.findall(page.read_text()))
    yield from (file.read_text() for file in ROOT.glob("examples/**/*.py"))


def exported(folder):
    """The keys of all that the packages of a folder name in `__all__`."""
    for file in folder.glob("*/__init__.py"):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
                yield from (f"{file.parent.name}:{name}" for name in ast.literal_eval(node.value))


def public(tree):
    """What users call: what is exported or shown to be imported, and the members on the pages."""
    texts = list(shown())
    imported = (found for text in texts for found in IMPORT.findall(text))
    keys = {key for folder in FOLDERS for key in exported(folder)}
    keys |= {f"{module}:{name}" for module, names in imported for name in re.findall(r"\w+", names)}
    keys = {tree.resolved(key) for key in keys}
    words = {word for text in texts for word in re.findall(r"\w+", text)}
    classes = {key for key in keys if not is_provided(tree, key)}
    members = (d for d in tree.definitions.values() if d.owner in classes and d.last in words)
    return keys | {definition.key for definition in members}


def is_provided(tree, key):
    """Whether plugins write it and the SDK is to read it, so that a page makes no use of it."""
    bases = tree.definitions[key].bases if key in tree.definitions else ()
    return key.endswith("Spec") or "abc:ABC" in bases


@pytest.fixture(scope="module")
def tree():
    modules = [text for text in entry_points() if ":" not in text]
    plugins = [module for module in modules if module.endswith(".hooks")]
    kits = [module.replace(".hooks", ".conformance") for module in plugins]
    return Tree(FOLDERS, without=(KIT, *kits), loaded=plugins)


@pytest.fixture(scope="module")
def roots(tree):
    points = (LOCATOR.fullmatch(text) for text in entry_points())
    return public(tree) | {":".join(point.groups()) for point in points}


def matched(definitions, pattern):
    return {d.key for d in definitions if fnmatchcase(d.key, pattern)}


def test_what_nothing_uses_has_a_reason_to_be_there(tree, roots):
    allowed = set().union(*(matched(tree.definitions.values(), pattern) for pattern in ALLOWED))
    found = "\n".join(d.key for d in tree.unused(roots | allowed))
    assert not found, f"wire in, delete, or give a reason in unused_allowed.py:\n{found}"


def test_each_reason_is_needed(tree, roots):
    unused = tree.unused(roots)
    idle = [pattern for pattern in ALLOWED if not matched(unused, pattern)]
    assert not idle, "used by now, or gone"
