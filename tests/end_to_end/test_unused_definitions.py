"""Code that only tests and benchmarks call is wired into the product or leaves it."""

import ast
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from textwrap import dedent

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
    # A plugin's own kit, and those of its packages that it is made of.
    kits = [
        ".".join(file.relative_to(folder).with_suffix("").parts)
        for folder in FOLDERS
        for file in folder.rglob("conformance.py")
    ]
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


SAMPLE = {
    "pkg/__init__.py": "from pkg.shapes import Shape as Shape\n",
    "pkg/main.py": """
        from pkg import Shape, helpers as h

        def main():
            shape = Shape(side=3)
            return h.used(shape.area), getattr(shape, "asked")
    """,
    "pkg/helpers.py": """
        from functools import cache

        LIMIT = 3
        LOST = 4
        LOADED = "pkg.plugin:offered"

        @cache
        def used(value):
            return min(value, LIMIT)

        def ping():
            return pong()

        def pong():
            return ping() + LOST

        def again(n):
            return again(n - 1)

        @register
        def handed_over():
            return LOADED
    """,
    "pkg/shapes.py": """
        from json import JSONEncoder

        class Base:
            def area(self): ...
            def weight(self): ...

        class Shape(Base):
            side = 1
            color = "red"
            asked = 2

            def area(self):
                return self.side**2

            def weight(self):
                return 0

            def resize(self):
                self.color = "blue"

        class Encoder(JSONEncoder):
            def default(self, value):
                return self.fallback(value)

            def fallback(self, value): ...
            def never(self): ...

        ENCODER = Encoder
        print(ENCODER)

        class Forgotten:
            def inside(self): ...
    """,
    "pkg/plugin.py": "def offered(): ...\ndef not_offered(): ...\n",
    "pkg/testing/kit.py": "from pkg.helpers import LOST, ping\nprint(LOST, ping())\n",
}


@pytest.fixture
def small(tmp_path):
    for name, text in SAMPLE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(dedent(text))
    return tmp_path


def told(folder, *roots, without=("pkg.testing",), loaded=()):
    return {d.key.removeprefix("pkg.") for d in Tree([folder], without, loaded).unused(roots)}


UNUSED = {
    *("helpers:LOST", "helpers:ping", "helpers:pong", "helpers:again"),
    *("shapes:Base.weight", "shapes:Shape.color", "shapes:Shape.resize", "shapes:Encoder.never"),
    *("shapes:Forgotten", "plugin:not_offered"),
}


def test_the_finder_tells_what_nothing_that_is_used_names(small):
    assert told(small, "pkg.main:main") == UNUSED


def test_what_is_called_from_the_kit_alone_is_unused_unless_the_kit_counts(small):
    with_kit = told(small, "pkg.main:main", without=())
    assert UNUSED - with_kit == {"helpers:LOST", "helpers:ping", "helpers:pong"}


def test_a_root_keeps_what_it_needs(small):
    assert told(small, "pkg.main:main", "pkg.helpers:pong") == UNUSED - {
        *("helpers:LOST", "helpers:ping", "helpers:pong"),
    }


def test_a_new_definition_is_told_and_so_is_one_whose_only_caller_goes(small):
    with (small / "pkg/helpers.py").open("a") as file:
        file.write("def new(): ...\n")
    (small / "pkg/main.py").write_text("def main(): ...\n")
    found = told(small, "pkg.main:main")
    assert {"helpers:new", "helpers:used", "helpers:LIMIT", "shapes:Shape"} <= found


def test_a_module_that_is_loaded_by_name_is_used_by_the_names_of_its_members(small):
    (small / "pkg/main.py").write_text("def main(module):\n    return module.not_offered()\n")
    assert "plugin:not_offered" in told(small, "pkg.main:main")
    assert "plugin:not_offered" not in told(small, "pkg.main:main", loaded=["pkg.plugin"])
