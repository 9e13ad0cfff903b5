"""Commands in remedies name the home, or have HOME there, which the CLI replaces."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import deepseek_store

_SOURCES = Path(deepseek_store.__file__).parent
_BARE = re.compile(r"`ds-sdk store [a-z-]+`")


def _texts(path: Path) -> Iterator[ast.Constant]:
    """The strings of a module that are not its docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    alone = {id(each.value) for each in nodes if isinstance(each, ast.Expr)}
    for each in nodes:
        if isinstance(each, ast.Constant) and id(each) not in alone:
            yield each


def test_no_command_in_a_message_lacks_its_home() -> None:
    bare = [
        f"{path.relative_to(_SOURCES)}:{each.lineno}: {each.value}"
        for path in sorted(_SOURCES.rglob("*.py"))
        for each in _texts(path)
        if isinstance(each.value, str) and _BARE.search(each.value)
    ]
    assert bare == []
