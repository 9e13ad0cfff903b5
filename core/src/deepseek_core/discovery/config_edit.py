"""Changing one list of the configuration file and nothing else: comments stay where they are."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.files import whole_file


def change_list(
    path: Path, key: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> bool:
    """Add names to, and remove them from, a list under `[plugins]`; False if nothing changed.

    The file appears whole or not at all; a link to it stays a link.

    Raises:
        ConfigError: the file is not TOML, can't be written, or has something else in this place.
    """
    from tomlkit.exceptions import TOMLKitError

    old = _read(path)
    try:
        new = _changed(old, key, add=add, remove=remove)
        unlike = _meaning(new, key) != _wanted(old, key, add=add, remove=remove)
    except (TOMLKitError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: {error}", remedy=_by_hand(key)) from error
    if unlike:  # of a user's own file nothing is lost, whatever the library makes of it
        raise ConfigError(f"{path} spells {key!r} in an unusual way", remedy=_by_hand(key))
    if _meaning(new, key) == _meaning(old, key):
        return False
    _write(path, new)
    return True


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", remedy="make it a readable TOML file") from error


def _write(path: Path, text: str) -> None:
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            whole_file(target) as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            if target.exists():
                partial.chmod(target.stat().st_mode & 0o777)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"{path}: {error}", remedy="make it writable") from error


def _changed(text: str, key: str, *, add: Sequence[str], remove: Sequence[str]) -> str:
    import tomlkit

    document: Any = tomlkit.parse(text)
    table = document.setdefault("plugins", tomlkit.table())
    names = table.setdefault(key, tomlkit.array())
    for name in remove:
        while name in names:
            names.remove(name)
    for name in add:
        if name not in names:
            names.append(name)
    new = tomlkit.dumps(document)
    # What the library adds ends its lines in one way, whatever the others do.
    return re.sub(r"\r?\n", "\r\n", new) if "\r\n" in text else new


def _meaning(text: str, key: str) -> dict[str, Any]:
    """All that a file says, with a list for this key, which may be empty."""
    document = tomllib.loads(text)
    document.setdefault("plugins", {}).setdefault(key, [])
    return document


def _wanted(text: str, key: str, *, add: Sequence[str], remove: Sequence[str]) -> dict[str, Any]:
    document = _meaning(text, key)
    kept = [name for name in document["plugins"][key] if name not in remove]
    document["plugins"][key] = [*kept, *(name for name in add if name not in kept)]
    return document


def _by_hand(key: str) -> str:
    return f"edit the list {key!r} under [plugins] by hand"
