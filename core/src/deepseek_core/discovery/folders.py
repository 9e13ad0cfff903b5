"""Where the SDK keeps its caches and reads its configuration."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.files import is_own
from deepseek_core.contracts.units import as_path

_PRIME: Final = 4_294_967_291  # the largest below 2**32


def config_file() -> Path:
    """The configuration file, which may not exist.

    `DEEPSEEK_CONFIG`, else `XDG_CONFIG_HOME/deepseek/config.toml`, else the same in `~/.config`.
    """
    named = os.environ.get("DEEPSEEK_CONFIG")
    if named:
        return Path(named).expanduser()
    return _base("XDG_CONFIG_HOME", ".config") / "deepseek" / "config.toml"


def cache_dir() -> Path:
    """The folder for caches, made on demand, writable, and closed to others.

    `DEEPSEEK_CACHE_DIR`, else `XDG_CACHE_HOME/deepseek`, else `~/.cache/deepseek`. What lies there
    is loaded as code. One that can't be written to, or that others could, is replaced by a private
    temporary folder, with a `RuntimeWarning`.
    """
    folder = preferred_cache_dir()
    problem = make_private(folder)
    if problem is None:
        return folder
    spare = _private_temp_dir()
    _warn(f"no caches in {folder}: {problem}; using {spare} (set DEEPSEEK_CACHE_DIR)")
    return spare


def own_cache_dir(given: str | Path) -> Path:
    """The folder for caches that a program names, made or not.

    Raises:
        ConfigError: somebody else could have put files into it.
    """
    folder = as_path("cache_dir", given)
    problem = exposure(folder) if folder.is_dir() else None
    if problem is not None:
        raise ConfigError(
            f"cache_dir {folder}: {problem}", remedy="give a folder that only you may write to"
        )
    return folder


def cache_to_read() -> Path | None:
    """The folder for caches if it is there and nobody else could write to it; makes nothing."""
    folder = preferred_cache_dir()
    return folder if folder.is_dir() and exposure(folder) is None else None


def preferred_cache_dir() -> Path:
    """The folder for caches as the user set it, made or not."""
    named = os.environ.get("DEEPSEEK_CACHE_DIR")
    if named:
        return Path(named).expanduser().absolute()
    return _base("XDG_CACHE_HOME", ".cache") / "deepseek"


def make_private(folder: Path) -> str | None:
    """Make the folder, which only this user may write to; returns what is in the way, or None.

    An empty one that others could write to is closed to them.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if _is_open(folder) and is_own(folder) and not any(folder.iterdir()):
            folder.chmod(0o700)
        found = exposure(folder)
    except OSError as error:
        return error.strerror or str(error)
    return found or (None if os.access(folder, os.W_OK | os.X_OK) else "not writable")


def exposure(folder: Path) -> str | None:
    """Say how somebody else could have put files into a folder; None if nobody could.

    Raises:
        OSError: it can't be looked at.
    """
    if not is_own(folder):
        return "it belongs to another user"
    if _is_open(folder):
        return "others can write to it, so what it holds may be anybody's"
    return next((f"{name} in it belongs to another user" for name in _strange(folder)), None)


def _strange(folder: Path) -> Iterator[str]:
    if hasattr(os, "getuid"):
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # it has just gone
                    if entry.stat(follow_symlinks=False).st_uid not in (os.getuid(), 0):
                        yield entry.name


def _is_open(folder: Path) -> bool:
    if not hasattr(os, "getuid"):
        return False
    status = folder.stat()
    if status.st_mode & stat.S_IWGRP and not _is_of_one(status.st_gid):
        return True
    return bool(status.st_mode & stat.S_IWOTH)


def _is_of_one(group: int) -> bool:
    """Whether a group is this user's own, which may write where the umask is 002."""
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.getuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and not found.gr_mem


def _base(variable: str, default: str) -> Path:
    # The XDG specification has relative values ignored.
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else Path(os.path.expanduser("~")) / default  # noqa: PTH111 - Path.home() raises without a home


def _private_temp_dir() -> Path:
    import tempfile

    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    shared = Path(tempfile.gettempdir()) / f"deepseek-{user}"
    # Anyone may have made this name in a shared folder first, as a link to elsewhere perhaps.
    if make_private(shared) is None and not shared.is_symlink():
        return shared
    return Path(tempfile.mkdtemp(prefix="deepseek-"))


def _warn(text: str) -> None:
    import warnings

    warnings.warn(text, RuntimeWarning, stacklevel=3)


def checksum(text: str) -> int:
    """32 bits that tell texts apart; crc32 would be one more module, and each start counts them."""
    return int.from_bytes(text.encode("utf-8", "surrogateescape")) % _PRIME
