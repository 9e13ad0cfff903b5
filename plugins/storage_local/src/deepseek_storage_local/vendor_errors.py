"""What the operating system says, as errors of the SDK.

StorageError
`-- TierUnavailable
    `-- TierLocked        someone else has the tier open; retryable
"""

from __future__ import annotations

import errno
from typing import Final

from deepseek_core import errors

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_GONE: Final = "mount it again, or restore the folder; nothing was created in its place"
_REMEDIES: Final = {
    errno.ENOENT: _GONE,
    errno.ENOTDIR: _GONE,
    errno.ESTALE: _GONE,
    errno.ENODEV: _GONE,
    errno.ENXIO: _GONE,
    errno.ENOTCONN: _GONE,
    errno.EIO: "look at the disk's health (dmesg, smartctl); replace it if it fails",
    errno.EUCLEAN: "the file system is damaged: unmount it and check it (fsck)",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "give this user the right to read and write there",
    errno.EPERM: "give this user the right to read and write there",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of open files (fs.file-max)",
}


class TierLocked(errors.TierUnavailable):
    """Someone else has the tier open, and one of both wants it alone."""


def fault(error: OSError, place: object, url: str) -> errors.DeepSeekError:
    """The SDK's error for one of the operating system about a `place`."""
    said = f"{place}: {error.strerror or error}"
    if error.errno in _FULL:
        return errors.TierFull(said, url=url, remedy="free some space there or raise the limit")
    if error.errno == errno.ENAMETOOLONG:
        return errors.InputError(
            f"{place}: the path of an object is too long", remedy="use a folder with a shorter path"
        )
    remedy = _REMEDIES.get(error.errno or 0, "see whether the disk is there and sound")
    return errors.TierUnavailable(said, url=url, remedy=remedy)


def missing(key: str, url: str) -> errors.ObjectMissing:
    """The error for an object that is not there."""
    return errors.ObjectMissing(f"{url} has no object {key!r}", url=url)


def vanished(place: object, url: str) -> errors.TierUnavailable:
    """The error for a folder or disk that was there before."""
    return errors.TierUnavailable(f"{place} is gone", url=url, remedy=_GONE)
