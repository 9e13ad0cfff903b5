"""The tree of errors, each with its parents and its docstring."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from deepseek_core.contracts import errors
from deepseek_core.contracts.errors import DeepSeekError


def page() -> str:
    """The tree as a list, then a section for each error."""
    rows = list(tree())
    lines = [f"{'    ' * depth}- [`{e.__name__}`](#{e.__name__.lower()})" for depth, e in rows]
    sections = [_section(error) for _, error in rows]
    return "\n".join(lines) + "\n\n" + "\n\n".join(sections)


def tree(error: type[DeepSeekError] = DeepSeekError, depth: int = 0) -> Iterator[tuple[int, type]]:
    """Every error of the SDK's own tree with its depth, children below their parent."""
    if error.__module__ == errors.__name__:
        yield depth, error
        for child in error.__subclasses__():
            yield from tree(child, depth + 1)


def _section(error: type) -> str:
    parents = " and ".join(f"`{base.__name__}`" for base in error.__bases__)
    own = [p for p in inspect.signature(error).parameters if p not in ("message", "remedy")]
    lines = [f"## {error.__name__}", inspect.getdoc(error) or ""]
    facts = [f"Is a {parents}."]
    if own:
        facts.append(f"Carries {', '.join(f'`{name}`' for name in own)}.")
    if getattr(error, "retryable", False):
        facts.append("Retryable: the work may succeed elsewhere or later.")
    return "\n\n".join([*lines, " ".join(facts)])
