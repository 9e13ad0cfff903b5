"""Why a plugin failed to load, and what helps, in words."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Final

from deepseek_core.contracts.errors import DeepSeekError, PluginError
from deepseek_core.discovery.hooks import HookRaised
from deepseek_core.discovery.installing import (
    reinstall_command,
    remedy_for_missing,
    remove_command,
    update_or_remove,
)
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.strangers import attribute, is_a, one_line, text_of, told
from deepseek_core.discovery.switches import UnfitSettings

_OF_THE_SYSTEM: Final = (
    "fcntl", "grp", "os", "posix", "pwd", "resource", "signal", "socket", "termios",
)  # fmt: skip


def unfit(error: UnfitSettings) -> tuple[str, str | None]:
    """Reason and remedy of a plugin whose settings do not fit."""
    cause = error.__cause__
    assert isinstance(cause, DeepSeekError)
    return told(cause)


def cause_of(error: BaseException, point: EntryPoint) -> tuple[str, str]:
    """Reason and remedy of a plugin that failed to load."""
    deed, cause = "import failed", error
    if is_a(error, HookRaised):
        deed, cause = f"{error} raised", error if error.__cause__ is None else error.__cause__
    elif is_a(error, PluginError):
        reason, remedy = told(error)
        return reason, remedy or update_or_remove(point.dist)
    reason = f"{deed}: {one_line(cause)}{_place(attribute(cause, '__traceback__'))}"
    return reason, _remedy(cause, point)


def _remedy(cause: BaseException, point: EntryPoint) -> str:
    if is_a(cause, DeepSeekError) and (said := told(cause)[1]):
        return said
    module = missing_module(cause)
    if module is None:
        return update_or_remove(point.dist)
    if module.partition(".")[0] == point.module:
        found = reinstall_command(point.dist)
    else:
        found = remedy_for_missing([module], point.dist)
    return f"{found} (or {remove_command(point.dist)})"


def missing_module(cause: BaseException) -> str | None:
    """The module that an error says is not installed, in its own words; None for other errors."""
    name = attribute(cause, "name") if is_a(cause, ModuleNotFoundError) else None
    return text_of(name) or None if isinstance(name, str) else None


def other_system(error: BaseException) -> str | None:
    """What to do where Python itself lacks what it has on Linux; None for other errors."""
    owner = attribute(error, "obj") if is_a(error, AttributeError) else None
    name = attribute(owner, "__name__") if isinstance(owner, ModuleType) else missing_module(error)
    if name not in _OF_THE_SYSTEM:
        return None
    return "run it on Linux (on Windows: in WSL 2); this system lacks what it builds on"


def _place(traceback: object) -> str:
    """File and line of the last step that is not Python's import machinery or this SDK."""
    place = ""
    while isinstance(traceback, TracebackType):
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith(_NOT_TOLD):
            name = text_of(os.path.basename(file))  # noqa: PTH119 - text, not a file
            place = f" ({name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return place


_NOT_TOLD: Final = ("<", str(Path(__file__).parents[1]), import_module.__code__.co_filename)
