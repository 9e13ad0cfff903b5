"""A row for each benchmark, from the head of its file."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[2] / "benchmarks"


def rows() -> str:
    """File and first paragraph of its docstring, in the order of names."""
    return "\n".join(f"| `{path.name}` | {first_line(path)} |" for path in files())


def files() -> list[Path]:
    """The benchmarks; what starts with an underscore is shared by them."""
    return sorted(path for path in FOLDER.glob("[a-z]*.py"))


def first_line(path: Path) -> str:
    """What the file says that it measures."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem
    return " ".join(docstring.partition("\n\n")[0].split())
