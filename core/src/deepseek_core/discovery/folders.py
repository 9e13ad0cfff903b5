"""Where the SDK keeps its caches and reads its configuration."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def config_file() -> Path:
    """The configuration file, which may not exist.

    `DEEPSEEK_CONFIG`, else `XDG_CONFIG_HOME/deepseek/config.toml`, else the same in `~/.config`.
    """
    named = os.environ.get("DEEPSEEK_CONFIG")
    if named:
        return Path(named).expanduser()
    return _base("XDG_CONFIG_HOME", ".config") / "deepseek" / "config.toml"


def cache_dir() -> Path:
    """The folder for caches, made on demand and writable.

    `DEEPSEEK_CACHE_DIR`, else `XDG_CACHE_HOME/deepseek`, else `~/.cache/deepseek`. One that can't
    be written to is replaced by a private temporary folder, with a `RuntimeWarning`.
    """
    folder = preferred_cache_dir()
    problem = make_writable(folder)
    if problem is None:
        return folder
    spare = _private_temp_dir()
    _warn(f"no caches in {folder}: {problem}; using {spare} (set DEEPSEEK_CACHE_DIR)")
    return spare


def preferred_cache_dir() -> Path:
    """The folder for caches as the user set it, made or not."""
    named = os.environ.get("DEEPSEEK_CACHE_DIR")
    if named:
        return Path(named).expanduser().absolute()
    return _base("XDG_CACHE_HOME", ".cache") / "deepseek"


def make_writable(folder: Path) -> str | None:
    """Make the folder, private to the user; returns what is in the way, or None."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        return error.strerror or str(error)
    return None if os.access(folder, os.W_OK | os.X_OK) else "not writable"


def _base(variable: str, default: str) -> Path:
    # The XDG specification has relative values ignored.
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else Path(os.path.expanduser("~")) / default  # noqa: PTH111 - Path.home() raises without a home


def _private_temp_dir() -> Path:
    import tempfile

    shared = Path(tempfile.gettempdir()) / f"deepseek-{os.getuid()}"
    if make_writable(shared) is None and _is_private(shared):
        return shared
    return Path(tempfile.mkdtemp(prefix="deepseek-"))


def _is_private(folder: Path) -> bool:
    # Anyone may have made this name in a shared folder first, as a link to elsewhere perhaps.
    status = folder.lstat()
    others = stat.S_IWGRP | stat.S_IWOTH
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.getuid()
        and not status.st_mode & others
    )


def _warn(text: str) -> None:
    import warnings

    warnings.warn(text, RuntimeWarning, stacklevel=3)
