"""The commands and their own help."""

from __future__ import annotations

import io
import os
import re
from contextlib import redirect_stdout

from deepseek_core.cli.main import COMMANDS, main

_WIDTH = "88"


def page() -> str:
    """The help of `ds-sdk`, then that of each command and of its actions."""
    parts = ["## ds-sdk", _fenced(help_of())]
    for name in sorted(COMMANDS):
        parts += [f"## {name}", _fenced(help_of(name))]
        for action in actions_of(name):
            parts += [f"### {name} {action}", _fenced(help_of(name, action))]
    return "\n\n".join(parts)


def actions_of(name: str) -> list[str]:
    """The words that a command takes first, if each of them has a help of its own."""
    usage = re.match(r"usage: .*? (\w+(?:\|\w+)+) \.\.\.\n", help_of(name), re.S)
    return usage[1].split("|") if usage else []


def help_of(*words: str) -> str:
    """What `ds-sdk WORDS --help` prints.

    Raises:
        RuntimeError: it failed.
    """
    before, printed = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = _WIDTH
    try:
        with redirect_stdout(printed):
            code = main([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    if code != 0:
        raise RuntimeError(f"ds-sdk {' '.join(words)} --help ended with {code}")
    return printed.getvalue()


def _fenced(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"
