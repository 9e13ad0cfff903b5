"""Benchmarks and examples name parts of the SDK that are there: most run by hand, and seldom."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [path for folder in ("benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")]


def names_of(path):
    """Modules of the SDK with the names that a script takes of them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deepseek_"):
            yield node.module, [alias.name for alias in node.names]


def has(module, name):
    if hasattr(module, name):
        return True
    try:
        import_module(f"{module.__name__}.{name}")
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_is_there(path):
    missing = []
    for module, names in names_of(path):
        try:
            found = import_module(module)
        except ModuleNotFoundError as error:
            if not str(error.name).startswith("deepseek_"):
                pytest.skip(f"{error.name} is not installed")
            missing.append(module)
            continue
        missing += [f"{module}.{name}" for name in names if not has(found, name)]
    assert missing == []
