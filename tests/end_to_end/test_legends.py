"""Fields of mutable classes and short names of long functions are explained where they stand."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("core/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
MOST_UNEXPLAINED = 4
LONG, MOST_SHORT = 40, 4  # lines of a function; names of one or two letters without a legend
# What says enough by itself, in every class.
PLAIN = {
    "api", "client", "closed", "config", "device", "devices", "error", "failures", "file", "folder",
    "home", "id", "info", "loaded", "lock", "opened", "options", "path", "pid", "pool", "process",
    "reading", "runtime", "server", "session", "settings", "state", "stop", "store", "thread",
    "url", "wake", "writing",
}  # fmt: skip


def fields_of(init):
    """(name, statement) of each field that `__init__` makes; not of what it is handed."""
    handed = {argument.arg for argument in (*init.args.args, *init.args.kwonlyargs)}
    for node in ast.walk(init):
        if isinstance(node, ast.AnnAssign):
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.Assign):
            pairs = [pair for target in node.targets for pair in _pairs(target, node.value)]
        else:
            continue
        for target, value in pairs:
            own = isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"
            if own and not (isinstance(value, ast.Name) and value.id in handed):
                yield target.attr, node


def _pairs(target, value):
    if not isinstance(target, ast.Tuple):
        return [(target, value)]
    one_each = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
    return zip(target.elts, value.elts if one_each else [value] * len(target.elts), strict=True)


def explained(name, node, doc, lines):
    """By a comment beside or above, a docstring below, or the class's docstring."""
    beside = any("#" in line for line in lines[node.lineno - 2 : node.end_lineno])
    below = lines[node.end_lineno].strip().startswith('"""') if node.end_lineno < len(lines) else 0
    named = f"`{name}`" in doc or f"`{name.strip('_')}`" in doc
    return beside or below or named or name.strip("_") in PLAIN


def unexplained_fields(source):
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef):
            continue
        for init in node.body:
            if isinstance(init, ast.FunctionDef) and init.name == "__init__":
                doc = (ast.get_docstring(node) or "") + (ast.get_docstring(init) or "")
                pairs = fields_of(init)
                left = {name for name, made in pairs if not explained(name, made, doc, lines)}
                yield node.name, sorted(left)


def short_names(source):
    """(function, its short names) of long functions that have no legend."""
    tree = ast.parse(source)
    whole = ast.get_docstring(tree) or ""
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or node.end_lineno - node.lineno < LONG:
            continue
        made = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and len(n.id) <= 2}
        made -= {"_", "np", "tl", "cl", "ds", "os"}
        if not re.search(r"\bLegend:", f"{whole} {ast.get_docstring(node) or ''}"):
            yield node.name, sorted(made)


def found(check, most):
    """Where there are more than so many, and which."""
    return {
        f"{path.relative_to(ROOT)}: {name}": left
        for path in SOURCES
        for name, left in check(path.read_text(encoding="utf-8"))
        if len(left) > most
    }


def test_fields_of_mutable_classes_have_a_legend():
    assert found(unexplained_fields, MOST_UNEXPLAINED) == {}


def test_short_names_of_long_functions_have_a_legend():
    assert found(short_names, MOST_SHORT) == {}


def test_a_class_without_a_legend_is_found():
    fields = "\n".join(f"        self.{name} = {{}}" for name in ("rank", "home", "b", "c", "d"))
    source = f"class A:\n    def __init__(self, rows):\n        self.rows = rows\n{fields}\n"
    assert dict(unexplained_fields(source)) == {"A": ["b", "c", "d", "rank"]}
    told = source.replace("self.c = {}", "self.c = {}  # by task")
    assert dict(unexplained_fields(told)) == {"A": ["b", "rank"]}


def test_short_names_without_a_legend_are_found():
    body = "\n".join(f"    {name} = 0" for name in "abcde" * 10)
    assert dict(short_names(f"def f():\n{body}\n")) == {"f": ["a", "b", "c", "d", "e"]}
    assert dict(short_names(f'def f():\n    """Sum.\n\n    Legend: a.\n    """\n{body}\n')) == {}
