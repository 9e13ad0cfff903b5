"""Tables of a module's numbers, with the comment beside each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import deepseek_core

_LINE: Final = re.compile(r"^_([A-Z0-9_]+): Final = ([\d._]+)(?:  # (.+))?$", re.M)
_CORE: Final = Path(deepseek_core.__file__).parent


def cost_model() -> str:
    """The constants of the cost model."""
    return _table("schedule/cost.py", "schedule/cost_shapes.py", "schedule/cost_drift.py")


def placement() -> str:
    """The constants of the placement."""
    return _table("schedule/placement.py")


def _table(*files: str) -> str:
    """A row for each number.

    Raises:
        ValueError: a file has none, so the page would lack what it tells of.
    """
    rows, before = [], ""
    for file in files:
        found = _LINE.findall((_CORE / file).read_text(encoding="utf-8"))
        if not found:
            raise ValueError(f"{file} has no numbers")
        for name, value, comment in found:
            before = before if comment == "likewise" else comment
            rows.append(f"| `{name}` | {value} | {before} |")
    return "\n".join(["| constant | value | why |", "|---|---|---|", *rows])
