"""Where monitors of this user listen: a private folder of sockets."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

VARIABLE: Final = "DEEPSEEK_RUNTIME_DIR"
SUFFIX: Final = ".monitor"


def folder() -> Path:
    """`DEEPSEEK_RUNTIME_DIR`, else one in `/run/user/UID`, else one in `/tmp`; made or not.

    It does not depend on the session that a process belongs to: a job of cron finds it, too.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    uid = os.getuid()
    own = Path(f"/run/user/{uid}")
    return own / "deepseek" if own.is_dir() else Path(f"/tmp/deepseek-run-{uid}")  # noqa: S108  # checked before use


def is_private(path: Path) -> bool:
    """Whether it is a folder, no link, of this user, that nobody else may look into."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
