"""Reads recipes from TOML files."""

from __future__ import annotations

import tomllib
from pathlib import Path

from deepseek_core import compression, errors


def read_recipe(path: Path) -> compression.Recipe:
    """The recipe in a file.

    Raises:
        ConfigError: no such file, no TOML (with the line), or a line for each part that does not
            fit.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise errors.ConfigError(
            f"no such recipe: {path}", remedy="ds-sdk compress init recipe.toml"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise errors.ConfigError(f"{path}: {error}", remedy="correct that line") from error
    except UnicodeDecodeError as error:
        raise errors.ConfigError(f"{path}: {error}", remedy="save it as UTF-8") from error
    except OSError as error:
        raise errors.ConfigError(f"{path}: {error}", remedy="make it a readable file") from error
    try:
        return compression.Recipe.parse(table)
    except errors.ConfigError as error:
        raise errors.ConfigError(f"{path}:\n{error}", remedy=None) from error
