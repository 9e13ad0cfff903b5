"""What the operating system says of files, as errors of the SDK whose remedy is true."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Final

from deepseek_core import errors

_FULL: Final = {
    errno.ENOSPC: "delete objects and run `ds-sdk store gc HOME`, or free some space on that disk",
    errno.EDQUOT: "delete objects and run `ds-sdk store gc HOME`, or ask for a larger quota there",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f)",
}
_OTHER: Final = {
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of open files of the system (fs.file-max)",
    errno.ENOENT: "check that the store's home is there and may be written to",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "give this user the right to read and write there",
    errno.EPERM: "give this user the right to read and write there",
}
_HARDLY_ANY_NBYTES: Final = 64 << 10


def typed(error: OSError, what: str, url: str) -> errors.StorageError:
    """Our error for one of the system's about `what`, a path or a part of one."""
    text = f"{what}: {error.strerror or error}"
    number = error.errno or 0
    if number in _FULL:
        return errors.TierFull(text, url=url, remedy=_FULL[number])
    return errors.TierUnavailable(
        text, url=url, remedy=_OTHER.get(number, "check the disk and its mount")
    )


def why_full(path: Path) -> str | None:
    """The remedy, if a write to a file may have failed for lack of space; None: there is some.

    For libraries that say only that the write failed.
    """
    try:
        found = os.statvfs(path.parent)
        nbytes = path.stat().st_size if path.exists() else 0
    except OSError:
        return None
    if found.f_bavail * found.f_frsize < _HARDLY_ANY_NBYTES:
        return _FULL[errno.ENOSPC]
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and nbytes + _HARDLY_ANY_NBYTES > limit:
        return _FULL[errno.EFBIG]
    return None
