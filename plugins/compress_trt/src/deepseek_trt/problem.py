"""What is wrong with a model for TensorRT, one record a node and reason."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from deepseek_core import console

Stage = Literal["read", "parse", "build", "value"]
"""Who notices: nobody can read it, the parser, the builder, or nobody at all (wrong values)."""


@attrs.frozen(kw_only=True)
class Problem:
    """One reason, with the node and operator that it is about (both empty: the whole model).

    `rule` is a short name that stays the same between releases; `level` "error" refuses the model,
    "warning" is worth knowing. A `stage` of "value" is what the library accepts and computes
    otherwise than the model says.
    """

    rule: str
    node: str
    operator: str
    what: str
    remedy: str
    level: Literal["error", "warning"] = "error"
    stage: Stage = "parse"

    def to_json(self) -> dict[str, Any]:
        """Plain values under the names of the fields."""
        return attrs.asdict(self)

    def __str__(self) -> str:
        where = f"{printable(self.node)} ({printable(self.operator)}): " if self.operator else ""
        return f"{where}{self.what}"


def printable(text: str) -> str:
    """Text of a file as one line that does nothing to a terminal."""
    return console.printable(text)


def errors_of(problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Problems that refuse the model."""
    return tuple(p for p in problems if p.level == "error")
