"""Checks of the files that a command is to write."""

from __future__ import annotations

import os
from pathlib import Path

from deepseek_core.contracts.errors import ConfigError


def check_writable(*paths: str | None) -> None:
    """Fail before the work, not after it."""
    for path in (Path(text) for text in paths if text):
        folder = path.resolve().parent
        if not folder.is_dir():
            raise ConfigError(
                f"the folder of {path} does not exist", remedy="make it, or choose another"
            )
        if path.is_dir():
            raise ConfigError(f"{path} is a folder", remedy="name a file in it")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"{folder} can't be written to", remedy="choose another folder")
