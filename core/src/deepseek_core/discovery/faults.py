"""Why a plugin failed to load, and what helps, in words."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Final

from deepseek_core.contracts.errors import DeepSeekError, PluginError
from deepseek_core.discovery.modules import package_of
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.status import one_line


class HookRaised(Exception):
    """A hook raised; the error itself is the cause."""


class UnfitSettings(Exception):
    """The user's settings do not fit the plugin's class; the cause is a `ConfigError`."""


def unfit(error: UnfitSettings) -> tuple[str, str | None]:
    """Reason and remedy of a plugin whose settings do not fit."""
    cause = error.__cause__
    assert isinstance(cause, DeepSeekError)
    return cause.message, cause.remedy


def cause_of(error: BaseException, point: EntryPoint) -> tuple[str, str]:
    """Reason and remedy of a plugin that failed to load."""
    deed, cause = "import failed", error
    if isinstance(error, HookRaised):
        deed, cause = f"{error} raised", error.__cause__ or error
    if isinstance(cause, PluginError) and deed == "import failed":
        return cause.message, cause.remedy or f"pip install -U {point.dist}{_or_remove(point)}"
    reason = f"{deed}: {one_line(cause)}{_place(cause.__traceback__)}"
    return reason, _remedy(cause, point)


def _remedy(cause: BaseException, point: EntryPoint) -> str:
    if isinstance(cause, DeepSeekError) and cause.remedy:
        return cause.remedy
    module = cause.name if isinstance(cause, ModuleNotFoundError) else None
    own = point.value.partition(".")[0].partition(":")[0]
    if module and module.partition(".")[0] != own:
        return f"pip install {package_of(module)}{_or_remove(point)}"
    if module:
        return f"pip install --force-reinstall {point.dist}{_or_remove(point)}"
    return f"pip install -U {point.dist}{_or_remove(point)}"


def _or_remove(point: EntryPoint) -> str:
    return f" (or pip uninstall {point.dist})"


def _place(traceback: TracebackType | None) -> str:
    """File and line of the last step that is not Python's import machinery or this SDK."""
    place = ""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith(_NOT_TOLD):
            place = f" ({os.path.basename(file)}, line {traceback.tb_lineno})"  # noqa: PTH119 - text, not a file
        traceback = traceback.tb_next
    return place


_NOT_TOLD: Final = ("<", str(Path(__file__).parents[1]), import_module.__code__.co_filename)
