"""Runs a tool in a process group of its own, within a limit; nothing of it survives."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from deepseek_core import errors

_TAIL_LINES: Final = 12
_DYING_S: Final = 5.0
# What tells most first: the system's own reasons, then errors of the tool.
_TELLING: Final = tuple(
    re.compile(words, re.IGNORECASE)
    for words in (r"no space left|permission denied|out of memory", r"\berror\b")
)


class ToolFailed(errors.DeepSeekError):
    """A tool ended with an error or a signal, or not in time (`overdue`).

    `log` is the end of what it said.
    """

    def __init__(self, message: str, *, log: str, remedy: str, overdue: bool = False) -> None:
        super().__init__(message, remedy=remedy)
        self.log, self.overdue = log, overdue


def run_tool(
    command: Sequence[str],
    *,
    limit_s: float,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a command and return what it printed, errors included.

    Raises:
        ToolFailed: it can't be started, ends badly, or takes longer than `limit_s` seconds.
    """
    name = Path(command[0]).name
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolFailed(
            f"{name} can't be started: {error.strerror}", log="", remedy=f"look at {command[0]}"
        ) from error
    try:
        said, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        _end(process)
        raise ToolFailed(
            f"{name} did not end in {limit_s:g} s and was killed",
            log="",
            remedy=f"see whether {command[0]} works alone, or give more time: "
            f"--limit {3 * limit_s:g}",
            overdue=True,
        ) from None
    finally:
        _end(process)
    text = said.decode("utf-8", "replace")
    if process.returncode:
        log = "\n".join(text.splitlines()[-_TAIL_LINES:])
        raise ToolFailed(
            f"{name} {_ending(process.returncode)}: {_telling_line(text)}",
            log=log,
            remedy=f"run it alone to see all of it: {' '.join(command)}"[:400],
        )
    return text


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the whole group: a compiler's children, too."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_DYING_S)
    if process.stdout is not None:
        process.stdout.close()


def _ending(code: int) -> str:
    if code > 0:
        return f"ended with code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _telling_line(text: str) -> str:
    """The first line of the most telling sort, which others follow from; else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    found = (line for words in _TELLING for line in lines if words.search(line))
    return next(found, lines[-1])[:200]
