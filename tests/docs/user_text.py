"""All text that users read: pages, help, messages of programs, docstrings of public names."""

import ast
import re
from functools import cache
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([ROOT / "core" / "src", *ROOT.glob("plugins/*/src")])
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("sdk_docs/**/*.md"),
        *ROOT.glob("core/*.md"),
        *ROOT.glob("plugins/*/*.md"),
        *ROOT.glob("examples/**/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)
_PLACEHOLDER = "{}"


@attrs.frozen(kw_only=True)
class Text:
    """A piece of text and where it stands; `kind` is page, docstring or message."""

    kind: str
    where: str
    text: str


@cache
def pages():
    """Paragraphs of pages without code in backquotes; blocks of output stay."""
    return tuple(_pages())


def _pages():
    for page in PAGES:
        line = 1
        for part in page.read_text(encoding="utf-8").split("\n\n"):
            text = " ".join(re.sub(r"`[^`\n]*`", "``", part).split())
            yield Text(kind="page", where=f"{page.relative_to(ROOT)}:{line}", text=text)
            line += part.count("\n") + 2


def modules():
    for folder in SOURCES:
        for path in sorted(folder.rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


@cache
def docstrings():
    """Docstrings of modules and of all that does not begin with an underscore."""
    return tuple(text for path, tree in modules() for text in _docstrings(path, tree))


def _docstrings(path, node):
    text = ast.get_docstring(node)
    if text:
        line = getattr(node, "lineno", 1)
        code = re.sub(r"`[^`]*`", "``", text)
        yield Text(kind="docstring", where=f"{path.relative_to(ROOT)}:{line}", text=code)
    for child in ast.iter_child_nodes(node):
        named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if named and not child.name.startswith("_"):
            yield from _docstrings(path, child)


@cache
def messages():
    """Strings of two words and more that are no docstrings; what is filled in is `{}`."""
    return tuple(_messages())


def _messages():
    for path, tree in modules():
        skipped = {id(node) for node in _inside_docstrings(tree)}
        for node in ast.walk(tree):
            if id(node) in skipped:
                continue
            text = _text_of(node, skipped)
            if text and re.search(r"\w \w", text):
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                yield Text(kind="message", where=where, text=re.sub(r"`[^`]*`", "``", text))


def _inside_docstrings(tree):
    """Strings that stand alone as statements."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


def _text_of(node, skipped):
    if isinstance(node, ast.JoinedStr):
        skipped.update(id(part) for part in node.values)
        parts = (p.value if isinstance(p, ast.Constant) else _PLACEHOLDER for p in node.values)
        return "".join(map(str, parts))
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
