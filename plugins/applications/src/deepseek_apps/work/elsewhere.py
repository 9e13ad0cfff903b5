"""Data at a URL of fsspec, such as `ds://` or `s3://`: copied to this disk to be prepared."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, Final

from deepseek_core import console, errors

_FETCHED: Final = "fetched"
_MARK: Final = "://"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Progress = Callable[[int, int, str], None]


def is_url(data: str) -> bool:
    """Whether data are named by a URL, not by a path."""
    return _MARK in data


def fetched(url: str, folder: Path, progress: Progress) -> Path:
    """Copy a file, or all files below a folder, to `folder`/fetched; gives the copy, named alike.

    Raises:
        ConfigError: fsspec knows no such scheme, or a library is missing for it.
        InputError: nothing lies there, it can't be read, or a file arrived with another size.
        WriteError: the copy can't be written.
    """  # fmt: skip
    system, root = console.open_url(url)
    copy = folder / _FETCHED / (PurePosixPath(root).name or "data")
    try:
        sizes = _listed(system, root)
        if not sizes:
            raise errors.InputError(
                f"nothing lies at {console.without_password(url)}", remedy="check --data"
            )
        files = {name: _below(copy, root, name) for name in sizes}
        for parent in {path.parent for path in files.values()}:
            parent.mkdir(parents=True, exist_ok=True)
        system.get(list(files), list(map(str, files.values())), callback=_heard(url, progress))
    except errors.DeepSeekError:
        raise
    except Exception as error:  # each filesystem has errors of its own
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise errors.WriteError(
                f"{folder} has no space for {console.without_password(url)}",
                remedy="free space, or choose another folder",
            ) from error
        raise _unread(url, error) from error
    for name, path in files.items():
        _check_arrived(url, name, sizes[name], path)
    return copy


def _unread(url: str, error: Exception) -> errors.InputError:
    return errors.InputError(
        console.without_password(f"{url} can't be read: {type(error).__name__}: {error}"),
        remedy="see to the address, the permissions and the connection",
    )


def _listed(system: Any, root: str) -> dict[str, int]:
    """Bytes of each file, by its path; of one file, or of all below a folder."""
    found = system.find(root, detail=True)
    return {str(name): int(info["size"] or 0) for name, info in sorted(found.items())}


def _below(copy: Path, root: str, name: str) -> Path:
    """Where a file's copy goes: inside, whatever its name says."""
    inside = PurePosixPath(name[len(root) :].lstrip("/"))
    if ".." in inside.parts or "\0" in name:
        raise errors.InputError(f"a file is called {name!r}", remedy="give it another name")
    return copy / inside


def _heard(url: str, progress: Progress) -> Any:
    """What passes on that files have arrived."""
    from fsspec.callbacks import Callback

    def tell(size: int | None, value: int, **_: Any) -> None:
        progress(value, max(size or 0, value), f"copying {console.without_password(url)}")

    return Callback(hooks={"progress": tell})


def _check_arrived(url: str, name: str, nbytes: int, path: Path) -> None:
    arrived = path.stat().st_size if path.is_file() else 0
    if arrived != nbytes:
        raise errors.InputError(
            f"{name} at {console.without_password(url)} has {nbytes} bytes, {arrived} arrived",
            remedy="run it again; where it stays so, that file is damaged",
        )
