"""The commands of `ds-sdk store` and their own help."""

from __future__ import annotations

import command_line

from deepseek_store.cli.main import COMMANDS


def page() -> str:
    """The help of the group, then that of each command."""
    parts = ["## ds-sdk store", _fenced(command_line.help_of("store"))]
    for name in COMMANDS:
        parts += [f"## store {name}", _fenced(command_line.help_of("store", name))]
    return "\n\n".join(parts)


def _fenced(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"
