"""The hook specs: signature, docstring, and which record each returns."""

from __future__ import annotations

import inspect

from deepseek_core.discovery import hooks


def page() -> str:
    """A section for each hook, in the order of the specs' module."""
    names = sorted(hooks.HOOK_NAMES, key=lambda n: getattr(hooks, n).__code__.co_firstlineno)
    return "\n\n".join(_section(name) for name in names)


def signature_of(name: str) -> str:
    """The hook's signature as an author writes it."""
    signature = str(inspect.signature(getattr(hooks, name))).replace("'", "")
    return f"def {name}{signature}"


def _section(name: str) -> str:
    text = inspect.getdoc(getattr(hooks, name)) or ""
    description, _, example = text.partition("Example: ")
    parts = [f"## {name}", f"```python\n{signature_of(name)}: ...\n```", description.strip()]
    if example:
        parts.append(f"```python\n{example.strip().strip('`')}\n```")
    return "\n\n".join(parts)
